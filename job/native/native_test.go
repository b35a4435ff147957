package native

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
)

// serverSpec is a spec as connectors have them.
type serverSpec struct {
	Host     string      `yaml:"host" json:"host" conf:"required"`
	Port     int         `yaml:"port" json:"port" conf:"min=1,max=65535"`
	User     string      `yaml:"user" json:"user"`
	Password conf.Secret `yaml:"password" json:"password" conf:"secret"`
	TLS      tlsSpec     `yaml:"tls" json:"tls"`
}

type tlsSpec struct {
	Mode string `yaml:"mode" json:"mode" conf:"enum=verify|off"`
}

type fileSpec struct {
	Path string `yaml:"path" json:"path" conf:"required"`
}

// registry has a server to read from, a file to write to, and one that is both.
func registry() connector.Registry {
	source := func(context.Context, serverSpec, connector.Env) (connector.Source, error) { return nil, nil }
	dest := func(context.Context, fileSpec, connector.Env) (connector.Destination, error) { return nil, nil }
	place := func(s fileSpec) string { return s.Path }
	return connector.NewRegistry(
		connector.Connector{
			Name: "server", Summary: "A server",
			Source:  connector.NewEnd[serverSpec, connector.Source](serverSpec{Port: 3306}, source, func(s serverSpec) string { return "app on " + s.Host }),
			Schemes: []string{"server"},
			FromURL: func(u *url.URL) (any, error) {
				password, _ := u.User.Password()
				return &serverSpec{Host: u.Hostname(), Port: 3306, User: u.User.Username(), Password: conf.Secret(password), TLS: tlsSpec{u.Query().Get("tls")}}, nil
			},
		},
		connector.Connector{Name: "duckdb", Dest: connector.NewEnd[fileSpec, connector.Destination](fileSpec{}, dest, place)},
		connector.Connector{Name: "files", Dest: connector.NewEnd[fileSpec, connector.Destination](fileSpec{Path: "out"}, dest, place)},
	)
}

func lookup(name string) (string, bool) {
	v, ok := map[string]string{"HOST": "db1", "PW": "s3cret", PasswordVariable: "s3cret"}[name]
	return v, ok
}

func compile(text string) (*job.Job, error) {
	return Compile(conf.Input{Name: "kitamae.yml", Dir: "/etc/kitamae", Data: []byte(text), LookupEnv: lookup}, registry())
}

func TestCompile(t *testing.T) {
	j, err := compile(`
x-common: &common {drop: [memo]}
source:
  server: {host: "${HOST}", password: secret:env:PW}
tables:
  "*": {}
  "tmp_*": skip
  利用者: {columns: *common, key: id}
  users:
    name: members
    where: deleted_at IS NULL
    columns: {types: {active: boolean}, include: [token]}
  empty:
limits: {connections: 4, memory: 256MiB}
timezone: Asia/Tokyo
verify: full
`)
	if err != nil {
		t.Fatal(err)
	}
	for i := range j.Tables {
		j.Tables[i].At = conf.Place{}
	}
	if err := conf.Resolve(t.Context(), j.Source.Spec, conf.LocalStores("", lookup)); err != nil {
		t.Fatal(err)
	}
	want := &job.Job{
		Source:      job.End{Use: "server", Spec: &serverSpec{Host: "db1", Port: 3306, Password: "s3cret"}, Place: "app on db1"},
		Destination: job.End{Use: "duckdb", Spec: &fileSpec{Path: "kura.duckdb"}, Place: "kura.duckdb"},
		Tables: []job.Rule{
			{Pattern: "*", Path: `tables."*"`},
			{Pattern: "tmp_*", Path: `tables."tmp_*"`, Skip: true},
			{Pattern: "利用者", Path: "tables.利用者", Settings: job.Settings{Key: []string{"id"}, Columns: job.Columns{Drop: []string{"memo"}}}},
			{Pattern: "users", Path: "tables.users", Settings: job.Settings{
				Name: "members", Where: "deleted_at IS NULL",
				Columns: job.Columns{Include: []string{"token"}, Types: map[string]job.ColumnType{"active": job.Boolean}},
			}},
			{Pattern: "empty", Path: "tables.empty"},
		},
		Limits: job.Limits{Connections: 4, Retries: 2, Memory: 256 << 20}, Timezone: "Asia/Tokyo", Verify: "full",
		File: "kitamae.yml", Dir: "/etc/kitamae", Origins: j.Origins,
	}
	if diff := cmp.Diff(want, j); diff != "" {
		t.Errorf("job (-want +got):\n%s", diff)
	}
}

func TestCompileDefaults(t *testing.T) {
	j, err := compile("source: {server: {host: db1}}")
	if err != nil {
		t.Fatal(err)
	}
	got := []any{j.Limits, j.Timezone, j.Verify, j.Destination.Use, j.Destination.Place, len(j.Tables)}
	want := []any{job.Limits{Connections: 2, Retries: 2}, "UTC", "aggregates", "duckdb", "kura.duckdb", 0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

func TestSettingsSayWhereFrom(t *testing.T) {
	j, err := compile("source: {server: {host: '${HOST}', password: '${PW}'}}\ntables: {users: {key: id}}\nlimits: {connections: 3}")
	if err != nil {
		t.Fatal(err)
	}
	want := []job.Setting{
		{Path: "destination.duckdb.path", Value: "kura.duckdb", Origin: "default"},
		{Path: "limits.connections", Value: "3", Origin: "kitamae.yml:3"},
		{Path: "limits.retries", Value: "2", Origin: "default"},
		{Path: "source.server.host", Value: "db1", Origin: "env HOST (kitamae.yml:1)"},
		{Path: "source.server.password", Value: "(secret)", Origin: "env PW (kitamae.yml:1)"},
		{Path: "source.server.port", Value: "3306", Origin: "default"},
		{Path: "timezone", Value: "UTC", Origin: "default"},
		{Path: "verify", Value: "aggregates", Origin: "default"},
	}
	if diff := cmp.Diff(want, j.Settings()); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestCompileProblems(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"empty", "", "kitamae.yml:1:1: source: is missing"},
		{"no connector", "source: {}", "kitamae.yml:1:1: source: names no connector: one of server, with its keys below it"},
		{"null source", "source:", "kitamae.yml:1:1: source: names no connector: one of server, with its keys below it"},
		{"text for a source", "source: server", "kitamae.yml:1:9: source: want a mapping (key: value), got text"},
		{"two sources", "source:\n  server: {host: a}\n  files: {}", "kitamae.yml:1:1: source: names 2 connectors: a source is one\nkitamae.yml:3:3: source.files: unknown source: there are server"},
		{"unknown source", "source:\n  sever: {host: a}", "kitamae.yml:2:3: source.sever: unknown source (did you mean server?): there are server"},
		{"unknown destination", "source: {server: {host: a}}\ndestination: {bigquery: {}}", "kitamae.yml:2:15: destination.bigquery: unknown destination: there are duckdb, files"},
		{"a federation that can't be", "source: {server: {host: a}}\nstate: gs://b/f?federation=projects/acme", "kitamae.yml:2:8: state: federation want projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"},
		{"null connector", "source:\n  server:", "kitamae.yml:2:3: source.server.host: is missing"},
		{"later keys", "source: {server: {host: a}}\nchecks: x\npipelines: x",
			"kitamae.yml:2:1: checks: unknown key\nkitamae.yml:3:1: pipelines: unknown key"},
		{"time zone", "source: {server: {host: a}}\ntimezone: Tokyo", `kitamae.yml:2:11: timezone: "Tokyo" is not an IANA time zone such as Asia/Tokyo`},
		{"local time zone", "source: {server: {host: a}}\ntimezone: Local", `kitamae.yml:2:11: timezone: "Local" is not an IANA time zone such as Asia/Tokyo`},
		{"verify", "source: {server: {host: a}}\nverify: ful", `kitamae.yml:2:9: verify: want one of none, aggregates, full, got "ful" (did you mean full?)`},
		{"a word for a table", "source: {server: {host: a}}\ntables: {users: skp}", "kitamae.yml:2:17: tables.users: want settings such as {key: id}, or the word skip"},
		{"no tables", "source: {server: {host: a}}\ntables: {}", `kitamae.yml:2:1: tables: names no table: write "*": {} for every table, or remove the key`},
		{"list of tables", "source: {server: {host: a}}\ntables: [users]", "kitamae.yml:2:9: tables: want a mapping (key: value), got a list"},
		{"everything in one pass", "source:\n  server:\n    prot: 1\n    port: 0\ntables:\n  u*: {name: x, modee: replace}\n  t: {columns: {only: [a], drop: [b]}}\nlimits: {connections: none, memory: 1MiB}\ntimezone: x\n", strings.Join([]string{
			"kitamae.yml:2:3: source.server.host: is missing",
			"kitamae.yml:3:5: source.server.prot: unknown key (did you mean port?)",
			"kitamae.yml:4:11: source.server.port: want at least 1, got the number 0",
			"kitamae.yml:6:14: tables.\"u*\".name: a name is for one table: write the table's own name instead of u*",
			"kitamae.yml:6:17: tables.\"u*\".modee: unknown key (did you mean mode?)",
			"kitamae.yml:7:35: tables.t.columns.drop: only and drop can't stand together: only already leaves out all others",
			"kitamae.yml:8:23: limits.connections: want a whole number, got \"none\"",
			"kitamae.yml:8:37: limits.memory: want at least 64MiB, got \"1MiB\"",
			"kitamae.yml:9:11: timezone: \"x\" is not an IANA time zone such as Asia/Tokyo",
		}, "\n")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := compile(tc.in)
			if err == nil {
				t.Fatalf("compile %q: no error, want %q", tc.in, tc.want)
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("compile %q (-want +got):\n%s", tc.in, diff)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "kitamae.yml")
	if _, err := Load(path, registry(), lookup); !fault.HasCode(err, "config.missing") {
		t.Errorf("no file: %v, want config.missing", err)
	}
	if err := os.WriteFile(path, []byte("source: {server: {host: a}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := Load(path, registry(), lookup)
	if err != nil {
		t.Fatal(err)
	}
	if j.Dir != dir || j.File != path {
		t.Errorf("dir %q file %q, want %q %q", j.Dir, j.File, dir, path)
	}
}
