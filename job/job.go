// Package job is what a user asked for, as data: both ends, the tables and how to take
// them. Front ends such as job/native make a Job; what becomes of it is the run's matter.
package job

import (
	"path/filepath"
	"strings"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/notify"
)

// Job is one config, checked as far as it can be without reaching either end.
type Job struct {
	Source      End `json:"source"`
	Destination End `json:"destination"`
	// Tables are the rules in the order of the file. See [Job.Resolve] for how they combine.
	Tables []Rule `json:"tables"`
	Limits Limits `json:"limits"`
	// Timezone is the business day's zone by its IANA name, as in "Asia/Tokyo".
	Timezone string `json:"timezone"`
	// Verify is what is compared before a table is published, where its rule says nothing else.
	Verify Verify `json:"verify"`
	// State is where ledger, cursors and lease are kept: a bucket's address or a folder; "" is the folder .kitamae beside the file.
	State string `json:"state,omitempty"`
	// Schedule is when runs start, "" for never: cron's five fields, and a zone where it is not Timezone.
	Schedule string `json:"schedule,omitempty"`
	// Notify is who is told how runs end.
	Notify notify.Spec `json:"notify"`
	// Telemetry is where traces and metrics of runs go.
	Telemetry Telemetry `json:"telemetry"`
	// Deploy is how the config runs in a cloud.
	Deploy Deploy `json:"deploy"`
	// File is the config's path as it was given, Dir the folder that relative paths start from.
	File string `json:"file"`
	Dir  string `json:"dir"`
	// Origins says where each value came from.
	Origins conf.Origins `json:"origins"`
}

// Name is what the config is known by, where its state and its lease are: its file's name without the ending.
func (j *Job) Name() string {
	return strings.TrimSuffix(filepath.Base(j.File), filepath.Ext(j.File))
}

// End is one side of a job.
type End struct {
	Use string `json:"use"` // the connector's name
	// Spec is a pointer as the connector's NewSpec made it, filled.
	Spec any `json:"spec"`
	// Place says where it points to, for people, without secrets.
	Place string `json:"place"`
}

// Limits bound what a run may use.
type Limits struct {
	// Connections is how many connections may read data from the source at once. One more is opened for control.
	Connections int `yaml:"connections" json:"connections" conf:"min=1,max=64"`
	// Retries is how often a table whose reading failed by a fault that may pass, such as a lost connection, is read again within a run: after 15 seconds, then after twice as long each time, at most two minutes.
	Retries int `yaml:"retries" json:"retries" conf:"min=0,max=20"`
	// Memory is about how much the process may use, at least 64MiB. Left out, it is half of what the container or machine has, at most 1GiB.
	Memory conf.Bytes `yaml:"memory" json:"memory" conf:"min=64MiB"`
	// CostPerRun is how much one run may be billed by the destination, as in 1 USD: a run whose plan costs more ends before it reads anything, and a query of `kitamae query` that would be billed more is not asked. Left out, there is no limit.
	CostPerRun conf.Money `yaml:"cost_per_run" json:"cost_per_run,omitempty" conf:"min=0.000001 USD"`
}

// Telemetry is an OpenTelemetry collector, or what speaks as one.
type Telemetry struct {
	// Endpoint is its address for OTLP over HTTP, to which /v1/traces and /v1/metrics are added. Left out, OpenTelemetry's own variables say (OTEL_EXPORTER_OTLP_ENDPOINT and so on); without them nothing is sent.
	Endpoint string `yaml:"endpoint" json:"endpoint,omitempty"`
	// Headers go with every request, by their names. A key of the receiver's is a secret reference, such as secret:env:OTLP_KEY.
	Headers map[string]conf.Secret `yaml:"headers" json:"headers,omitempty"`
}

// Rule is one line below `tables:`.
type Rule struct {
	// Pattern is a table's exact name, or a glob.
	Pattern  string   `json:"pattern"`
	Skip     bool     `json:"skip,omitempty"`
	Settings Settings `json:"settings"`
	// At and Path say where the rule stands.
	At   conf.Place `json:"at"`
	Path string     `json:"path"`
}

// Settings say how to take a table.
type Settings struct {
	// Columns says which columns to take, and how.
	Columns Columns `yaml:"columns" json:"columns"`
	// Where is a condition in the source's SQL: only rows that meet it are taken.
	Where conf.Filled `yaml:"where" json:"where,omitempty"`
	// Name is the table's name at the destination. Left out, it is the name at the source, and schema_name outside the default schema. Only a rule for one table can have it.
	Name string `yaml:"name" json:"name,omitempty"`
	// Key is the column, or the list of columns, that identify a row. Left out, it is the primary key.
	Key []string `yaml:"key" json:"key,omitempty"`
	// Mode is how a run changes the table. `replace`, the default, publishes it whole in place of the one before. `append` adds rows to those that are there: the ones beyond `cursor`, those that meet `where`, or all of them as a `snapshot`. `merge` puts rows in place of those with the same key and adds the others. `overwrite` puts rows in place of the partitions they fall in. Not every destination has every mode.
	Mode connector.Mode `yaml:"mode" json:"mode,omitempty" conf:"enum=replace|append|merge|overwrite"`
	// Cursor is a column whose values only grow, such as a numbered key or the time of the last change: a run takes the rows beyond the greatest value of the run before. Rows where it is null are not taken. It is for the modes append and merge.
	Cursor string `yaml:"cursor" json:"cursor,omitempty"`
	// Append says that mode append takes every row in every run, and keeps them all: the columns `_kitamae_run` and `_kitamae_read_at` tell the runs apart.
	Append string `yaml:"append" json:"append,omitempty" conf:"enum=snapshot"`
	// Partition divides the table at the destination by a date or timestamp column: `column/hour`, `/day`, `/month` or `/year`; a column alone means day.
	Partition string `yaml:"partition" json:"partition,omitempty"`
	// Cluster lists the columns by which rows lie together within a partition at the destination.
	Cluster []string `yaml:"cluster" json:"cluster,omitempty"`
	// ExpireDays is after how many days a partition goes away at the destination, with the rows in it. Left out, a new table's stay for ever and a table that is there keeps what it has.
	ExpireDays int `yaml:"expire_days" json:"expire_days,omitempty" conf:"min=0"`
	// Retries is how often the table is read again within a run after a fault that may pass. Left out, it is limits.retries.
	Retries *int `yaml:"retries" json:"retries,omitempty" conf:"min=0,max=20"`
	// Verify is what is compared before the table is published: `none`, `aggregates` or `full`. Left out, it is the top-level `verify`.
	Verify Verify `yaml:"verify" json:"verify,omitempty" conf:"enum=none|aggregates|full"`
}

// Columns say which columns of a table to take, and how.
type Columns struct {
	// Only lists the columns to take, and no others. It can't stand beside drop.
	Only []string `yaml:"only" json:"only,omitempty"`
	// Drop lists columns to leave out.
	Drop []string `yaml:"drop" json:"drop,omitempty"`
	// Include lists columns to take although their names look like credentials.
	Include []string `yaml:"include" json:"include,omitempty"`
	// Types gives a column another type: `boolean` for an integer column of zeros and ones, `text` for the source's text form of any column.
	Types map[string]ColumnType `yaml:"types" json:"types,omitempty" conf:"enum=boolean|text"`
	// Rename gives columns another name at the destination, by their name at the source. Everything else here names columns as the source does.
	Rename map[string]string `yaml:"rename" json:"rename,omitempty"`
}

// ColumnType is a type a config may give to a column.
type ColumnType string

// The column types.
const (
	Boolean ColumnType = "boolean"
	Text    ColumnType = "text"
)

// Verify is what is compared before a table is published.
type Verify = string

// The levels of verification.
const (
	VerifyNone       Verify = "none"       // nothing but that every row written was stored
	VerifyAggregates Verify = "aggregates" // counts, nulls, least and greatest values, exact sums
	VerifyFull       Verify = "full"       // these, and a hash over all rows
)

// Nearest is the name a person most likely meant by typed, "" when none is close.
func Nearest(typed string, names []string) string { return conf.Nearest(typed, names) }

// Setting is one value of a config and where it came from.
type Setting struct {
	Path   string `json:"path"`
	Value  string `json:"value"` // "(secret)" for secrets
	Origin string `json:"origin"`
}

// Settings are the values a plan shows: those of both ends, the limits and the rest of the
// top level, by path. What tables say is shown with the tables; empty defaults are nothing to show.
func (j *Job) Settings() []Setting {
	var out []Setting
	for _, path := range sortedKeys(j.Origins) {
		o := j.Origins[path]
		if strings.HasPrefix(path, "tables.") || o.From == conf.FromDefault && emptyDefault(o.Value) {
			continue
		}
		out = append(out, Setting{Path: path, Value: o.Value, Origin: o.From})
	}
	return out
}

func emptyDefault(value string) bool {
	return value == "" || value == "0" || value == "false" || value == "0s" || value == conf.Money(0).String()
}
