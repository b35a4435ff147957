package job

import (
	"cmp"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
)

// take fills the selection's columns: those asked for, in the table's order, less those
// that look like credentials and that no rule names.
func (r *resolver) take(s *Selection) {
	c := s.Settings.Columns
	for _, col := range s.Table.Columns {
		if len(c.Only) > 0 && !slices.Contains(c.Only, col.Name) || slices.Contains(c.Drop, col.Name) {
			continue
		}
		typ, retyped := c.Types[col.Name]
		named := retyped || slices.Contains(c.Only, col.Name) || slices.Contains(c.Include, col.Name)
		if !named && LooksLikeCredential(col.Name) {
			s.LeftOut = append(s.LeftOut, col.Name)
			continue
		}
		if retyped {
			var ok bool
			if col, ok = retype(col, typ); !ok {
				at, path := r.place(s.rules, func(rule Rule) string {
					return conf.Join(conf.Join(conf.Join(rule.Path, "columns"), "types"), col.Name)
				})
				r.problems.Add(at, path, "%s.%s is %s: only whole numbers can become boolean", s.Table.Ref(), col.Name, col.Native)
			}
		}
		s.Scan.Columns = append(s.Scan.Columns, col)
		s.Names = append(s.Names, s.named(col.Name))
	}
	r.twice(s)
	if len(s.Scan.Columns) == 0 && len(s.Table.Columns) > 0 {
		last := s.rules[len(s.rules)-1]
		r.problems.Add(last.At, conf.Join(last.Path, "columns"), "leaves no column of %s", s.Table.Ref())
	}
}

// named is a column's name at the destination.
func (s *Selection) named(column string) string {
	return cmp.Or(s.Settings.Columns.Rename[column], column)
}

// twice reports columns that a rename gives the name of another.
func (r *resolver) twice(s *Selection) {
	taken := map[string]string{}
	for i, name := range s.Names {
		from := s.Scan.Columns[i].Name
		other, twice := taken[name]
		taken[name] = from
		if !twice {
			continue
		}
		renamed := from
		if name == from {
			renamed = other
		}
		at, path := r.place(s.rules, func(rule Rule) string {
			return conf.Join(conf.Join(conf.Join(rule.Path, "columns"), "rename"), renamed)
		})
		r.problems.Add(at, path, "%s and %s of %s would both be %s at the destination", other, from, s.Table.Ref(), name)
	}
}

// retype gives a column the type a config asks for.
func retype(col connector.Column, to ColumnType) (connector.Column, bool) {
	if to == Text {
		col.Type, col.Kind = connector.Type{DataType: arrow.BinaryTypes.String}, ""
		return col, true
	}
	id := col.Type.ID()
	whole := arrow.IsInteger(id) || col.Kind == batch.KindBit // PostgreSQL's bits are text
	if id != arrow.BOOL && !whole || col.Kind == batch.KindYear {
		return col, false
	}
	col.Type, col.Kind = connector.Type{DataType: arrow.FixedWidthTypes.Boolean}, ""
	return col, true
}

// columns reports what is wrong with the columns that rules name. It looks at rules, not
// at tables, so that each mistake is told once, at its place.
func (r *resolver) columns() {
	for _, rule := range r.rules {
		var about []connector.Table
		var have []string
		for _, t := range r.tables {
			if rule.matches(t) {
				about = append(about, t)
				for _, c := range t.Columns {
					have = append(have, c.Name)
				}
			}
		}
		if rule.Skip || len(about) == 0 {
			continue
		}
		whose := "no table that matches has such a column"
		if rule.exact() {
			whose = about[0].Ref() + " has no such column"
		}
		rule.names(func(path, name string) {
			if !slices.Contains(have, name) {
				r.problems.Add(r.at(rule, path), path, "%s: %s%s", name, whose, conf.DidYouMean(name, have))
			}
		})
	}
}

// names calls each for every column the rule names.
func (r Rule) names(each func(path, name string)) {
	columns := conf.Join(r.Path, "columns")
	lists := []struct {
		path  string
		names []string
	}{
		{conf.Join(columns, "only"), r.Settings.Columns.Only},
		{conf.Join(columns, "drop"), r.Settings.Columns.Drop},
		{conf.Join(columns, "include"), r.Settings.Columns.Include},
		{conf.Join(r.Path, "key"), r.Settings.Key},
		{conf.Join(r.Path, "cluster"), r.Settings.Cluster},
	}
	for _, l := range lists {
		for i, name := range l.names {
			each(conf.Index(l.path, i), name)
		}
	}
	for _, name := range sortedKeys(r.Settings.Columns.Types) {
		each(conf.Join(conf.Join(columns, "types"), name), name)
	}
	for _, name := range sortedKeys(r.Settings.Columns.Rename) {
		each(conf.Join(conf.Join(columns, "rename"), name), name)
	}
	if r.Settings.Cursor != "" {
		each(conf.Join(r.Path, "cursor"), r.Settings.Cursor)
	}
	if column, _ := r.Settings.partition(); column != "" {
		each(conf.Join(r.Path, "partition"), column)
	}
}

// at is where the config has the value at path, else where the rule stands.
func (r *resolver) at(rule Rule, path string) conf.Place {
	if o, ok := r.job.Origins[path]; ok && o.Line > 0 {
		return o.Place
	}
	return rule.At
}
