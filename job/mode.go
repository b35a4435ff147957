package job

import (
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
)

// Snapshot is the value of Settings.Append: every run's rows are kept, in these columns' company.
const (
	Snapshot     = "snapshot"
	RunColumn    = "_kitamae_run"     // the run's ID, text
	ReadAtColumn = "_kitamae_read_at" // when the run began, UTC
)

// partitionUnits are the stretches of time that make a partition.
var partitionUnits = []string{"hour", "day", "month", "year"}

// partition is the column and the unit of Settings.Partition. A column with a slash in its name must name a unit.
func (s Settings) partition() (column, unit string) {
	i := strings.LastIndexByte(s.Partition, '/')
	if i < 0 {
		return s.Partition, "day"
	}
	return s.Partition[:i], s.Partition[i+1:]
}

// abilities reports what a rule asks of a destination that can't do it.
func (r *resolver) abilities(rule Rule, caps connector.Caps) {
	use, s := r.job.Destination.Use, rule.Settings
	problem := func(key, format string, args ...any) {
		path := conf.Join(rule.Path, key)
		r.problems.Add(r.at(rule, path), path, format, args...)
	}
	if use != "" && s.Mode != "" && !caps.Has(s.Mode) {
		var has []string
		for _, m := range []connector.Mode{connector.Replace, connector.Append, connector.Merge, connector.Overwrite} {
			if caps.Has(m) {
				has = append(has, string(m))
			}
		}
		problem("mode", "%s has no mode %s, only %s", use, s.Mode, strings.Join(has, ", "))
	}
	if s.Partition != "" {
		if use != "" && !caps.Layout {
			problem("partition", "%s does not partition tables: remove this line", use)
		} else if _, unit := s.partition(); !slices.Contains(partitionUnits, unit) {
			problem("partition", "want column/unit with a unit of %s, got %q%s", strings.Join(partitionUnits, ", "), unit, conf.DidYouMean(unit, partitionUnits))
		}
	}
	if use != "" && len(s.Cluster) > 0 && !caps.Layout {
		problem("cluster", "%s does not cluster tables: remove this line", use)
	}
	if use != "" && s.ExpireDays > 0 && !caps.Layout {
		problem("expire_days", "%s does not partition tables: remove this line", use)
	}
}

// mode reports settings that do not go with the table's mode, and completes the scan.
func (r *resolver) mode(s *Selection) {
	set, ref := s.Settings, s.Table.Ref()
	problem := func(key, format string, args ...any) {
		at, path := r.place(s.rules, func(rule Rule) string { return conf.Join(rule.Path, key) })
		r.problems.Add(at, path, format, args...)
	}
	appends := set.Mode == connector.Append
	switch {
	case set.Cursor != "" && !appends && set.Mode != connector.Merge:
		problem("cursor", "mode %s takes %s without a cursor: say mode: append or merge, or remove this line", set.Mode, ref)
	case set.Append != "" && !appends:
		problem("append", "mode of %s is %s: say mode: append, or remove this line", ref, set.Mode)
	case set.Append == Snapshot && set.Cursor != "":
		problem("append", "a snapshot is all rows of %s, a cursor the new ones only: remove one of the two", ref)
	case appends && set.Append == "" && set.Cursor == "" && set.Where == "":
		problem("mode", "each run would add every row of %s again: name a cursor (a column that only grows), a where that meets only new rows, or say append: snapshot to keep each run's rows apart", ref)
	case set.Mode == connector.Merge && len(s.Key) == 0:
		problem("mode", "merge finds rows by their key, and none is known of %s: name one with key, and take its columns", ref)
	case set.Mode == connector.Overwrite && set.Partition == "":
		problem("mode", "overwrite puts partitions of %s in place of others: say which with partition: column/day", ref)
	}
	if set.Append == Snapshot {
		for i, name := range s.Names {
			if name == RunColumn || name == ReadAtColumn {
				problem("append", "%s.%s has the name of a column that a snapshot adds: drop or rename it", ref, s.Scan.Columns[i].Name)
			}
		}
	}
	if set.Cursor == "" {
		return
	}
	col, ok := column(s.Table, set.Cursor) // names reports one that is nowhere
	if ok && !ordered(col) {
		problem("cursor", "%s.%s is %s: a cursor is a whole number, a decimal, a date, a timestamp or text", ref, col.Name, col.Native)
	}
	told := slices.ContainsFunc(s.rules, func(rule Rule) bool { return rule.exact() && rule.Settings.Cursor == set.Cursor }) ||
		!slices.ContainsFunc(r.tables, func(t connector.Table) bool { _, has := column(t, set.Cursor); return has })
	if !ok && !told { // a glob's tables: names is content with one of them
		problem("cursor", "%s has no column %s", ref, set.Cursor)
	}
	s.Scan.Cursor = set.Cursor
}

// ordered says whether a column's values have one order at every source, and an exact text form.
func ordered(c connector.Column) bool {
	id := c.Type.ID()
	switch {
	case c.Kind != "" && c.Kind != batch.KindYear && c.Kind != batch.KindDecimal:
		return false
	case arrow.IsInteger(id), arrow.IsDecimal(id):
		return true
	}
	return id == arrow.STRING || id == arrow.DATE32 || id == arrow.TIMESTAMP
}

// layout fills in the selection's layout by the names at the destination.
func (r *resolver) layout(s *Selection) {
	taken := func(name, key string, i int) (connector.Column, bool) {
		for _, c := range s.Scan.Columns {
			if c.Name == name {
				return c, true
			}
		}
		if _, there := column(s.Table, name); there {
			at, path := r.place(s.rules, func(rule Rule) string {
				if i < 0 {
					return conf.Join(rule.Path, key)
				}
				return conf.Index(conf.Join(rule.Path, key), i)
			})
			r.problems.Add(at, path, "%s arranges the rows of %s, but the columns taken leave it out", name, s.Table.Ref())
		}
		return connector.Column{}, false
	}
	if name, unit := s.Settings.partition(); name != "" {
		if c, ok := taken(name, "partition", -1); ok {
			if id := c.Type.ID(); id != arrow.TIMESTAMP && (id != arrow.DATE32 || unit == "hour") {
				at, path := r.place(s.rules, func(rule Rule) string { return conf.Join(rule.Path, "partition") })
				r.problems.Add(at, path, "%s.%s is %s: it can't be divided by the %s", s.Table.Ref(), name, c.Native, unit)
			}
			s.Layout.Partition, s.Layout.Unit = s.named(name), unit
		}
	}
	if s.Settings.ExpireDays > 0 && s.Settings.Partition == "" {
		at, path := r.place(s.rules, func(rule Rule) string { return conf.Join(rule.Path, "expire_days") })
		r.problems.Add(at, path, "%s has no partitions to go away: name a column with partition, or remove this line", s.Table.Ref())
	}
	if s.Layout.Partition != "" {
		s.Layout.ExpireDays = s.Settings.ExpireDays
	}
	for i, name := range s.Settings.Cluster {
		if _, ok := taken(name, "cluster", i); ok {
			s.Layout.Cluster = append(s.Layout.Cluster, s.named(name))
		}
	}
}

// keyTaken is the key by its names at the destination when all its columns are read, else nothing:
// half a key identifies no row.
func (s *Selection) keyTaken() []string {
	key := s.Scan.Key
	if len(key) == 0 {
		key = s.Table.Key
	}
	var out []string
	for _, k := range key {
		if !slices.ContainsFunc(s.Scan.Columns, func(c connector.Column) bool { return c.Name == k }) {
			return nil
		}
		out = append(out, s.named(k))
	}
	return out
}
