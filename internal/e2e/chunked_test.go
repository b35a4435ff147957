package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
)

// chunkedRows is how many rows the largest table of these tests has.
const chunkedRows = 300_000

// chunkedTables makes a table with a number as its key, one with texts, one without any, and one that is empty.
func chunkedTables(t *testing.T, s servertest.Server, db string) {
	t.Helper()
	prepare, numbers := "SELECT 1", fmt.Sprintf("(SELECT i FROM generate_series(1, %d) AS g(i)) AS n", chunkedRows)
	if s.Kind == "mysql" {
		prepare = "SET SESSION " + map[string]string{"mariadb": "max_recursive_iterations", "mysql": "cte_max_recursion_depth"}[s.Name] + " = 1000000"
		numbers = fmt.Sprintf("(WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM g WHERE i < %d) SELECT i FROM g) AS n", chunkedRows)
	}
	s.Exec(t, db, prepare,
		"CREATE TABLE big (id bigint PRIMARY KEY, amount int NOT NULL, memo varchar(200))",
		"INSERT INTO big SELECT i*3, mod(i, 1000), repeat('行', mod(i, 50)) FROM "+numbers,
		"CREATE TABLE words (word varchar(40), n int NOT NULL, v varchar(20), PRIMARY KEY (word, n))",
		"INSERT INTO words SELECT concat('w', mod(i, 50)), i, 'é' FROM "+numbers+" WHERE i <= 40000",
		"CREATE TABLE keyless (v int)", "INSERT INTO keyless VALUES (1), (1), (NULL)",
		"CREATE TABLE nothing (id int PRIMARY KEY)")
	if s.Kind == "mysql" {
		s.Query(t, db, "ANALYZE TABLE big, words")
	} else {
		s.Exec(t, db, "ANALYZE")
	}
}

// checksums of the tables in words that both ends understand.
var checksums = map[string]string{
	"big":     "SELECT concat_ws(' ', count(*), sum(id), sum(amount), sum(char_length(memo))) FROM big",
	"words":   "SELECT concat_ws(' ', count(*), sum(n), sum(char_length(word))) FROM words",
	"keyless": "SELECT concat_ws(' ', count(*), sum(v)) FROM keyless",
	"nothing": "SELECT concat_ws(' ', count(*)) FROM nothing",
}

// sameAsSource compares every table's checksum.
func sameAsSource(t *testing.T, p *project, s servertest.Server, db string) {
	t.Helper()
	found := p.duckdb(t)
	for table, query := range checksums {
		want := s.Query(t, db, query)[0][0]
		if got := one(t, found, strings.ReplaceAll(query, "char_length", "length")); got != want {
			t.Errorf("%s: %s arrived, the source holds %s", table, got, want)
		}
	}
}

// TestChunked reads in short transactions: what stands still arrives whole, and each table says how it was read.
func TestChunked(t *testing.T) {
	for _, s := range append(servertest.MySQLServers(t), servertest.PostgresServers(t)...) {
		t.Run(s.Name, func(t *testing.T) {
			db := servertest.FreshDatabase(t, s)
			chunkedTables(t, s, db)
			p := newProject(t, s, db).with("read", "chunked")
			r := p.drive(t, "limits: {memory: 256MiB}", "verify: full")
			sameAsSource(t, p, s, db)
			if r.Guarantee != connector.Chunked {
				t.Errorf("the run's guarantee is %s", r.Guarantee)
			}
			for table, want := range map[string]connector.Guarantee{"big": connector.Chunked, "words": connector.Chunked, "keyless": connector.PerTable} {
				line := tableReport(t, r, table)
				if line.Evidence.Guarantee != want {
					t.Errorf("%s was read with guarantee %s, want %s", table, line.Evidence.Guarantee, want)
				}
				if said := strings.Contains(strings.Join(line.Notes, " "), "no key"); said != (table == "keyless") {
					t.Errorf("%s: notes %q", table, line.Notes)
				}
				if !strings.Contains(strings.Join(line.Evidence.Notes, " "), "before the read") {
					t.Errorf("%s: evidence notes %q", table, line.Evidence.Notes)
				}
			}
			if line := tableReport(t, r, "big"); line.Partitions < 2 || line.Evidence.Sampled == 0 {
				t.Errorf("big: %d partitions, %d rows sampled", line.Partitions, line.Evidence.Sampled)
			}
		})
	}
}

// TestChunkedWithWriter reads while an application inserts, changes and deletes: no run takes that for a broken decoder or a
// lost row, no transaction of a run gets old, and what nobody touched is there, once.
func TestChunkedWithWriter(t *testing.T) {
	for _, s := range append(servertest.MySQLServers(t), servertest.Postgres(t)) {
		t.Run(s.Name, func(t *testing.T) {
			db := servertest.FreshDatabase(t, s)
			chunkedTables(t, s, db)
			p := newProject(t, s, db).with("read", "chunked")
			stop := make(chan struct{})
			var writer sync.WaitGroup
			writer.Go(func() {
				pace := time.NewTicker(5 * time.Millisecond)
				defer pace.Stop()
				for n := 1; ; n++ {
					select {
					case <-stop:
						return
					case <-pace.C:
					}
					// the first and the last rows are those that samples look at most
					at := []int{n % 40, chunkedRows - n%40, n * 7919 % chunkedRows}[n%3] * 3
					s.Exec(t, db,
						fmt.Sprintf("INSERT INTO big VALUES (%d, 5, 'new')", n*7919%(chunkedRows*3)/3*3+1+n%2),
						fmt.Sprintf("UPDATE big SET amount = amount + 1, memo = 'changed' WHERE id = %d", at),
						fmt.Sprintf("DELETE FROM big WHERE id = %d", (n-20)*7919%(chunkedRows*3)/3*3+1+n%2))
				}
			})
			for range 3 {
				r := p.drive(t, "limits: {memory: 256MiB}", "verify: full", "tables: {big: {}}")
				found := p.duckdb(t)
				if got := one(t, found, "SELECT concat_ws(' ', count(*), count(DISTINCT id)) FROM big WHERE id % 3 = 0"); got != fmt.Sprintf("%d %[1]d", chunkedRows) {
					t.Errorf("of the rows that nobody deletes, %s arrived, want %d", got, chunkedRows)
				}
				if line := tableReport(t, r, "big"); line.Evidence.Guarantee != connector.Chunked || line.Evidence.Sampled == 0 {
					t.Errorf("evidence %+v", line.Evidence)
				}
			}
			close(stop)
			writer.Wait()
			if n := p.happened(run.Retrying); n > 2 {
				t.Errorf("%d second readings: the comparison takes an application's changes for mistakes", n)
			}
		})
	}
}
