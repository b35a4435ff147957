package bigquery_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/internal/servertest"
)

// TestAppendFaults adds rows, and merges them, through a front that does harm to one step: every row must be there once, and the cursor with them.
func TestAppendFaults(t *testing.T) {
	for _, tc := range []struct {
		name, what, table string
		mode              connector.Mode
		fault             string
	}{
		{"load done, answer lost", "insert", "people", connector.Append, lost},
		{"load done twice", "insert", "people", connector.Append, twice},
		{"state done, answer lost", "table", "_kitamae_state", connector.Append, lost},
		{"state changed by somebody", "table", "_kitamae_state", connector.Append, "412 conditionNotMet"},
		{"state asked too often", "table", "_kitamae_state", connector.Append, "403 rateLimitExceeded"},
		{"job asked in another location", "status", "", connector.Append, "404 notFound"},
		{"delta loaded, answer lost", "insert", "_kitamae_delta_", connector.Merge, lost},
		{"merge refused by 503", "query", "", connector.Merge, "503 backendError"},
		{"merge done, answer lost", "query", "", connector.Merge, lost},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			armed, hurt := false, 0
			p := newPlace(t, func(c *call) string {
				if !armed || c.What != tc.what || !strings.HasPrefix(c.Table, tc.table) {
					return ""
				}
				if hurt++; hurt != 1 && !(tc.what == "query" && hurt == 2) { // the dry run, and the MERGE
					return ""
				}
				return tc.fault
			})
			first := p.open(t)
			mustCommit(t, first, following(t, first, "20261129T010000Z-first", tc.mode, 20))
			second := p.open(t)
			req := following(t, second, "20261129T020000Z-second", tc.mode, 40)
			armed = true
			mustCommit(t, second, req)
			if hurt == 0 {
				t.Error("nothing was hurt")
			}
			p.wantOnce(t, 40)
			third := p.open(t)
			mustCommit(t, third, following(t, third, "20261129T030000Z-third", tc.mode, 60))
			p.wantOnce(t, 60)
		})
	}
}

// TestRunAppends moves a table by its cursor with the program itself, into days that are overwritten beside it: each run brings what is new.
func TestRunAppends(t *testing.T) {
	s := servertest.MariaDB(t)
	db := servertest.FreshDatabase(t, s)
	s.Exec(t, db, "CREATE TABLE events (id bigint PRIMARY KEY, at datetime(6) NOT NULL)", "CREATE TABLE days (id bigint PRIMARY KEY, day date NOT NULL)",
		"CREATE TABLE users (id bigint PRIMARY KEY, name varchar(20))",
		"INSERT INTO events SELECT seq, '2026-01-01' FROM seq_1_to_10", "INSERT INTO days SELECT seq, date_add('2026-01-01', interval seq div 5 day) FROM seq_1_to_10",
		"INSERT INTO users SELECT seq, 'before' FROM seq_1_to_10")
	p := newPlace(t, nil)
	run := func(more string) string {
		t.Helper()
		cmd := p.kitamae(t, s, db, "run")
		path := filepath.Join(p.env.Dir, "kitamae.yml")
		config, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		tables := "tables:\n  events: {mode: append, cursor: id, partition: at/month, cluster: [id]}\n  users: {mode: merge, cursor: id}\n" +
			"  days: {mode: overwrite, partition: day/day" + more + "}\n"
		if err := os.WriteFile(path, append(config, tables...), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("run: %v\n%s", err, out)
		}
		return string(out)
	}
	run("")
	s.Exec(t, db, "INSERT INTO events SELECT seq, '2026-02-01' FROM seq_11_to_15", "DELETE FROM days WHERE id >= 9", "INSERT INTO days VALUES (20, '2026-01-02')", "INSERT INTO users VALUES (11, 'after')")
	run(", where: \"day = '2026-01-02'\"")
	run(", where: \"day = '2026-01-02'\"")
	for table, want := range map[string]string{"events": "15 15 15", "users": "11 11 11", "days": "10 10 20"} {
		rows, _ := p.published(t, table)
		ids := map[string]bool{}
		n, most := int64(0), 0
		for rec, err := range rows {
			if err != nil {
				t.Fatal(err)
			}
			n += rec.NumRows()
			for i := range int(rec.NumRows()) {
				ids[rec.Column(0).ValueStr(i)] = true
				var id int
				if _, err := fmt.Sscan(rec.Column(0).ValueStr(i), &id); err != nil {
					t.Fatal(err)
				}
				most = max(most, id)
			}
		}
		if got := fmt.Sprint(n, len(ids), most); got != want {
			t.Errorf("%s: rows, distinct, greatest: %s, want %s", table, got, want)
		}
	}
	if md := p.metadata(t, "events"); md.TimePartitioning == nil || md.TimePartitioning.Field != "at" || md.Clustering == nil {
		t.Errorf("events lies as %+v, %+v", md.TimePartitioning, md.Clustering)
	}
	plan, err := p.kitamae(t, s, db, "plan").CombinedOutput()
	if err != nil || !strings.Contains(string(plan), "layout: partitioned by at/month, clustered by id") {
		t.Errorf("plan: %v\n%s", err, plan)
	}
}
