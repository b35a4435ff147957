// Package job is what a user asked for, as data: both ends, the tables and how to take
// them. Front ends such as job/native make a Job; what becomes of it is the run's matter.
package job

import (
	"strings"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
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
	// File is the config's path as it was given, Dir the folder that relative paths start from.
	File string `json:"file"`
	Dir  string `json:"dir"`
	// Origins says where each value came from.
	Origins conf.Origins `json:"origins"`
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
	// Memory is about how much the process may use, at least 64MiB. Left out, it is half of what the container or machine has, at most 1GiB.
	Memory conf.Bytes `yaml:"memory" json:"memory" conf:"min=64MiB"`
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
	Where string `yaml:"where" json:"where,omitempty"`
	// Name is the table's name at the destination. Left out, it is the name at the source, and schema_name outside the default schema. Only a rule for one table can have it.
	Name string `yaml:"name" json:"name,omitempty"`
	// Key is the column, or the list of columns, that identify a row. Left out, it is the primary key.
	Key []string `yaml:"key" json:"key,omitempty"`
	// Mode is how a run changes the table. `replace`, the default, publishes it whole in place of the one before.
	Mode connector.Mode `yaml:"mode" json:"mode,omitempty" conf:"enum=replace"`
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
	return value == "" || value == "0" || value == "false" || value == "0s"
}
