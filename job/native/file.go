// Package native reads kitamae.yml into a Job, writes the first one, and describes it to
// editors. What a connector's own keys mean is its Spec's matter.
package native

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	_ "time/tzdata" // zones are checked, and used, on machines that have no list of them

	"go.yaml.in/yaml/v3"

	"github.com/kitamae/kitamae/bucket"
	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
	"github.com/kitamae/kitamae/notify"
	"github.com/kitamae/kitamae/schedule"
)

// File is one source, one destination, and which tables to move between them. Keys that begin with `x-` are for anchors and notes, and mean nothing.
type File struct {
	// Source is the system to read from: the connector's name, and its keys below it.
	Source conf.Raw `yaml:"source" conf:"required"`
	// Destination is the system to write to. Left out, it is the DuckDB file kura.duckdb beside this file.
	Destination conf.Raw `yaml:"destination"`
	// Tables says which tables to move and how, by name or glob (`"*"`, `"log_*"`). Left out, it is every table. The word `skip` leaves a table out. All rules that match a table combine: `"*"` first, then other globs in the order of the file, then the exact name. Views are moved only if named.
	Tables conf.Raw `yaml:"tables"`
	// Limits bound what a run may use.
	Limits job.Limits `yaml:"limits"`
	// Timezone is the business day's zone, for schedules and reports, by its IANA name such as Asia/Tokyo. Stored times are not changed by it.
	Timezone string `yaml:"timezone"`
	// State is where the ledger, commits under way and the lease are kept: `s3://bucket/folder`, `gs://bucket/folder` or a folder. Left out, it is the folder `.kitamae` beside this file. Where no disk outlives a run it must be a bucket; where runs start on several machines, only a bucket lets them share the ledger.
	State string `yaml:"state"`
	// Verify is what is compared before a table is published: `none`, `aggregates` (counts, nulls, least and greatest values, exact sums) or `full` (these, and a hash over all rows).
	Verify job.Verify `yaml:"verify" conf:"enum=none|aggregates|full"`
	// Schedule is when runs start, as cron says it (minute, hour, day, month, weekday), and a zone: `"0 5 * * *  Asia/Tokyo"`. Without a zone it is timezone's.
	Schedule string `yaml:"schedule"`
	// Notify is who is told how runs end that nobody watches: those that `kitamae serve` or a scheduler starts, or that have no terminal.
	Notify notify.Spec `yaml:"notify"`
	// Telemetry is where traces and metrics of runs go: an OpenTelemetry collector, or a service that takes OTLP over HTTP.
	Telemetry job.Telemetry `yaml:"telemetry"`
	// Deploy says how `kitamae deploy` runs this file in a cloud.
	Deploy job.Deploy `yaml:"deploy"`
}

// Defaults are the values of a file that says nothing.
func Defaults() File {
	return File{
		Limits:   job.Limits{Connections: 2, Retries: 2},
		Timezone: "UTC",
		Verify:   job.VerifyAggregates,
	}
}

// The destination of a file that names none.
const (
	defaultDestination = "duckdb"
	defaultDatabase    = "kura.duckdb"
)

// Load reads the file at path, with every problem in one fault. lookupEnv is os.LookupEnv,
// or what a test has in its place.
func Load(path string, reg connector.Registry, lookupEnv func(string) (string, bool)) (*job.Job, error) {
	if name, ok := strings.CutPrefix(path, packedMark); ok {
		return loadPacked(name, reg, lookupEnv)
	}
	if bucket.Is(path) {
		data, err := fetch(path)
		if err != nil {
			return nil, err
		}
		return compileFetched(data, reg, lookupEnv)
	}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.Config, "config.missing", "`kitamae init mysql://user@host/database` writes one; `kitamae demo` needs none", "there is no %s", path)
	case err != nil:
		return nil, fault.Wrap(fault.Config, "config.unreadable", "check the file's permissions", err)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, fault.Wrap(fault.Config, "config.unreadable", "check the working directory", err)
	}
	return Compile(conf.Input{Name: path, Data: data, Dir: dir, LookupEnv: lookupEnv}, reg)
}

// Compile turns one file into a Job, or all its problems into one fault.
func Compile(in conf.Input, reg connector.Registry) (*job.Job, error) {
	doc := conf.Parse(in)
	if err := doc.Err(); err != nil {
		return nil, err // half a file would only bring follow-up problems
	}
	f := Defaults()
	doc.Decode(&f)
	j := &job.Job{
		Limits: f.Limits, Timezone: f.Timezone, Verify: f.Verify,
		State: f.State, Schedule: f.Schedule, Notify: f.Notify, Telemetry: f.Telemetry, Deploy: f.Deploy, File: in.Name, Dir: in.Dir, Origins: doc.Origins(),
	}
	j.Source = source(f.Source, reg)
	j.Destination = destination(doc, f.Destination, reg)
	j.Tables = rules(f.Tables)
	zone, err := time.LoadLocation(j.Timezone)
	if err != nil || j.Timezone == "" || j.Timezone == "Local" {
		doc.Problem(j.Origins["timezone"].Place, "timezone", "%q is not an IANA time zone such as Asia/Tokyo", j.Timezone)
	}
	if j.Schedule != "" && err == nil {
		if _, err := schedule.Parse(j.Schedule, zone); err != nil {
			doc.Problem(j.Origins["schedule"].Place, "schedule", "%v", err)
		}
	}
	for _, p := range j.Notify.Check() {
		path := "notify." + p[0]
		doc.Problem(j.Origins[path].Place, path, "%s", p[1])
	}
	if e := j.Telemetry.Endpoint; e != "" && !strings.HasPrefix(e, "https://") && !strings.HasPrefix(e, "http://") {
		doc.Problem(j.Origins["telemetry.endpoint"].Place, "telemetry.endpoint", "want http:// or https://, and the receiver's address")
	}
	if strings.Contains(j.State, "://") {
		if err := bucket.Check(j.State); err != nil {
			doc.Problem(j.Origins["state"].Place, "state", "%v", err)
		}
	}
	for _, p := range j.Check(reg[j.Source.Use].Caps, reg[j.Destination.Use].Caps) {
		doc.Problem(p.Place, p.Path, "%s", p.Message)
	}
	if err := doc.Err(); err != nil {
		return nil, err
	}
	// Places are asked for only now, as a spec with mistakes may have none.
	j.Source.Place = reg[j.Source.Use].Source.Place(j.Source.Spec)
	j.Destination.Place = reg[j.Destination.Use].Dest.Place(j.Destination.Spec)
	return j, nil
}

func source(raw conf.Raw, reg connector.Registry) job.End {
	name, spec := end(raw, reg.Sources(), "source", func(name string) (any, bool) {
		c, ok := reg[name]
		if !ok || c.Source == nil {
			return nil, false
		}
		return c.Source.NewSpec(), true
	})
	return job.End{Use: name, Spec: spec}
}

func destination(doc *conf.Document, raw conf.Raw, reg connector.Registry) job.End {
	if !raw.Given() {
		raw = doc.Default("destination", &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{
			word(defaultDestination), {Kind: yaml.MappingNode, Content: []*yaml.Node{word("path"), word(defaultDatabase)}},
		}})
	}
	name, spec := end(raw, reg.Destinations(), "destination", func(name string) (any, bool) {
		c, ok := reg[name]
		if !ok || c.Dest == nil {
			return nil, false
		}
		return c.Dest.NewSpec(), true
	})
	return job.End{Use: name, Spec: spec}
}

func word(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

// end reads {<connector>: {its keys}}.
func end(raw conf.Raw, names []string, what string, newSpec func(name string) (any, bool)) (use string, spec any) {
	if !raw.Given() {
		return "", nil
	}
	entries := raw.Entries()
	switch {
	case raw.Empty():
		raw.Problem("names no connector: one of %s, with its keys below it", list(names))
	case len(entries) > 1:
		raw.Problem("names %d connectors: a %s is one", len(entries), what)
	}
	for _, e := range entries {
		s, ok := newSpec(e.Key)
		if !ok {
			e.Value.Problem("unknown %s%s: there are %s", what, conf.DidYouMean(e.Key, names), list(names))
			continue
		}
		e.Value.Decode(s)
		use, spec = e.Key, s
	}
	return use, spec
}
