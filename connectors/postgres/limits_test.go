package postgres

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
)

// TestStatementTimeout has the server end a statement that reads for too long, in either way of reading.
func TestStatementTimeout(t *testing.T) {
	eachVersion(t, func(t *testing.T, server servertest.Server, db string) {
		server.Exec(t, db, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2), (3)")
		for _, way := range []string{"snapshot", "chunked"} {
			spec := specFor(server, db)
			spec.Read, spec.StatementTimeout = way, time.Second
			s := open(t, spec)
			req := wants(discover(t, s)["t"])
			req.Tables[0].Where = "pg_sleep(20) IS NOT NULL"
			part := scan(t, s, req).Tables[0].Partitions[0]
			begun := time.Now()
			_, _, err := tryRead(t.Context(), s, part)
			wantCode(t, err, "postgres.statement_timeout")
			if f := fault.From(err); fault.Retryable(err) || !strings.Contains(f.Hint, "statement_timeout") {
				t.Errorf("%s: %v; hint: %s", way, err, f.Hint)
			}
			if took := time.Since(begun); took > 30*time.Second {
				t.Errorf("%s: a statement for 60 s took %s", way, took)
			}
		}
	})
}

// TestSessionIsReadOnly writes where the user may: the session itself refuses, outside of any transaction kitamae begins.
func TestServerAsksForLostClients(t *testing.T) {
	eachServer(t, func(t *testing.T, server servertest.Server, db string) {
		s := open(t, specFor(server, db))
		var after string
		err := s.withControl(t.Context(), func(c *conn) error {
			return c.value(t.Context(), "asking", "SELECT current_setting('tcp_keepalives_idle')", &after)
		})
		if err != nil || after != "60" {
			t.Errorf("the server asks after %s s, %v; want 60", after, err)
		}
	})
}

func TestSessionIsReadOnly(t *testing.T) {
	eachServer(t, func(t *testing.T, server servertest.Server, db string) {
		server.Exec(t, db, "CREATE TABLE t (id int PRIMARY KEY)")
		s := open(t, specFor(server, db))
		data, err := s.srv.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer data.close()
		for name, c := range map[string]*conn{"control": s.control, "data": data} {
			for _, sql := range []string{"INSERT INTO t VALUES (1)", "DROP TABLE t"} {
				if err := c.exec(t.Context(), "writing", sql); err == nil || !strings.Contains(err.Error(), "25006") {
					t.Errorf("%s connection: %s ended with %v", name, sql, err)
				}
			}
		}
		if n := server.Query(t, db, "SELECT count(*) FROM t")[0][0]; n != "0" {
			t.Errorf("%s rows were written", n)
		}
	})
}

// TestStatementTimeoutInAnyLanguage puts other words of the same length into what the server says: the time limit, somebody's cancelling
// and kitamae's own are told apart all the same.
func TestStatementTimeoutInAnyLanguage(t *testing.T) {
	eachServer(t, func(t *testing.T, server servertest.Server, db string) {
		server.Exec(t, db, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
		spec := specFor(server, db)
		spec.Port = translated(t, server.Address(), map[string]string{
			"canceling statement due to statement timeout": "ステートメントの時限超過です", "canceling statement due to user request": "利用者が取り消しました。",
		})
		spec.StatementTimeout = 2 * time.Second
		sleep := func(seconds int) func() error {
			s := open(t, spec)
			req := wants(discover(t, s)["t"])
			req.Tables[0].Where = conf.Filled(fmt.Sprintf("pg_sleep(%d) IS NOT NULL /* %s */", seconds, db))
			part := scan(t, s, req).Tables[0].Partitions[0]
			return func() error {
				_, _, err := tryRead(t.Context(), s, part)
				return err
			}
		}
		err := sleep(20)()
		wantCode(t, err, "postgres.statement_timeout")
		if !strings.Contains(err.Error(), "時限超過") || fault.Retryable(err) {
			t.Errorf("the time limit: %v", err)
		}
		canceled := make(chan error)
		spec.StatementTimeout = time.Minute
		long := sleep(50)
		go func() { canceled <- long() }()
		for n := "0"; n == "0"; {
			n = server.Query(t, db, "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(50)%"+db+"%' AND query LIKE 'SELECT%id%' AND state = 'active' AND pid <> pg_backend_pid()")[0][0]
		}
		err = <-canceled
		wantCode(t, err, "postgres.connection")
		if !strings.Contains(err.Error(), "取り消し") || !fault.Retryable(err) {
			t.Errorf("somebody's cancelling: %v", err)
		}
	})
}

// translated is a port on which a server speaks another language: words are replaced, and their length with blanks kept.
func translated(t *testing.T, address string, words map[string]string) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", address)
			if err != nil {
				_ = client.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(server, client) // either side's end is the other's
				_ = server.Close()
			}()
			go func() {
				defer client.Close()
				buf := make([]byte, 64<<10)
				for {
					n, err := server.Read(buf)
					said := string(buf[:n])
					for word, other := range words {
						said = strings.ReplaceAll(said, word, fmt.Sprintf("%-*s", len(word)-len(other)+utf8.RuneCountInString(other), other))
					}
					if _, werr := client.Write([]byte(said)); err != nil || werr != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}
