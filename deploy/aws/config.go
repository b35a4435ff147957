package aws

import (
	"bytes"
	"cmp"
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

// Place is where a source listens, as its spec says it, and who logs in.
type Place struct {
	listener
	User string `json:"user"`
	Auth string `json:"auth"`
	// AllowWriter accepts an Aurora writer; nil where the source does not ask.
	AllowWriter *bool `json:"allow_writer"`
}

// listener is where an end listens, perhaps behind a tunnel; the zero value for one that says nothing of the kind.
type listener struct {
	Host string `json:"host"`
	Port int    `json:"port"`
	SSH  struct {
		Host string `json:"host"`
		Port int    `json:"port"`
	} `json:"ssh"`
}

// read takes from an end's spec what the struct names. Secrets do not print.
func read(end job.End, into any) error {
	text, err := json.Marshal(end.Spec)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	return err
}

// SourcePlace reads the source's place from its spec.
func SourcePlace(j *job.Job) (Place, error) {
	var p Place
	if err := read(j.Source, &p); err != nil || p.Host == "" || p.Port == 0 {
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
	s.Disk, err = disk(j)
	keep(err)
	keep(s.elsewhere(j))
	keep(s.reach(j))
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
	if j.Destination.Use == "files" {
		if err := read(j.Destination, &files); err != nil {
			return err
		}
	}
	s.Buckets = nil
	for _, address := range []string{j.State, files.Dir} {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "s3" {
			continue
		}
		if folder := strings.TrimSuffix(u.Host+u.Path, "/"); !slices.Contains(s.Buckets, folder) {
			s.Buckets = append(s.Buckets, folder)
		}
	}
	if j.Deploy.Engine == job.EngineBatch {
		s.Shards = j.Deploy.Shards
	}
	return nil
}

// Ports that a service has where none is named.
const (
	https = 443
	smtp  = 587
)

// reach finds the ports beside the source's and HTTPS that a config makes the task talk to: a destination's, a tunnel's, a mail server's, a receiver's of
// traces, an object store's of one's own. The task's group lets nothing else out.
func (s *Stack) reach(j *job.Job) error {
	s.Ports = nil
	add := func(port int) {
		if port != 0 && port != https && port != s.Port && !slices.Contains(s.Ports, port) {
			s.Ports = append(s.Ports, port)
		}
	}
	for _, end := range []job.End{j.Source, j.Destination} {
		var p struct {
			listener
			Dir      string `json:"dir"`
			Endpoint string `json:"endpoint"`
		}
		if err := read(end, &p); err != nil {
			return err
		}
		if p.SSH.Host != "" {
			add(p.SSH.Port)
		} else if p.Host != "" {
			add(p.Port)
		}
		add(portOf(p.Endpoint))
		add(endpointPort(p.Dir))
	}
	if mail := j.Notify.Email.SMTP; mail.Host != "" {
		add(cmp.Or(mail.Port, smtp))
	}
	add(portOf(j.Telemetry.Endpoint))
	add(endpointPort(j.State))
	slices.Sort(s.Ports)
	return nil
}

// portOf is an address's port, 0 for none.
func portOf(address string) int {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return 0
	}
	if port, err := strconv.Atoi(u.Port()); err == nil {
		return port
	}
	if u.Scheme == "http" {
		return 80
	}
	return https
}

// endpointPort is the port of the server that a bucket's address names.
func endpointPort(address string) int {
	u, err := url.Parse(address)
	if err != nil || !bucket.Is(address) {
		return 0
	}
	return portOf(u.Query().Get("endpoint"))
}

// A task's disk, in GiB: Fargate's own costs nothing.
const (
	leastDisk = 21
	mostDisk  = 200
)

// disk is the disk that the config asks for, in GiB; 0 for Fargate's own.
func disk(j *job.Job) (int, error) {
	if j.Deploy.Disk == 0 {
		return 0, nil
	}
	n := int((int64(j.Deploy.Disk) + 1<<30 - 1) >> 30)
	if n < leastDisk || n > mostDisk {
		return 0, fault.New(fault.Config, "deploy.disk", "set deploy.disk to 21GiB to 200GiB, or leave it out for the 20 GiB that are there", "Fargate gives a task no disk of %s", j.Deploy.Disk)
	}
	return n, nil
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
		case o.Value == "(secret)" && j.File != "" && strings.HasPrefix(from, filepath.Base(j.File)+":"):
			problems = append(problems, fault.New(fault.Config, "deploy.written_secret", "put it into the parameter store, and write secret:aws-ssm:/path here",
				"%s stands in %s itself, which everybody can read who may look at the task", path, from))
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
