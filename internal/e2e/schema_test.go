package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/run"
)

// change is what becomes of a table between two runs.
type change struct {
	name          string
	before, after string // columns; "" for no table
	rows          string // VALUES of after
	config        string // of the table, for the second run
	says          []string
	columns       []string
	want          []string
}

var changes = []change{
	{name: "same", before: "id int, a int, b varchar(20)", after: "id int, a int, b varchar(20)", rows: "(1, 5, 'x'), (2, NULL, 'y')",
		columns: []string{"id", "a", "b"}, want: []string{"1|5|x", "2|NULL|y"}},
	{name: "added", before: "id int, a int", after: "id int, n varchar(20), a int", rows: "(1, 'new', 5), (2, NULL, 6)", says: []string{"column n: new"},
		columns: []string{"id", "n", "a"}, want: []string{"1|new|5", "2|NULL|6"}},
	{name: "dropped", before: "id int, a int, b varchar(20)", after: "id int, a int", rows: "(1, 5)", says: []string{"column b: gone"},
		columns: []string{"id", "a"}, want: []string{"1|5"}},
	{name: "renamed", before: "id int, a int", after: "id int, aa int", rows: "(1, 5)", says: []string{"column aa: new", "column a: gone"},
		columns: []string{"id", "aa"}, want: []string{"1|5"}},
	{name: "renamed_back", before: "id int, a int", after: "id int, aa int", rows: "(1, 5)", config: "{columns: {rename: {aa: a}}}",
		columns: []string{"id", "a"}, want: []string{"1|5"}},
	{name: "widened", before: "id int, a decimal(5,2)", after: "id int, a decimal(15,3)", rows: "(1, 123456789012.125)",
		columns: []string{"id", "a"}, want: []string{"1|123456789012.125"}},
	{name: "retyped", before: "id int, a int", after: "id int, a varchar(20)", rows: "(1, 'five')", says: []string{"column a: "},
		columns: []string{"id", "a"}, want: []string{"1|five"}},
	{name: "reordered", before: "id int, a int, b varchar(20)", after: "b varchar(20), a int, id int", rows: "('x', 5, 1)",
		columns: []string{"b", "a", "id"}, want: []string{"x|5|1"}},
	{name: "vanished", before: "id int, a int"},
	{name: "came", after: "id int", rows: "(7)", columns: []string{"id"}, want: []string{"7"}},
}

// TestReplaceFollowsSchema changes tables between two runs in every way, from every kind of source to every kind of destination:
// the plan sees each change, the run publishes the table whole and its report has a line of it.
func TestReplaceFollowsSchema(t *testing.T) {
	across(t, func(t *testing.T, from origin, to goal) {
		make := func(c change, columns, rows string) {
			from.exec(t, "DROP TABLE IF EXISTS "+c.name)
			if columns != "" {
				from.exec(t, "CREATE TABLE "+c.name+" ("+columns+")", "INSERT INTO "+c.name+" VALUES "+rows)
			}
		}
		for _, c := range changes {
			rows := map[int]string{1: "(9)", 2: "(9, 8)", 3: "(9, 8, 'z')"}[1+strings.Count(c.before, ", ")]
			make(c, c.before, rows)
		}
		p := from.place(t)
		p.drive(t, to.config, "verify: full")
		second := []string{to.config, "verify: full", "tables:", `  "*": {}`}
		for _, c := range changes {
			make(c, c.after, c.rows)
			if c.config != "" {
				second = append(second, "  "+c.name+": "+c.config)
			}
		}
		plan := planOf(t, p, second)
		r := p.drive(t, second...)
		for _, c := range changes {
			if c.after == "" {
				if !slices.Contains(plan.Stale, c.name) {
					t.Errorf("%s: the plan's stale tables are %q", c.name, plan.Stale)
				}
				i := slices.IndexFunc(r.Tables, func(line run.TableReport) bool { return line.Table == c.name })
				if i < 0 || r.Tables[i].Status != run.StatusStale {
					t.Errorf("%s: no line of a stale table in\n%s", c.name, describe(r))
				}
				if columns, rows := to.shown(t, p, c.name); !slices.Equal(columns, []string{"id", "a"}) || !slices.Equal(rows, []string{"9|8"}) {
					t.Errorf("%s is not as it was: %q %q", c.name, columns, rows)
				}
				continue
			}
			i := slices.IndexFunc(plan.Tables, func(pt run.PlannedTable) bool { return pt.Target.Name == c.name })
			planned, line := plan.Tables[i].Target.Changes, tableReport(t, r, c.name)
			for _, said := range [][]string{planned, line.Changes} {
				for _, want := range c.says {
					if !slices.ContainsFunc(said, func(s string) bool { return strings.HasPrefix(s, want) }) {
						t.Errorf("%s: the changes are %q, want %q", c.name, said, want)
					}
				}
				if c.says == nil && c.name != "widened" && len(said) > 0 { // SQLite's decimals have one type
					t.Errorf("%s: the changes are %q, want none", c.name, said)
				}
			}
			columns, rows := to.shown(t, p, c.name)
			if !slices.Equal(columns, c.columns) || !slices.Equal(rows, c.want) {
				t.Errorf("%s: %q %q, want %q %q", c.name, columns, rows, c.columns, c.want)
			}
		}
		from.exec(t, "CREATE TABLE vanished (id int, a int, more int)", "INSERT INTO vanished VALUES (1, 2, 3)")
		r = p.drive(t, second...)
		if line := tableReport(t, r, "vanished"); line.Status != run.StatusPublished {
			t.Errorf("the table came back: %+v", line)
		}
		if columns, rows := to.shown(t, p, "vanished"); !slices.Equal(columns, []string{"id", "a", "more"}) || !slices.Equal(rows, []string{"1|2|3"}) {
			t.Errorf("the table came back as %q %q", columns, rows)
		}
		for _, c := range changes {
			from.exec(t, "DROP TABLE IF EXISTS "+c.name)
		}
	})
}

// planOf is what `kitamae plan` shows.
func planOf(t *testing.T, p *project, extra []string) *run.Plan {
	t.Helper()
	s, err := run.Open(t.Context(), p.request(t, extra...))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	plan, err := s.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return plan
}
