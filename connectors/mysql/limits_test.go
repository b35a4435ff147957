package mysql

import (
	"strings"
	"testing"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
)

// TestStatementTimeout has the server end a statement that reads for too long, in either way of reading.
func TestStatementTimeout(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		s.Exec(t, db, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2), (3), (4), (5), (6), (7), (8)")
		for _, way := range []string{"snapshot", "chunked"} {
			spec := specFor(s, db)
			spec.Read, spec.StatementTimeout = way, time.Second
			src := open(t, spec)
			tab := table(t, src, "t")
			scan, err := src.Scan(t.Context(), connector.ScanRequest{
				Tables: []connector.TableScan{{Table: tab, Columns: tab.Columns, Where: "SLEEP(10) = 0"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			_, _, err = readRows(t.Context(), src, scan.Tables[0].Partitions[0])
			if f := fault.From(err); err == nil || f.Code != "mysql.statement_timeout" || fault.Retryable(err) || !strings.Contains(f.Hint, "statement_timeout") {
				t.Errorf("%s: a statement for 80 s ended with %v after %s", way, err, time.Since(begun))
			}
			if took := time.Since(begun); took > 30*time.Second {
				t.Errorf("%s: it took %s", way, took)
			}
		}
	})
}

// TestSessionIsReadOnly writes where the user may: the session itself refuses, outside of any transaction kitamae begins.
func TestSessionIsReadOnly(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		s.Exec(t, db, "CREATE TABLE t (id int PRIMARY KEY)")
		src := open(t, specFor(s, db))
		data, err := src.dial.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer data.close()
		for name, c := range map[string]*conn{"control": src.ctl, "data": data} {
			for _, sql := range []string{"INSERT INTO t VALUES (1)", "DROP TABLE t"} {
				if _, err := c.query(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "READ ONLY") {
					t.Errorf("%s connection: %s ended with %v", name, sql, err)
				}
			}
		}
		if n := s.Query(t, db, "SELECT COUNT(*) FROM t")[0][0]; n != "0" {
			t.Errorf("%s rows were written", n)
		}
	})
}
