package gcpsetup

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/fault"
)

const arn = "arn:aws:iam::123456789012:role/service/kitamae-task"

var full = Setup{Project: "acme-data", Dataset: "app", Location: "asia-northeast1", Bucket: "acme-kitamae", Role: arn}

// fake stands for gcloud and bq: it notes how it was called, and finds what is named in $THERE.
const fake = `#!/usr/bin/env bash
{ printf '%s' "${0##*/}"; printf '\t%s' "$@"; echo; } >>"$CALLS"
case "$*" in
*"projects describe"*) echo 42 ;;
*"config get-value account"*) echo me@acme.example ;;
*describe* | *" show "*) [ -n "${THERE-}" ] ;;
esac
`

// runScript runs the script of s and returns the calls and what it printed.
func runScript(t *testing.T, s Setup, there string) (calls []string, printed string) {
	t.Helper()
	text, err := Script(s)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"gcloud", "bq"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(fake), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	log := filepath.Join(dir, "calls")
	cmd := exec.Command("bash")
	cmd.Stdin = strings.NewReader(text)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "CALLS="+log, "THERE="+there)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, text)
	}
	noted, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(strings.ReplaceAll(string(noted), "\t", " ")), "\n"), string(out)
}

func TestFederation(t *testing.T) {
	calls, printed := runScript(t, full, "")
	const member = "principalSet://iam.googleapis.com/projects/42/locations/global/workloadIdentityPools/kitamae/attribute.aws_role/arn:aws:sts::123456789012:assumed-role/kitamae-task"
	for _, want := range []string{
		"bq --project_id=acme-data --location=asia-northeast1 mk --dataset acme-data:app",
		"gcloud storage buckets create gs://acme-kitamae --project=acme-data --location=asia-northeast1 --uniform-bucket-level-access --public-access-prevention",
		"gcloud iam workload-identity-pools create kitamae --location=global --project=acme-data --display-name=kitamae",
		"gcloud iam workload-identity-pools providers create-aws aws-123456789012 --workload-identity-pool=kitamae --location=global --project=acme-data --account-id=123456789012" +
			" --attribute-mapping=google.subject=assertion.arn.extract('assumed-role/{role}/'),attribute.aws_role=assertion.arn.extract('{account}assumed-role/') + 'assumed-role/' + assertion.arn.extract('assumed-role/{role}/')" +
			" --attribute-condition=assertion.arn.startsWith('arn:aws:sts::123456789012:assumed-role/kitamae-task/')",
		"gcloud projects add-iam-policy-binding acme-data --role=roles/bigquery.jobUser --member=" + member + " --condition=None",
		"bq --project_id=acme-data --location=asia-northeast1 query --nouse_legacy_sql GRANT `roles/bigquery.dataEditor` ON SCHEMA `acme-data.app` TO \"" + member + "\"",
		"gcloud storage buckets add-iam-policy-binding gs://acme-kitamae --role=roles/storage.objectUser --member=" + member,
		"gcloud storage buckets add-iam-policy-binding gs://acme-kitamae --role=roles/storage.legacyBucketReader --member=" + member,
	} {
		if !slices.Contains(calls, want) {
			t.Errorf("did not call\n%s\nbut\n%s", want, strings.Join(calls, "\n"))
		}
	}
	if want := "auth: {federation: projects/42/locations/global/workloadIdentityPools/kitamae/providers/aws-123456789012}"; !strings.Contains(printed, want) {
		t.Errorf("lacks %s:\n%s", want, printed)
	}
	if all := strings.Join(calls, "\n"); strings.Contains(all, "keys create") || strings.Contains(all, "service-accounts") {
		t.Errorf("made a service account:\n%s", all)
	}
}

func TestServiceAccount(t *testing.T) {
	s := full
	s.Role, s.Bucket = "", ""
	calls, printed := runScript(t, s, "")
	for _, want := range []string{
		"gcloud iam service-accounts create kitamae --project=acme-data --display-name=kitamae",
		"gcloud projects add-iam-policy-binding acme-data --role=roles/bigquery.jobUser --member=serviceAccount:kitamae@acme-data.iam.gserviceaccount.com --condition=None",
	} {
		if !slices.Contains(calls, want) {
			t.Errorf("did not call\n%s\nbut\n%s", want, strings.Join(calls, "\n"))
		}
	}
	all := strings.Join(calls, "\n")
	if strings.Contains(all, "gs://") || strings.Contains(all, "workload-identity") || strings.Contains(all, "keys create") {
		t.Errorf("calls more than it needs:\n%s", all)
	}
	if !strings.Contains(printed, "auth: {impersonate: kitamae@acme-data.iam.gserviceaccount.com}") || strings.Contains(printed, "bucket:") {
		t.Error(printed)
	}
}

// TestAgain holds that a second run makes nothing that is there.
func TestAgain(t *testing.T) {
	calls, _ := runScript(t, full, "yes")
	for _, c := range calls {
		if strings.Contains(c, " create") || strings.Contains(c, " mk ") {
			t.Errorf("called %s", c)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, change := range map[string]func(*Setup){
		"a shell's text for a project": func(s *Setup) { s.Project = "acme$(rm)" },
		"no dataset":                   func(s *Setup) { s.Dataset = "" },
		"no location":                  func(s *Setup) { s.Location = "" },
		"quotes in the bucket":         func(s *Setup) { s.Bucket = `a"b` },
		"quotes in the folder":         func(s *Setup) { s.Bucket = `gs://acme/a"b` },
		"a role's name only":           func(s *Setup) { s.Role = "kitamae" },
		"an assumed role":              func(s *Setup) { s.Role = "arn:aws:sts::123456789012:assumed-role/x/y" },
		"quotes in the role":           func(s *Setup) { s.Role = "arn:aws:iam::123456789012:role/a'b" },
		"a new line in the role":       func(s *Setup) { s.Role = "arn:aws:iam::123456789012:role/a\nb/c" },
		"a role's name too long":       func(s *Setup) { s.Role = "arn:aws:iam::123456789012:role/" + strings.Repeat("r", 65) },
	} {
		s := full
		change(&s)
		if text, err := Script(s); fault.From(err) == nil || fault.From(err).Kind != fault.Config {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

// TestFolder holds that the lifecycle rule is for the folder of the bucket that large tables wait in, and for nothing else.
func TestFolder(t *testing.T) {
	for address, want := range map[string][]string{
		"acme-kitamae":                {`"matchesPrefix":["kitamae/stage/"]`, "bucket: gs://acme-kitamae/\n"},
		"gs://acme-kitamae/warehouse": {`"matchesPrefix":["warehouse/kitamae/stage/"]`, "bucket: gs://acme-kitamae/warehouse/\n", "buckets describe gs://acme-kitamae --"},
	} {
		s := full
		s.Bucket = address
		text, err := Script(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: lacks %s:\n%s", address, w, text)
			}
		}
	}
}
