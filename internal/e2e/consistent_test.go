package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
)

// accounts is how many rows each of the two tables between which amounts move has.
const accounts = 20_000

// TestConsistentView moves amounts between two tables while runs read them: every run sees
// a state in which nothing is on its way.
func TestConsistentView(t *testing.T) {
	for _, s := range append(servertest.MySQLServers(t), servertest.Postgres(t)) {
		t.Run(s.Name, func(t *testing.T) {
			db := servertest.FreshDatabase(t, s)
			prepare := "SELECT 1"
			numbers := fmt.Sprintf("SELECT i, 1000, repeat('x', 100) FROM generate_series(1, %d) AS g(i)", accounts)
			if s.Kind == "mysql" {
				numbers = fmt.Sprintf("WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM g WHERE i < %d) SELECT i, 1000, repeat('x', 100) FROM g", accounts)
				prepare = "SET SESSION " + map[string]string{"mariadb": "max_recursive_iterations", "mysql": "cte_max_recursion_depth"}[s.Name] + " = 1000000"
			}
			for _, name := range []string{"a", "b"} {
				s.Exec(t, db, prepare, "CREATE TABLE "+name+" (id int PRIMARY KEY, amount bigint NOT NULL, filler varchar(200))", "INSERT INTO "+name+" "+numbers)
			}
			p := newProject(t, s, db)
			stop := make(chan struct{})
			moved := 0
			var writer sync.WaitGroup
			writer.Go(func() {
				pace := time.NewTicker(50 * time.Millisecond) // a busy application, which still has moments without a commit
				defer pace.Stop()
				for ; ; moved++ {
					select {
					case <-stop:
						return
					case <-pace.C:
					}
					var transfers []string
					for k := range 4 {
						i := (moved*4+k)*7919%accounts + 1
						transfers = append(transfers, "BEGIN", fmt.Sprintf("UPDATE a SET amount = amount - 1 WHERE id = %d", i),
							fmt.Sprintf("UPDATE b SET amount = amount + 1 WHERE id = %d", i), "COMMIT")
					}
					s.Exec(t, db, transfers...)
				}
			})
			before := ""
			for range 3 {
				r := p.drive(t, "limits: {memory: 256MiB}")
				if r.Guarantee != connector.Database || r.Position == "" {
					t.Errorf("the run's guarantee is %s at %q; notes %v", r.Guarantee, r.Position, r.Notes)
				}
				found := p.duckdb(t)
				if got, want := one(t, found, "SELECT ((SELECT sum(amount) FROM a) + (SELECT sum(amount) FROM b))::VARCHAR"), fmt.Sprint(2*1000*accounts); got != want {
					t.Errorf("amounts add up to %s, want %s", got, want)
				}
				after := one(t, found, "SELECT sum(amount)::VARCHAR FROM a")
				if after == before {
					t.Errorf("nothing moved between two runs: the test proves nothing")
				}
				before = after
			}
			close(stop)
			writer.Wait()
		})
	}
}

// TestLostConnection ends the connections that read, in the middle: the run starts over
// under a new view, says so, and what arrives is what the source holds.
func TestLostConnection(t *testing.T) {
	const rows = 400_000
	for _, s := range []servertest.Server{servertest.MariaDB(t), servertest.PostgresNewest(t)} {
		t.Run(s.Name, func(t *testing.T) {
			db := servertest.FreshDatabase(t, s)
			fill := fmt.Sprintf("INSERT INTO big SELECT i*3, mod(i, 1000), repeat('行', mod(i, 50)) FROM generate_series(1, %d) AS g(i)", rows)
			if s.Kind == "mysql" {
				fill = fmt.Sprintf("INSERT INTO big SELECT seq*3, mod(seq, 1000), repeat('行', mod(seq, 50)) FROM seq_1_to_%d", rows)
			}
			s.Exec(t, db, "CREATE TABLE big (id bigint PRIMARY KEY, amount int NOT NULL, memo text)", fill, "CREATE TABLE small (id int PRIMARY KEY)", "INSERT INTO small VALUES (1)")
			p := newProject(t, s, db)
			var once sync.Once
			p.observe = func(e run.Event) {
				if e.Kind == run.Moved && e.Rows > 1 {
					once.Do(func() { endConnections(t, s, db) })
				}
			}
			r := p.drive(t, "limits: {memory: 256MiB}", "verify: full")
			if r.Restarts+p.happened(run.Retrying) == 0 {
				t.Errorf("no connection was lost: the test proves nothing")
			}
			if r.Restarts > 0 && (len(r.Notes) == 0 || !strings.Contains(r.Notes[0], "lost")) {
				t.Errorf("the view was lost, the report says only %v", r.Notes)
			}
			found := p.duckdb(t)
			query := "SELECT count(*), sum(id), sum(amount), sum(char_length(memo)) FROM big"
			want := strings.Join(s.Query(t, db, query)[0], " ")
			got := one(t, found, "SELECT concat_ws(' ', count(*), sum(id), sum(amount), sum(length(memo))) FROM big")
			if got != want {
				t.Errorf("%s arrived, the source holds %s", got, want)
			}
			if got := one(t, found, "SELECT count(*)::VARCHAR FROM small"); got != "1" {
				t.Errorf("small has %s rows", got)
			}
		})
	}
}

// TestLostForGood ends the connections under every view a run fixes: after the third the table fails, and is told what needs
// no view. Read that way, the same table arrives under the same losses.
func TestLostForGood(t *testing.T) {
	for _, s := range []servertest.Server{servertest.MariaDB(t), servertest.PostgresNewest(t)} {
		t.Run(s.Name, func(t *testing.T) {
			db := servertest.FreshDatabase(t, s)
			chunkedTables(t, s, db)
			p := newProject(t, s, db)
			var mu sync.Mutex
			armed := false
			p.observe = func(e run.Event) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case e.Kind == run.Scanned:
					armed = true
				case e.Kind == run.Moved && e.Rows > 1 && armed:
					armed = false
					endConnections(t, s, db)
				}
			}
			only := "tables: {big: {}}"
			r, err := run.Drive(t.Context(), p.request(t, only, "limits: {memory: 256MiB}"))
			if err == nil {
				t.Fatalf("every view was lost, and the run ended well:\n%s", describe(r))
			}
			for _, w := range []string{"table big", "lost 3 times", "`read: chunked`"} {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if fault.From(err).Kind != fault.Source || r.Restarts != 3 || r.Status == run.StatusPublished {
				t.Errorf("kind %s, %d restarts, status %s", fault.From(err).Kind, r.Restarts, r.Status)
			}
			r = p.with("read", "chunked").drive(t, only, "limits: {memory: 256MiB}")
			if r.Restarts != 0 || p.happened(run.Retrying) == 0 || r.Rows() != chunkedRows {
				t.Errorf("chunked: %d restarts, %d readings tried again, %d rows", r.Restarts, p.happened(run.Retrying), r.Rows())
			}
		})
	}
}

// endConnections ends every connection of kitamae to db, as an operator or a failover would.
func endConnections(t *testing.T, s servertest.Server, db string) {
	if s.Kind == "postgres" {
		s.Query(t, "", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kitamae' AND datname = "+literal(db))
		return
	}
	for _, row := range s.Query(t, "", "SELECT id FROM information_schema.processlist WHERE db = "+literal(db)) {
		s.Exec(t, "", "KILL "+row[0])
	}
}
