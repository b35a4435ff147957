package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/conf"
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

// TestCheck meets a superuser, one with just enough rights, and one who may not read a table.
func TestCheck(t *testing.T) {
	eachServer(t, func(t *testing.T, s servertest.Server, db string) {
		user := "u" + db[len(db)-8:]
		s.Exec(t, db, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)", fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'pw'", user))
		t.Cleanup(func() { s.Exec(t, db, "DROP OWNED BY "+user, "DROP ROLE "+user) })
		as := func(name string, tls sqlkit.TLS) []string {
			spec := specFor(s, db)
			spec.TLS = tls
			if tls.CAFile != "" {
				spec.Host = "localhost"
			}
			if name != s.User {
				spec.User, spec.Password = name, "pw"
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
		const snapshot = "snapshot ok: one for all connections"
		expect("superuser", as(s.User, sqlkit.TLS{}), "login ok: as "+s.User+", PostgreSQL "+s.Version, "TLS ok: in the clear, within this machine",
			"grants ok: 2 tables can be read", fmt.Sprintf("read-only advice postgres.writes: user %q is a superuser", s.User), snapshot)
		s.Exec(t, db, "GRANT SELECT ON a TO "+user)
		expect("one table", as(user, sqlkit.TLS{CAFile: s.CAFile}), "login ok", "TLS ok: TLSv1.", fmt.Sprintf("grants postgres.permission: user %q may not read b", user), "read-only ok: ", snapshot)
		s.Exec(t, db, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO "+user)
		expect("just enough", as(user, sqlkit.TLS{Mode: sqlkit.TLSSkipVerify}), "login ok", "TLS advice postgres.tls: TLSv1.", "grants ok: 2 tables can be read", "read-only ok: the user can change no table", snapshot)
		s.Exec(t, db, "GRANT INSERT ON b TO "+user)
		expect("could write", as(user, sqlkit.TLS{}), "login ok", "TLS ok", "grants ok", fmt.Sprintf("read-only advice postgres.writes: user %q could also change b", user), snapshot)
	})
}

// TestCheckDest meets one who owns the database, one who may make nothing, and one with just enough.
func TestCheckDest(t *testing.T) {
	eachServer(t, func(t *testing.T, s servertest.Server, db string) {
		user := "w" + db[len(db)-8:]
		s.Exec(t, db, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'pw'", user), "REVOKE CREATE ON SCHEMA public FROM public")
		t.Cleanup(func() { s.Exec(t, db, "DROP OWNED BY "+user, "DROP ROLE "+user) })
		rights := func(name, password, schema string) string {
			spec := destDefaults
			spec.Host, spec.Port, spec.User, spec.Password, spec.Database, spec.Schema = s.Host, s.Port, name, conf.Secret(password), db, schema
			d, err := openDest(t.Context(), spec, connector.Env{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = d.Close() }()
			checks := d.(connector.Checker).Check(t.Context())
			if len(checks) != 3 || checks[0].Fault != nil || checks[1].Fault != nil {
				t.Fatalf("%+v", checks)
			}
			if f := fault.From(checks[2].Fault); f != nil && f.Kind != fault.Destination {
				t.Errorf("%v is a fault of the %s", f, f.Kind)
			}
			return said(checks[2])
		}
		for _, tc := range []struct{ grant, user, password, schema, want string }{
			{"", s.User, s.Password, "public", "rights ok: tables can be made in public"},
			{"", user, "pw", "public", fmt.Sprintf("rights postgres.permission: user %q may not make tables in the schema public", user)},
			{"CREATE ON SCHEMA public", user, "pw", "public", fmt.Sprintf("rights postgres.permission: user %q may not make the schema _kitamae", user)},
			{"CREATE ON DATABASE " + db, user, "pw", "public", "rights ok: tables can be made in public"},
			{"", user, "pw", "mart", "rights ok: tables can be made in mart"},
		} {
			if tc.grant != "" {
				s.Exec(t, db, "GRANT "+tc.grant+" TO "+user)
			}
			if got := rights(tc.user, tc.password, tc.schema); got != tc.want {
				t.Errorf("after %q: %q, want %q", tc.grant, got, tc.want)
			}
		}
		if got := s.Query(t, db, "SELECT count(*) FROM pg_namespace WHERE nspname IN ('_kitamae', 'mart')")[0][0]; got != "0" {
			t.Errorf("the checks made %s schemas", got)
		}
		shared := fmt.Sprintf("rights postgres.permission: user %q may not write columns, leases, runs, stages, tables in the schema _kitamae, which another user made", user)
		register := func(name, password string) error {
			spec := destDefaults
			spec.Host, spec.Port, spec.User, spec.Password, spec.Database = s.Host, s.Port, name, conf.Secret(password), db
			r, err := openRegister(t.Context(), spec, connector.Env{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = r.Close() }()
			_, err = r.Put(t.Context(), "of "+name, []byte("1"), "")
			return err
		}
		if err := register(s.User, s.Password); err != nil {
			t.Fatal(err)
		}
		s.Exec(t, db, "REVOKE CREATE ON DATABASE "+db+" FROM "+user, "GRANT USAGE, CREATE ON SCHEMA _kitamae TO "+user)
		if got := rights(user, "pw", "public"); got != shared {
			t.Errorf("beside another user: %q, want %q", got, shared)
		}
		err := register(user, "pw")
		if !fault.HasCode(err, "postgres.permission") {
			t.Fatalf("the lease beside another user: %v, want postgres.permission", err)
		}
		hint := fault.From(err).Hint
		s.Exec(t, db, "DROP TABLE _kitamae.stages", hint) // as before a version that has another table
		if got := rights(user, "pw", "public"); got != "rights ok: tables can be made in public" {
			t.Errorf("after %q: %q", hint, got)
		}
		if err := register(user, "pw"); err != nil {
			t.Errorf("the lease after %q: %v", hint, err)
		}
	})
}
