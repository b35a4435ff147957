package mysql

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/sqlkit"
)

// said is a check in a word: its link, ok, advice or the fault's code, and what was found or said.
func said(c connector.Check) string {
	switch {
	case c.Fault == nil:
		return c.Link + " ok: " + c.Found
	case c.Advice:
		return c.Link + " advice " + fault.From(c.Fault).Code + ": " + c.Fault.Error()
	}
	return c.Link + " " + fault.From(c.Fault).Code + ": " + c.Fault.Error()
}

// TestCheck meets a user with every right, one with just enough, and one who may not read a table.
func TestCheck(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		user := "u" + db[len(db)-8:]
		s.Exec(t, db, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)",
			fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY 'pw'", user))
		t.Cleanup(func() { s.Exec(t, "", fmt.Sprintf("DROP USER '%s'@'%%'", user)) })
		grant := func(what string) { s.Exec(t, "", fmt.Sprintf("GRANT %s TO '%s'@'%%'", what, user)) }
		as := func(name, password string, tls sqlkit.TLS) []string {
			spec := specFor(s, db)
			spec.User, spec.TLS = name, tls
			if password != "" {
				spec.Password = "pw"
			}
			if tls.CAFile != "" {
				spec.Host = "localhost"
			}
			var out []string
			for _, c := range open(t, spec).Check(t.Context()) {
				out = append(out, said(c))
			}
			return out
		}
		expect := func(who string, got []string, want ...string) {
			t.Helper()
			if len(got) != len(want) {
				t.Fatalf("%s: %q", who, got)
			}
			for i, w := range want {
				if !strings.HasPrefix(got[i], w) {
					t.Errorf("%s: %q, want %q…", who, got[i], w)
				}
			}
		}
		const position = "binlog position ok: " // MySQL shows its GTIDs to everybody
		expect("all rights", as(s.User, "", sqlkit.TLS{}), "login ok: as "+s.User, "TLS ok: in the clear, within this machine", "grants ok: 2 tables can be read",
			"read-only advice mysql.writes: ", position)
		grant("SELECT ON " + db + ".a")
		expect("one table", as(user, "pw", sqlkit.TLS{CAFile: s.CAFile}), "login ok: as "+user, "TLS ok: TLSv1.", "grants ok: 1 tables can be read", "read-only ok: ", position)
		grant("SELECT ON " + db + ".*")
		expect("just enough", as(user, "pw", sqlkit.TLS{Mode: sqlkit.TLSSkipVerify}), "login ok: as "+user, "TLS advice mysql.tls: TLSv1.", "grants ok: 2 tables can be read", "read-only ok: ", position)
		grant("INSERT, DELETE ON " + db + ".a")
		expect("could write", as(user, "pw", sqlkit.TLS{}), "login ok", "TLS ok", "grants ok", fmt.Sprintf("read-only advice mysql.writes: user %q could also change things: INSERT, DELETE", user), position)
	})
}
