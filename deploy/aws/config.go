package aws

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/kitamae/kitamae/bucket"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
)

var stackName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// NameFor is what a job's deployment is called. It is a role's name too, and short for Google's sake (see the template).
func NameFor(j *job.Job) (string, error) {
	name := j.Deploy.Name
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(j.File), filepath.Ext(j.File))
	}
	if !stackName.MatchString(name) {
		return "", fault.New(fault.Config, "deploy.name", "set deploy: {name: …}", "%q is no name for a deployment: at most 32 lower-case letters, digits and hyphens", name)
	}
	return name, nil
}

// Place is where a source listens, as its spec says it.
type Place struct {
	Host string `json:"host"`
	Port int    `json:"port"`
	User string `json:"user"`
	Auth string `json:"auth"`
}

// SourcePlace reads the source's place from its spec.
func SourcePlace(j *job.Job) (Place, error) {
	var p Place
	text, err := json.Marshal(j.Source.Spec) // secrets do not print
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(text, &p); err != nil || p.Host == "" || p.Port == 0 {
		return p, fault.New(fault.Config, "deploy.source", "give the source as a host and a port", "a task in a cloud can't reach the source %s", j.Source.Place)
	}
	return p, nil
}

// For fills in what a job alone says about its stack. lookup finds the variables that the config refers to.
func (s *Stack) For(j *job.Job, packed string, lookup func(string) (string, bool)) error {
	var problems []error
	keep := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	var err error
	if s.Name == "" {
		s.Name, err = NameFor(j)
		keep(err)
	}
	place, err := SourcePlace(j)
	keep(err)
	s.Port, s.Alert, s.Config = place.Port, j.Deploy.Alert, packed
	if place.Auth == "iam" {
		s.IAMUser = place.User
	}
	s.Size, err = size(j)
	keep(err)
	keep(s.elsewhere(j))
	if j.Schedule == "" {
		keep(fault.New(fault.Config, "deploy.unscheduled", `add schedule: "0 5 * * *  Asia/Tokyo"`, "%s says nothing about when to run", j.File))
	} else {
		s.Schedule, err = ParseSchedule(j.Schedule, j.Timezone)
		keep(err)
	}
	keep(s.variables(j, lookup))
	return errors.Join(problems...)
}

// elsewhere is what a job says about places that its tasks share: buckets, and how many tasks there are.
func (s *Stack) elsewhere(j *job.Job) error {
	var files struct {
		Dir string `json:"dir"`
	}
	spec, err := json.Marshal(j.Destination.Spec) // secrets do not print
	if err != nil {
		return err
	}
	if j.Destination.Use == "files" {
		if err := json.Unmarshal(spec, &files); err != nil {
			return err
		}
	}
	s.Buckets = nil
	for _, address := range []string{j.State, files.Dir} {
		if u, err := url.Parse(address); err == nil && u.Scheme == "s3" && !slices.Contains(s.Buckets, u.Host) {
			s.Buckets = append(s.Buckets, u.Host)
		}
	}
	if j.Deploy.Engine == "" {
		return nil
	}
	if j.Deploy.Engine == job.EngineBatch {
		s.Shards = j.Deploy.Shards
	}
	if j.Destination.Use == "files" && !bucket.Is(files.Dir) {
		return fault.New(fault.Config, "deploy.shards_folder", "set destination.files.dir to s3://bucket/folder or gs://bucket/folder",
			"shards on several machines can't all write into the folder %s", files.Dir)
	}
	return nil
}

// largestInline is how many bytes of packed config travel in the task definition; both it and the template have a limit. A larger one lies in the bucket.
const largestInline = 16_000

// configVariable is what the task finds in KITAMAE_CONFIG: the packed config, or where it lies.
func (s Stack) configVariable() string {
	if len(s.Config) <= largestInline {
		return s.Config
	}
	return "s3://" + s.Bucket + "/" + s.configKey()
}

// configKey is where a large config lies in the bucket: under a name of exactly this text, so that an earlier deployment finds its own.
func (s Stack) configKey() string {
	sum := sha256.Sum256(s.File)
	return "configs/" + hex.EncodeToString(sum[:12]) + ".yml"
}

// StoreConfig puts a config that is too large for the task definition into the bucket; it does nothing for others. Where there is no bucket yet it
// waits for the next call: call it before a template is applied, so that no task misses it, and after.
func (c *Cloud) StoreConfig(ctx context.Context, s *Stack) error {
	if len(s.Config) <= largestInline {
		return nil
	}
	_, err := c.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.Bucket, Key: aws.String(s.configKey()), Body: bytes.NewReader(s.File)})
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "NoSuchBucket" {
		return nil
	}
	return c.fault("store the config", err)
}

// size takes the larger of what memory and processor ask for.
func size(j *job.Job) (Size, error) {
	memory := int64(0)
	if o := j.Origins["limits.memory"]; o.From != "" && o.From != "default" {
		memory = int64(j.Limits.Memory)
	}
	s := SizeFor(memory)
	if j.Deploy.VCPU == "" {
		return s, nil
	}
	cpu, err := strconv.ParseFloat(j.Deploy.VCPU, 64)
	if err != nil {
		return s, err
	}
	units := int(cpu * 1024)
	for _, other := range sizes {
		if other.CPU == units && other.Memory >= min(s.Memory, largestMemory(units)) {
			return other, nil
		}
	}
	return s, fault.New(fault.Config, "deploy.size", "leave deploy.vcpu out, or lower limits.memory", "Fargate has no task of %s vCPU and %d MiB", j.Deploy.VCPU, s.Memory)
}

// largestMemory is the most that tasks of so many units can have.
func largestMemory(units int) int {
	most := 0
	for _, s := range sizes {
		if s.CPU == units {
			most = max(most, s.Memory)
		}
	}
	return most
}

// variables sorts what the config takes from outside itself into plain variables, secrets that Fargate injects, and secrets
// that the task looks up. A secret in a plain variable would be readable in the task definition: it is refused.
func (s *Stack) variables(j *job.Job, lookup func(string) (string, bool)) error {
	s.Plain, s.Injected, s.Read = map[string]string{}, map[string]Secret{}, nil
	var problems []error
	for name, from := range j.Deploy.Secrets {
		secret, err := ParseSecret(from)
		if err != nil {
			problems = append(problems, err)
		}
		s.Injected[name] = secret
	}
	refuse := func(path, name string) {
		problems = append(problems, fault.New(fault.Config, "deploy.plain_secret", "add deploy: {secrets: {"+name+": aws-ssm:/path}}",
			"%s is a secret in the variable %s, which the task has not", path, name))
	}
	for _, path := range sortedKeys(j.Origins) {
		o := j.Origins[path]
		from, _, _ := strings.Cut(o.From, " (")
		switch {
		case strings.HasPrefix(path, "deploy."):
		case strings.HasPrefix(from, "secret:env:"):
			if name := strings.TrimPrefix(from, "secret:env:"); s.Injected[name].Name == "" {
				refuse(path, name)
			}
		case strings.HasPrefix(from, "secret:aws-"):
			secret, err := ParseSecret(from)
			if err != nil {
				problems = append(problems, err)
			}
			s.Read = append(s.Read, secret)
		case strings.HasPrefix(from, "secret:file:"):
			problems = append(problems, fault.New(fault.Config, "deploy.secret_file", "put it into the parameter store: secret:aws-ssm:/path", "%s is a secret in a file, which the task has not", path))
		case strings.HasPrefix(from, "env "):
			for name := range strings.SplitSeq(strings.TrimPrefix(from, "env "), ", ") {
				if s.Injected[name].Name != "" {
					continue
				}
				if o.Value == "(secret)" {
					refuse(path, name)
				} else if value, ok := lookup(name); ok {
					s.Plain[name] = value
				}
			}
		}
	}
	return errors.Join(problems...)
}

// Placeholders makes a look-up that knows every variable named in secrets, so that a config can be read where they are not set.
func Placeholders(secrets map[string]string, lookup func(string) (string, bool)) func(string) (string, bool) {
	return func(name string) (string, bool) {
		if value, ok := lookup(name); ok {
			return value, true
		}
		if _, ok := secrets[name]; ok {
			return fmt.Sprintf("(%s of the task)", name), true
		}
		return "", false
	}
}
