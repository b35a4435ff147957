package aws

import (
	"fmt"
	"os"
	"testing"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connectors/all"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
	"github.com/kitamae/kitamae/job/native"
)

// TestReach lets out of the task's group what the config makes the task talk to, and nothing else.
func TestReach(t *testing.T) {
	for name, tc := range map[string]struct {
		config string
		want   string
	}{
		"a warehouse over HTTPS": {"destination: {bigquery: {project: acme-data, dataset: app, location: US}}", "[]"},
		"a database":             {"destination: {postgres: {host: db2, database: app, user: u, password: 'secret:aws-ssm:/p'}}", "[5432]"},
		"through a tunnel":       {"destination: {postgres: {host: db2, database: app, user: u, password: 'secret:aws-ssm:/p', ssh: {host: b, user: u, password: 'secret:aws-ssm:/p'}}}", "[22]"},
		"mail, traces, a store": {"notify: {email: {to: [a@example.com], from: b@example.com, smtp: {host: mail}}}\ntelemetry: {endpoint: 'http://otlp:4318'}\n" +
			"state: s3://lake/x?endpoint=http://minio:9000", "[587 4318 9000]"},
		"as HTTPS": {"telemetry: {endpoint: 'https://otlp'}\nstate: s3://lake/x", "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			j := load(t, tc.config)
			s := Stack{Name: "app", Port: 3306}
			if err := s.For(j, "x", os.LookupEnv); err != nil || fmt.Sprint(s.Ports) != tc.want {
				t.Errorf("%v, %v; want %s", s.Ports, err, tc.want)
			}
		})
	}
}

// load compiles a config with a MySQL source beside what the test has.
func load(t *testing.T, more string) *job.Job {
	t.Helper()
	text := "source: {mysql: {host: db1, user: u, database: app, password: 'secret:aws-ssm:/app/db'}}\nschedule: 0 5 * * *\n" + more
	j, err := native.Compile(conf.Input{Name: "kitamae.yml", Data: []byte(text), Dir: t.TempDir(), LookupEnv: os.LookupEnv}, all.Registry())
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// TestWrittenSecret: a secret that stands in the config itself would be readable in the task definition.
func TestWrittenSecret(t *testing.T) {
	j := load(t, "notify: {webhook: {url: 'https://example.com/hook', key: written}}")
	err := new(Stack).For(j, "x", os.LookupEnv)
	if !fault.HasCode(err, "deploy.written_secret") {
		t.Errorf("a key in the file: %v", err)
	}
}

func TestDisk(t *testing.T) {
	for in, want := range map[string]int{"": 0, "50GiB": 50, "21GiB": 21, "20GiB": -1, "300GiB": -1, "100GB": 94} {
		j := &job.Job{}
		if in != "" {
			size, err := conf.ParseBytes(in)
			if err != nil {
				t.Fatal(err)
			}
			j.Deploy.Disk = size
		}
		got, err := disk(j)
		if want < 0 != fault.HasCode(err, "deploy.disk") || want >= 0 && got != want {
			t.Errorf("%q is %d GiB, %v; want %d", in, got, err, want)
		}
	}
}
