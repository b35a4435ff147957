package job

import (
	"maps"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
)

// Check reports what is wrong with the rules by themselves, before the source is known.
// Front ends call it once they have filled the job; source and caps are what both ends can, caps the destination's.
func (j *Job) Check(source, caps connector.Caps) conf.Problems {
	r := resolver{job: j}
	if key, message := j.checkShards(source.Portable, caps.Shared); message != "" {
		path := conf.Join("deploy", key)
		r.problems.Add(j.Origins[path].Place, path, "%s", message)
	}
	for _, rule := range j.Tables {
		if !doublestar.ValidatePattern(strings.ReplaceAll(rule.Pattern, "/", "\x01")) {
			r.problems.Add(rule.At, rule.Path, "%s is not a pattern: *, ?, [a-z] and {a,b} match names, \\ takes the next character as it is", rule.Pattern)
		}
		if rule.Settings.Name != "" && !rule.exact() {
			path := conf.Join(rule.Path, "name")
			r.problems.Add(r.at(rule, path), path, "a name is for one table: write the table's own name instead of %s", rule.Pattern)
		}
		r.conflicts(rule)
		r.abilities(rule, caps)
	}
	return r.problems
}

// conflicts reports columns about which one rule says two things.
func (r *resolver) conflicts(rule Rule) {
	c := rule.Settings.Columns
	columns := conf.Join(rule.Path, "columns")
	if len(c.Only) > 0 && len(c.Drop) > 0 {
		path := conf.Join(columns, "drop")
		r.problems.Add(r.at(rule, conf.Index(path, 0)), path, "only and drop can't stand together: only already leaves out all others")
	}
	for i, name := range c.Include {
		path := conf.Index(conf.Join(columns, "include"), i)
		switch {
		case slices.Contains(c.Drop, name):
			r.problems.Add(r.at(rule, path), path, "%s is in drop, too", name)
		case len(c.Only) > 0 && !slices.Contains(c.Only, name):
			r.problems.Add(r.at(rule, path), path, "%s is not in only: name it there, which is enough", name)
		}
	}
	about := func(key string, names []string) {
		for _, name := range names {
			path := conf.Join(conf.Join(columns, key), name)
			switch {
			case slices.Contains(c.Drop, name):
				r.problems.Add(r.at(rule, path), path, "%s is in drop, too", name)
			case len(c.Only) > 0 && !slices.Contains(c.Only, name):
				r.problems.Add(r.at(rule, path), path, "%s is not in only", name)
			}
		}
	}
	about("types", sortedKeys(c.Types))
	about("rename", sortedKeys(c.Rename))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
