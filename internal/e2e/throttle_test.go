package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
)

// TestThrottle keeps more sessions of a server at work than a run may see: the run waits, says for what, reads nothing meanwhile,
// and goes on once they end.
func TestThrottle(t *testing.T) {
	const others = 20
	for _, s := range append(servertest.MySQLServers(t), servertest.Postgres(t)) {
		t.Run(s.Name, func(t *testing.T) {
			db := servertest.FreshDatabase(t, s)
			s.Exec(t, db, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2), (3)", "CREATE TABLE finished (id int)")
			limit, says, work := "active_sessions", "sessions are active",
				"DO $$BEGIN WHILE NOT EXISTS (SELECT FROM finished) LOOP PERFORM pg_sleep(0.1); END LOOP; END$$"
			if s.Kind == "mysql" {
				s.Exec(t, db, "CREATE PROCEDURE work() WHILE NOT EXISTS (SELECT 1 FROM finished) DO DO SLEEP(0.1); END WHILE")
				limit, says, work = "threads_running", "threads run", "CALL work()"
			}
			var working sync.WaitGroup
			end := sync.OnceFunc(func() { s.Exec(t, db, "INSERT INTO finished VALUES (1)") })
			defer func() { end(); working.Wait() }()
			for range others {
				working.Go(func() { s.Exec(t, db, work) })
			}
			p := newProject(t, s, db).with("read", "chunked").with("throttle", map[string]any{limit: others - 1})
			awaitBusy(t, s, db, others)

			var mu sync.Mutex
			var said []string
			p.observe = func(e run.Event) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case e.Kind == run.Waiting:
					said = append(said, e.Why)
					end()
				case e.Kind == run.Moved && e.Rows > 0 && (len(said) == 0 || said[len(said)-1] != ""):
					t.Errorf("rows came while the server was busy; said so far: %q", said)
				}
			}
			r := p.drive(t, "tables: {t: {}}")
			if len(said) < 2 || !strings.Contains(said[0], says) || !strings.Contains(said[0], fmt.Sprintf("(limit %d)", others-1)) {
				t.Errorf("the run said %q", said)
			}
			if r.Rows() != 3 {
				t.Errorf("%d rows arrived", r.Rows())
			}
		})
	}
}

// awaitBusy returns when so many sessions are at work in db.
func awaitBusy(t *testing.T, s servertest.Server, db string, sessions int) {
	t.Helper()
	query := "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND datname = "
	if s.Kind == "mysql" {
		query = "SELECT count(*) FROM information_schema.processlist WHERE command = 'Query' AND db = "
	}
	deadline := time.Now().Add(time.Minute)
	for found := ""; found != fmt.Sprint(sessions); found = s.Query(t, "", query+literal(db))[0][0] {
		if time.Now().After(deadline) {
			t.Fatalf("%s sessions are at work, want %d", found, sessions)
		}
	}
}
