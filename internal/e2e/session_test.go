package e2e

import (
	"strings"
	"sync"
	"testing"

	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
)

// TestSessions looks at the servers' own lists while a run reads: the sessions have kitamae's name.
func TestSessions(t *testing.T) {
	for _, s := range []servertest.Server{servertest.MySQL(t), servertest.Postgres(t)} {
		t.Run(s.Name, func(t *testing.T) {
			db := servertest.FreshDatabase(t, s)
			chunkedTables(t, s, db)
			query := "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = " + literal(db) + " AND application_name <> ''"
			if s.Kind == "mysql" {
				query = "SELECT DISTINCT a.ATTR_VALUE FROM performance_schema.session_connect_attrs a JOIN information_schema.processlist p ON p.ID = a.PROCESSLIST_ID" +
					" WHERE a.ATTR_NAME = 'program_name' AND p.DB = " + literal(db)
			}
			p := newProject(t, s, db)
			var once sync.Once
			var found [][]string
			p.observe = func(e run.Event) {
				if e.Kind == run.Moved {
					once.Do(func() { found = s.Query(t, "", query) })
				}
			}
			p.drive(t)
			if len(found) != 1 || !strings.HasPrefix(found[0][0], "kitamae") {
				t.Errorf("the server's sessions are named %q", found)
			}
		})
	}
}
