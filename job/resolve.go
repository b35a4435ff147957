package job

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
)

// Selection is one table a run takes, and how.
type Selection struct {
	Table connector.Table `json:"table"`
	// Settings are those of all rules that match the table, combined.
	Settings Settings `json:"settings"`
	// Scan asks the source for the table.
	Scan connector.TableScan `json:"scan"`
	// Name is the wanted name at the destination, Names those of Scan.Columns.
	Name  string   `json:"name"`
	Names []string `json:"names"`
	// Key is the columns that identify a row, by their names at the destination; empty where they are not all taken.
	Key []string `json:"key,omitempty"`
	// Layout has the names at the destination, too.
	Layout connector.Layout `json:"layout,omitzero"`
	// Verify is the table's level of verification.
	Verify Verify `json:"verify"`
	// Retries is how often the table is read again within a run.
	Retries int `json:"retries"`
	// LeftOut are columns that look like credentials and that no rule names.
	LeftOut []string `json:"left_out,omitempty"`

	rules []Rule // that match, in order of precedence
}

// Resolve applies the rules to the tables that Discover found, and returns those to take
// in Discover's order, or a fault with every problem.
//
// All rules that match a table combine: "*" first, then the other globs in the order of
// the file, then the table's exact name. A later rule wins: its where, name, key, mode, cursor, append,
// partition, cluster, expire_days, verify and columns.only replace those before; columns.drop, include, types and rename add to
// them, where a column's last mention counts (a later only takes back an earlier drop).
// The last matching rule says whether the table is skipped. A table no rule matches is not
// taken; without any rules every table is. Views are taken only by their exact name.
//
// A glob matches a table's name, which outside the default schema begins with the schema
// (audit.log): "*" matches all. What a glob says of columns applies to the tables that
// have them, and one of them must.
func (j *Job) Resolve(tables []connector.Table) ([]Selection, error) {
	rules := j.Tables
	if len(rules) == 0 {
		rules = []Rule{{Pattern: "*", Path: `tables."*"`, At: conf.Place{File: j.File}}}
	}
	r := resolver{job: j, tables: tables, rules: byPrecedence(rules)}
	r.missing()
	var out []Selection
	for _, t := range tables {
		matching := r.matching(t)
		if len(matching) == 0 || matching[len(matching)-1].Skip {
			continue
		}
		if t.View && !slices.ContainsFunc(matching, Rule.exact) {
			continue
		}
		out = append(out, r.selection(t, matching))
	}
	r.columns()
	r.names(out)
	return out, r.problems.Err()
}

// resolver collects what is wrong while rules meet tables.
type resolver struct {
	job      *Job
	tables   []connector.Table
	rules    []Rule
	problems conf.Problems
}

// byPrecedence orders rules from the most general to the most specific.
func byPrecedence(rules []Rule) []Rule {
	rank := func(r Rule) int {
		switch {
		case r.Pattern == "*":
			return 0
		case r.exact():
			return 2
		}
		return 1
	}
	sorted := slices.Clone(rules)
	slices.SortStableFunc(sorted, func(a, b Rule) int { return cmp.Compare(rank(a), rank(b)) })
	return sorted
}

// exact says whether the rule names one table.
func (r Rule) exact() bool {
	_, ok := r.table()
	return ok
}

// table is the one table the rule names. A backslash takes the next character as it is, so
// that tables with a * in their names can be named.
func (r Rule) table() (ref string, ok bool) {
	var out strings.Builder
	for i := 0; i < len(r.Pattern); i++ {
		switch c := r.Pattern[i]; c {
		case '*', '?', '[', '{':
			return "", false
		case '\\':
			i++
			if i == len(r.Pattern) {
				return "", false
			}
			out.WriteByte(r.Pattern[i])
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), true
}

// matches says whether the rule is about t.
func (r Rule) matches(t connector.Table) bool {
	if ref, ok := r.table(); ok {
		return ref == t.Ref()
	}
	// A slash is nothing special in a table's name.
	ok, err := doublestar.Match(strings.ReplaceAll(r.Pattern, "/", "\x01"), strings.ReplaceAll(t.Ref(), "/", "\x01"))
	return ok && err == nil
}

// Matches says whether pattern, a table's Ref or a glob as in `tables:`, is about t.
func Matches(pattern string, t connector.Table) bool { return Rule{Pattern: pattern}.matches(t) }

// Where is the condition that Resolve gives a table.
func (j *Job) Where(t connector.Table) (where conf.Filled) {
	r := resolver{rules: byPrecedence(j.Tables)}
	for _, rule := range r.matching(t) {
		where = cmp.Or(rule.Settings.Where, where)
	}
	return where
}

func (r *resolver) matching(t connector.Table) []Rule {
	var out []Rule
	for _, rule := range r.rules {
		if rule.matches(t) {
			out = append(out, rule)
		}
	}
	return out
}

// missing reports exact names that are no table's.
func (r *resolver) missing() {
	refs := make([]string, len(r.tables))
	for i, t := range r.tables {
		refs[i] = t.Ref()
	}
	for _, rule := range r.rules {
		if ref, exact := rule.table(); exact && !slices.Contains(refs, ref) {
			r.problems.Add(rule.At, rule.Path, "%s has no such table%s", cmp.Or(r.job.Source.Place, "the source"), conf.DidYouMean(ref, refs))
		}
	}
}

// selection combines the rules for t.
func (r *resolver) selection(t connector.Table, rules []Rule) Selection {
	s := Selection{Table: t, rules: rules}
	for _, rule := range rules {
		s.Settings = merge(s.Settings, rule.Settings)
	}
	s.Name = cmp.Or(s.Settings.Name, t.Name)
	if s.Settings.Name == "" && t.Schema != "" {
		s.Name = t.Schema + "_" + t.Name
	}
	s.Verify = cmp.Or(s.Settings.Verify, r.job.Verify, VerifyAggregates)
	s.Retries = *cmp.Or(s.Settings.Retries, &r.job.Limits.Retries)
	s.Settings.Mode = cmp.Or(s.Settings.Mode, connector.Replace)
	s.Scan = connector.TableScan{Table: t, Where: s.Settings.Where}
	r.take(&s)
	if key := s.Settings.Key; len(key) > 0 && hasAll(t, key) {
		s.Scan.Key = key
		for i, k := range key {
			if !slices.ContainsFunc(s.Scan.Columns, func(c connector.Column) bool { return c.Name == k }) {
				at, path := r.place(rules, func(rule Rule) string { return conf.Index(conf.Join(rule.Path, "key"), i) })
				r.problems.Add(at, path, "%s identifies the rows of %s, but the columns taken leave it out", k, t.Ref())
			}
		}
	}
	s.Key = s.keyTaken()
	r.mode(&s)
	r.layout(&s)
	return s
}

// merge refines a by b.
func merge(a, b Settings) Settings {
	out := Settings{
		Where:      cmp.Or(b.Where, a.Where),
		Name:       cmp.Or(b.Name, a.Name),
		Mode:       cmp.Or(b.Mode, a.Mode),
		Cursor:     cmp.Or(b.Cursor, a.Cursor),
		Append:     cmp.Or(b.Append, a.Append),
		Partition:  cmp.Or(b.Partition, a.Partition),
		Verify:     cmp.Or(b.Verify, a.Verify),
		ExpireDays: cmp.Or(b.ExpireDays, a.ExpireDays),
		Key:        a.Key,
		Cluster:    a.Cluster,
		Retries:    cmp.Or(b.Retries, a.Retries),
	}
	if len(b.Key) > 0 {
		out.Key = b.Key
	}
	if len(b.Cluster) > 0 {
		out.Cluster = b.Cluster
	}
	x, y := a.Columns, b.Columns
	c := Columns{Only: x.Only, Include: append(slices.Clone(x.Include), y.Include...)}
	if len(y.Only) > 0 {
		c.Only = y.Only
	}
	named := slices.Concat(y.Only, y.Include)
	for _, name := range x.Drop {
		if !slices.Contains(named, name) {
			c.Drop = append(c.Drop, name)
		}
	}
	c.Drop = append(c.Drop, y.Drop...)
	c.Types, c.Rename = both(x.Types, y.Types), both(x.Rename, y.Rename)
	out.Columns = c
	return out
}

// both is the entries of a and b, where b wins.
func both[V any](a, b map[string]V) map[string]V {
	if len(a)+len(b) == 0 {
		return nil
	}
	out := map[string]V{}
	maps.Copy(out, a)
	maps.Copy(out, b)
	return out
}

func hasAll(t connector.Table, names []string) bool {
	for _, name := range names {
		if _, ok := column(t, name); !ok {
			return false
		}
	}
	return true
}

func column(t connector.Table, name string) (connector.Column, bool) {
	for _, c := range t.Columns {
		if c.Name == name {
			return c, true
		}
	}
	return connector.Column{}, false
}

// place finds the rule that had the last word on a setting: the last for whose path the config has a value.
func (r *resolver) place(rules []Rule, path func(Rule) string) (conf.Place, string) {
	last := rules[len(rules)-1]
	for _, rule := range slices.Backward(rules) {
		if o, ok := r.job.Origins[path(rule)]; ok && o.Line > 0 {
			return o.Place, path(rule)
		}
	}
	return last.At, path(last)
}

// names reports tables that want the same name at the destination.
func (r *resolver) names(selected []Selection) {
	taken := map[string]Selection{}
	for _, s := range selected {
		other, twice := taken[s.Name]
		taken[s.Name] = s
		if !twice {
			continue
		}
		named := s
		if s.Settings.Name == "" {
			named = other
		}
		at, path := r.place(named.rules, func(rule Rule) string { return conf.Join(rule.Path, "name") })
		r.problems.Add(at, path, "%s and %s would both be %s at the destination: give one of them another name", other.Table.Ref(), s.Table.Ref(), s.Name)
	}
}
