package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/run"
)

// TestOnly reads some tables between whole runs: the others stay as they were, with their cursors, and are not called stale, unless
// they really are gone.
func TestOnly(t *testing.T) {
	from := origins(t)[0]
	for _, to := range goals(t) {
		t.Run(to.name, func(t *testing.T) {
			from.exec(t, "DROP TABLE IF EXISTS users, logs, other, gone",
				"CREATE TABLE users (id int PRIMARY KEY)", "CREATE TABLE logs (id int PRIMARY KEY)",
				"CREATE TABLE other (id int PRIMARY KEY)", "CREATE TABLE gone (id int PRIMARY KEY)")
			add := func(v string) {
				for _, table := range []string{"users", "logs", "other"} {
					from.exec(t, "INSERT INTO "+table+" VALUES ("+v+")")
				}
			}
			config := []string{to.config, `tables: {"*": {}, logs: {mode: append, cursor: id}, other: {name: others}}`}
			p := from.place(t)
			only := func(t *testing.T, patterns ...string) (*run.Report, error) {
				req := p.request(t, config...)
				req.Only = patterns
				return run.Drive(t.Context(), req)
			}
			holds := func(t *testing.T, users, logs, others string) {
				t.Helper()
				for table, want := range map[string]string{"users": users, "logs": logs, "others": others} {
					if _, rows := to.shown(t, p, table); strings.Join(rows, " ") != want {
						t.Errorf("%s holds %v, want %s", table, rows, want)
					}
				}
			}
			statuses := func(r *run.Report) (lines []string) {
				for _, line := range r.Tables {
					lines = append(lines, line.Table+" "+string(line.Status))
				}
				return lines
			}
			add("1")
			if r := p.drive(t, config...); r.Guarantee != connector.Database {
				t.Fatalf("a whole run is %s: the test wants a guarantee to lower", r.Guarantee)
			}
			add("2")
			r, err := only(t, "users")
			if err != nil {
				t.Fatal(err)
			}
			holds(t, "1 2", "1", "1")
			if got := statuses(r); !slices.Equal(got, []string{"users published"}) || r.Status != run.StatusPublished {
				t.Errorf("the report: %s, %v", r.Status, got)
			}
			if e := r.Tables[0].Evidence; r.Guarantee != connector.PerTable || e.Guarantee != connector.PerTable {
				t.Errorf("claims %s, and %s of the table, while others are older", r.Guarantee, e.Guarantee)
			}
			add("3")
			if _, err := only(t, "log?", "us*"); err != nil {
				t.Fatal(err)
			}
			holds(t, "1 2 3", "1 2 3", "1")
			from.exec(t, "DROP TABLE gone")
			if r, err = only(t, "users"); err != nil {
				t.Fatal(err)
			}
			if got := statuses(r); !slices.Equal(got, []string{"users published", "gone stale"}) {
				t.Errorf("with a table gone: %v", got)
			}
			add("4")
			p.drive(t, config...)
			holds(t, "1 2 3 4", "1 2 3 4", "1 2 3 4")
			for pattern, code := range map[string]string{"usres": "run.no_such_table", "gone": "run.no_such_table"} {
				if r, err := only(t, "users", pattern); !fault.HasCode(err, code) || len(r.Tables) > 0 {
					t.Errorf("asked for %s: %v, %v; want %s and nothing done", pattern, err, r.Tables, code)
				} else if pattern == "usres" && !strings.Contains(err.Error(), "did you mean users?") {
					t.Errorf("no nearest name in %v", err)
				}
			}
			config[1] = `tables: {"*": {}, other: skip}`
			if _, err := only(t, "other"); !fault.HasCode(err, "run.table_left_out") {
				t.Errorf("a table that the config leaves out: %v", err)
			}
		})
	}
}

// TestOnlyIsNotTheWholeRun: a run for some tables at a scheduled time does not stand for the whole run at that time.
func TestOnlyIsNotTheWholeRun(t *testing.T) {
	from := origins(t)[0]
	from.exec(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)")
	p := from.place(t)
	for _, step := range []struct {
		only []string
		runs bool
	}{{[]string{"a"}, true}, {[]string{"a"}, false}, {nil, true}, {nil, false}} {
		req := p.request(t)
		req.Occasion, req.Only = "20261129T050000Z", step.only
		if r, err := run.Drive(t.Context(), req); (err == nil) != step.runs {
			t.Errorf("asked for %v: %v, %v; want a run: %v", step.only, r, err, step.runs)
		}
	}
}
