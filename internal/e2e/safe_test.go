package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
)

// TestGrants makes a user with exactly the SQL that init --grants prints, and has it do whole runs, of both kinds, with
// nothing amiss: no note about a right it lacks.
func TestGrants(t *testing.T) {
	for _, s := range append(servertest.MySQLServers(t), servertest.PostgresServers(t)...) {
		t.Run(s.Name, func(t *testing.T) {
			db := servertest.FreshDatabase(t, s)
			s.Exec(t, db, "CREATE TABLE t (id int PRIMARY KEY, v varchar(20))", "INSERT INTO t VALUES (1, 'a'), (2, NULL)")
			user := "g" + db[len(db)-10:]
			scheme := map[string]string{"mariadb": "mariadb", "mysql": "mysql"}[s.Name]
			if scheme == "" {
				scheme = "postgres"
			}
			p := newProject(t, s, db)
			out, err := p.command(t, "init", "--grants", fmt.Sprintf("%s://%s@localhost/%s", scheme, user, db)).Output()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if s.Kind == "mysql" {
					s.Exec(t, "", "DROP USER "+user)
					return
				}
				s.Exec(t, db, "DROP OWNED BY "+user, "DROP ROLE "+user)
			})
			for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
				if !strings.HasPrefix(line, "--") {
					s.Exec(t, db, strings.TrimSuffix(strings.ReplaceAll(line, "choose-a-password", "Least-1-rights"), ";"))
				}
			}
			p.secret = "Least-1-rights"
			for read, want := range map[string]connector.Guarantee{"snapshot": connector.Database, "chunked": connector.Chunked} {
				r := p.with("user", user).with("read", read).drive(t, "verify: full")
				if r.Rows() != 2 || r.Guarantee != want || len(r.Notes) > 0 {
					t.Errorf("%s: %d rows, guarantee %s, notes %q", read, r.Rows(), r.Guarantee, r.Notes)
				}
			}
		})
	}
}

// TestAurora reads servers that say they are Aurora: a writer is refused until it is allowed, and then, as a reader by itself,
// read chunked.
func TestAurora(t *testing.T) {
	pg := servertest.Postgres(t)
	servers := []struct {
		s      servertest.Server
		reader bool
	}{{pg, false}}
	for _, s := range servertest.MySQLServers(t) {
		servers = append(servers, struct {
			s      servertest.Server
			reader bool
		}{s, false}, struct {
			s      servertest.Server
			reader bool
		}{s, true})
	}
	for _, tc := range servers {
		t.Run(fmt.Sprintf("%s, reader %v", tc.s.Name, tc.reader), func(t *testing.T) {
			s := tc.s
			db := servertest.FreshDatabase(t, s)
			s.Exec(t, db, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
			p := newProject(t, s, db)
			if s.Kind == "postgres" {
				s.Exec(t, db, "CREATE FUNCTION aurora_version() RETURNS text LANGUAGE sql AS 'SELECT ''15.4.0'''")
			} else {
				p.with("port", auroraProxy(t, s, tc.reader))
			}
			if !tc.reader {
				_, err := run.Drive(t.Context(), p.request(t))
				if f := fault.From(err); err == nil || f.Code != s.Kind+".writer" || !strings.Contains(f.Hint, "allow_writer") {
					t.Errorf("a writer was read: %v", err)
				}
				p.with("allow_writer", true)
			}
			if r := p.drive(t); r.Guarantee != connector.Chunked || r.Rows() != 2 {
				t.Errorf("guarantee %s, %d rows", r.Guarantee, r.Rows())
			}
		})
	}
}

// auroraProxy passes everything on to s but the question for Aurora's variables, which it has s answer as Aurora would.
func auroraProxy(t *testing.T, s servertest.Server, reader bool) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	answer := "SELECT '3.08.0' AS aurora_version, 0 AS innodb_read_only"
	if reader {
		answer = strings.Replace(answer, ", 0", ", 1", 1)
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", s.Address())
			if err != nil {
				_ = client.Close()
				return
			}
			go func() {
				_, _ = io.Copy(client, server)
				_ = client.Close()
			}()
			go func() {
				defer server.Close()
				for {
					head := make([]byte, 4)
					if _, err := io.ReadFull(client, head); err != nil {
						return
					}
					body := make([]byte, int(head[0])|int(head[1])<<8|int(head[2])<<16)
					if _, err := io.ReadFull(client, body); err != nil {
						return
					}
					if bytes.Contains(body, []byte("@@aurora_version")) {
						body = append(body[:bytes.Index(body, []byte("SELECT"))], answer...) // what stands before is the command's own
						head[0], head[1], head[2] = byte(len(body)), byte(len(body)>>8), byte(len(body)>>16)
					}
					if _, err := server.Write(append(head, body...)); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}
