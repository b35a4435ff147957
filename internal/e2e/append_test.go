package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
)

// TestAppend adds rows to tables in three runs, by cursors of every type there is: each row arrives once, rows that come again
// and rows without a cursor's value do not.
func TestAppend(t *testing.T) {
	cursors := []struct{ name, typ string }{
		{"big", "bigint"}, {"dec", "decimal(30,5)"}, {"day", "date"}, {"at", "timestamp"}, {"word", "varchar(40)"},
	}
	value := func(typ string, n int) string {
		switch typ {
		case "bigint":
			return fmt.Sprint(9_007_199_254_740_990 + n) // where a float can't tell neighbours apart
		case "decimal(30,5)":
			return fmt.Sprintf("1234567890123456789.%05d", n)
		case "date":
			return fmt.Sprintf("'2024-02-%02d'", n)
		case "timestamp":
			return fmt.Sprintf("'2024-02-28 23:59:%02d'", n)
		}
		return fmt.Sprintf("'it''s %02d 語'", n)
	}
	across(t, func(t *testing.T, from origin, to goal) {
		config := []string{to.config, "verify: full", "tables:"}
		add := func(ns ...int) {
			for _, c := range cursors {
				for _, n := range ns {
					v := value(c.typ, n)
					if c.name == "dec" {
						v = literal(v) // SQLite would make a float of it
					}
					from.exec(t, fmt.Sprintf("INSERT INTO by_%s VALUES (%d, %s)", c.name, n, v))
				}
			}
		}
		for _, c := range cursors {
			nulls := ""
			if from.name == "mysql" && c.typ == "timestamp" {
				nulls = " NULL DEFAULT NULL"
			}
			typ := c.typ
			if from.name == "sqlite" && c.typ == "decimal(30,5)" {
				typ = "text" // its decimals are floats
			}
			from.exec(t, "DROP TABLE IF EXISTS by_"+c.name, "CREATE TABLE by_"+c.name+" (id int, c "+typ+nulls+")",
				"INSERT INTO by_"+c.name+" VALUES (90, NULL)")
			config = append(config, "  by_"+c.name+": {mode: append, cursor: c}")
		}
		p := from.place(t)
		want := []int{}
		for _, batch := range [][]int{{1, 2, 3}, {4, 5}, {}, {6}} {
			add(batch...)
			want = append(want, batch...)
			r := p.drive(t, config...)
			for _, c := range cursors {
				_, rows := to.shown(t, p, "by_"+c.name)
				var ids []string
				for _, row := range rows {
					id, _, _ := strings.Cut(row, "|")
					ids = append(ids, id)
				}
				var wanted []string
				for _, n := range want {
					wanted = append(wanted, fmt.Sprint(n))
				}
				if !slices.Equal(ids, wanted) {
					t.Fatalf("by_%s holds rows %q, want %q\n%s", c.name, ids, wanted, describe(r))
				}
				if e := tableReport(t, r, "by_"+c.name).Evidence; e.Rows != int64(len(batch)) || e.SourceRows != e.Rows {
					t.Errorf("by_%s: %d rows arrived, the source counted %d, want %d", c.name, e.Rows, e.SourceRows, len(batch))
				}
			}
		}
		for _, c := range cursors {
			from.exec(t, "DROP TABLE by_"+c.name)
		}
	})
}

// TestAppendModes keeps every run's rows of one table and those of a condition of another, and guards a table whose mode changes.
func TestAppendModes(t *testing.T) {
	across(t, func(t *testing.T, from origin, to goal) {
		from.exec(t, "DROP TABLE IF EXISTS kept", "CREATE TABLE kept (id int, a int)", "INSERT INTO kept VALUES (1, 1), (2, 2)",
			"DROP TABLE IF EXISTS news", "CREATE TABLE news (id int)", "INSERT INTO news VALUES (1), (2)")
		p := from.place(t)
		table := func(kept, news string) []string {
			return []string{to.config, "verify: full", "tables:", "  kept: " + kept, "  news: " + news}
		}
		snapshots := "{mode: append, append: snapshot}"
		first := p.drive(t, table(snapshots, "{mode: append, where: 'id <= 2'}")...)
		from.exec(t, "DELETE FROM kept WHERE id = 1", "INSERT INTO news VALUES (3)")
		second := p.drive(t, table(snapshots, "{mode: append, where: 'id > 2'}")...)
		columns, rows := to.shown(t, p, "kept")
		if want := []string{"id", "a", "_kitamae_run", "_kitamae_read_at"}; !slices.Equal(columns, want) {
			t.Errorf("a snapshot has the columns %q, want %q", columns, want)
		}
		wanted := []string{"1|1|" + first.ID, "2|2|" + first.ID, "2|2|" + second.ID}
		slices.Sort(wanted) // runs within a second have no order in their IDs
		for i, want := range wanted {
			if len(rows) != 3 || !strings.HasPrefix(rows[i], want+"|20") {
				t.Errorf("snapshots hold %q, want %s… in place %d", rows, want, i)
			}
		}
		if _, rows := to.shown(t, p, "news"); !slices.Equal(rows, []string{"1", "2", "3"}) {
			t.Errorf("rows by a condition: %q", rows)
		}
		_, err := run.Drive(t.Context(), p.request(t, table(snapshots, "{mode: append, cursor: id}")...))
		if !fault.HasCode(err, "append.changed") {
			t.Errorf("a table added to by a condition takes a cursor: %v", err)
		}
		p.drive(t, table(snapshots, "{}")...) // whole again
		from.exec(t, "INSERT INTO news VALUES (4)")
		p.drive(t, table(snapshots, "{mode: append, cursor: id}")...) // the table before was whole: once more
		from.exec(t, "INSERT INTO news VALUES (5)")
		p.drive(t, table(snapshots, "{mode: append, cursor: id}")...)
		if _, rows := to.shown(t, p, "news"); !slices.Equal(rows, []string{"1", "2", "3", "4", "5"}) {
			t.Errorf("rows after the mode changed: %q", rows)
		}
		from.exec(t, "DROP TABLE kept", "DROP TABLE news")
	})
}

// TestCursorWithMargin leaves the newest rows to a later run, as the guide advises: rows that come late with an equal or a smaller time, within
// the margin, arrive once.
func TestCursorWithMargin(t *testing.T) {
	for _, s := range []servertest.Server{servertest.MariaDB(t), servertest.Postgres(t)} {
		t.Run(s.Name, func(t *testing.T) {
			db, hour := servertest.FreshDatabase(t, s), "interval '1 hour'"
			if s.Kind == "mysql" {
				hour = "interval 1 hour"
			}
			s.Exec(t, db, "CREATE TABLE events (id int PRIMARY KEY, created_at timestamp NOT NULL)",
				"INSERT INTO events VALUES (1, now() - "+hour+" - "+hour+"), (2, now())")
			p := newProject(t, s, db)
			arrived := func(where, want string) {
				t.Helper()
				p.drive(t, fmt.Sprintf("tables: {events: {mode: append, cursor: created_at, where: %q}}", where))
				if got := one(t, p.duckdb(t), "SELECT string_agg(id, ' ' ORDER BY id) FROM events"); got != want {
					t.Errorf("rows %s arrived, want %s", got, want)
				}
			}
			arrived("created_at < now() - "+hour, "1")
			s.Exec(t, db, "INSERT INTO events SELECT 3, created_at FROM events WHERE id = 2", "INSERT INTO events SELECT 4, created_at - "+hour+" FROM events WHERE id = 2")
			arrived("created_at <= now()", "1 2 3 4")
			arrived("created_at <= now()", "1 2 3 4")
		})
	}
}
