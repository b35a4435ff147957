// Package gcpsetup writes the shell script that prepares a Google Cloud project for kitamae: dataset, bucket, who may log in
// from where, and the least grants. It runs nothing: people read the script first.
package gcpsetup

import (
	_ "embed" // the script
	"regexp"
	"strings"

	"github.com/kitamae/kitamae/fault"
)

// Setup is what to prepare.
type Setup struct {
	Project, Dataset string
	// Location is the dataset's and the bucket's, as in asia-northeast1.
	Location string
	// Bucket is where large tables wait to be loaded: a bucket, or a folder of one; "" for none.
	Bucket string
	// Role is the ARN of the AWS role that will log in, "" for a service account without a key.
	Role string
}

//go:embed setup.sh.tmpl
var script string

// What Google and AWS accept as names. Nothing in them means anything to a shell.
const (
	project  = `^[a-z][a-z0-9-]{4,28}[a-z0-9]$`
	dataset  = `^[A-Za-z0-9_]+$`
	location = `^[A-Za-z0-9-]+$`
	bucket   = `^([a-z0-9][a-z0-9._-]+[a-z0-9])?$`
	folder   = `^([A-Za-z0-9._-]+/)*$`
)

// role takes an ARN apart: partition, account and name. The path before the name is no part of what the role is called when it is assumed.
const role = `^arn:(aws[a-z-]*):iam::(\d{12}):role/(?:[\x21-\x7e]+/)?([A-Za-z0-9_+=,.@-]{1,64})$`

// Script is the script for s.
func Script(s Setup) (string, error) {
	name, within, _ := strings.Cut(strings.Trim(strings.TrimPrefix(s.Bucket, "gs://"), "/"), "/")
	if within != "" {
		within += "/"
	}
	for _, n := range []struct{ what, form, value string }{
		{"project", project, s.Project}, {"dataset", dataset, s.Dataset}, {"location", location, s.Location}, {"bucket", bucket, name}, {"folder", folder, within},
	} {
		if !regexp.MustCompile(n.form).MatchString(n.value) {
			return "", fault.New(fault.Config, "gcp.name", "write bigquery://project/dataset?location=asia-northeast1&bucket=name, or set them in destination.bigquery",
				"%q is no name of a %s", n.value, n.what)
		}
	}
	values := []string{"@PROJECT@", s.Project, "@DATASET@", s.Dataset, "@LOCATION@", s.Location, "@BUCKET@", name, "@FOLDER@", within}
	if s.Role != "" {
		m := regexp.MustCompile(role).FindStringSubmatch(s.Role)
		if m == nil {
			return "", fault.New(fault.Config, "gcp.role", "write --aws-role arn:aws:iam::123456789012:role/kitamae, as `aws iam get-role` shows it", "%q is not the ARN of an AWS role", s.Role)
		}
		values = append(values, "@PARTITION@", m[1], "@ACCOUNT@", m[2], "@ROLENAME@", m[3])
	}
	return strings.NewReplacer(values...).Replace(sections(script, map[string]bool{"bucket": name != "", "role": s.Role != ""})), nil
}

// sections keeps the lines between "#if name" and "#end" where name is true, and those after "#else" where it is not. It is
// not text/template, which calls methods by name: the linker would then keep every method of every cloud's client, a quarter of the binary.
func sections(text string, is map[string]bool) string {
	var b strings.Builder
	keep := true
	for line := range strings.Lines(text) {
		name, begins := strings.CutPrefix(strings.TrimSpace(line), "#if ")
		switch {
		case begins:
			keep = is[name]
		case line == "#else\n":
			keep = !keep
		case line == "#end\n":
			keep = true
		case keep:
			b.WriteString(line)
		}
	}
	return b.String()
}
