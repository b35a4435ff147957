package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/sqlkit"
)

// readTable reads all partitions of the i-th table of a scan.
func readTable(t *testing.T, s connector.Source, sc *connector.Scan, i int) [][]string {
	t.Helper()
	var all [][]string
	for _, p := range sc.Tables[i].Partitions {
		rows, _ := read(t, s, p)
		all = append(all, rows...)
	}
	return all
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if !fault.HasCode(err, code) {
		t.Errorf("got %v, want a fault with code %s", err, code)
	}
}

func TestSnapshotHoldsWhileOthersWrite(t *testing.T) {
	eachVersion(t, func(t *testing.T, server servertest.Server, db string) {
		server.Exec(t, db, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)",
			"INSERT INTO a SELECT generate_series(1, 5000)")
		s := open(t, specFor(server, db))
		s.sizes = eager
		tables := discover(t, s)
		req := wants(tables["a"], tables["b"])
		sc := scan(t, s, req)
		if sc.Guarantee != connector.Database || !strings.Contains(sc.Position, " at LSN ") {
			t.Errorf("guarantee %q at %q", sc.Guarantee, sc.Position)
		}
		for range 3 { // rows wander from a to b while both are read
			server.Exec(t, db, "WITH gone AS (DELETE FROM a WHERE id % 3 = 0 RETURNING id) INSERT INTO b SELECT id FROM gone",
				"UPDATE a SET id = id + 100000", "VACUUM a", "CREATE TABLE IF NOT EXISTS later (id int)")
			if n := len(readTable(t, s, sc, 0)); n != 5000 {
				t.Errorf("%d rows of a, want 5000", n)
			}
			if n := len(readTable(t, s, sc, 1)); n != 0 {
				t.Errorf("%d rows of b, want none", n)
			}
			if n, err := s.Count(t.Context(), req.Tables[0]); n != 5000 || err != nil {
				t.Errorf("count = %d, %v", n, err)
			}
		}
		if busy := server.Query(t, db, "SELECT count(*) FROM pg_locks WHERE relation = 'a'::regclass AND mode = 'AccessShareLock'")[0][0]; busy != "3" {
			t.Errorf("%s sessions hold the lock against TRUNCATE, want 3", busy)
		}
		again := scan(t, s, req)
		if n := len(readTable(t, s, again, 0)) + len(readTable(t, s, again, 1)); n != 5000 {
			t.Errorf("%d rows under the second snapshot, want 5000", n)
		}
		_, _, err := tryRead(t.Context(), s, sc.Tables[0].Partitions[0])
		wantCode(t, err, "source.snapshot_lost")
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	server := servertest.Postgres(t)
	db := servertest.FreshDatabase(t, server)
	server.Exec(t, db, "CREATE TABLE a AS SELECT generate_series(1, 3000) AS id", "ANALYZE a")
	s := open(t, specFor(server, db))
	s.sizes = eager
	sc := scan(t, s, wants(discover(t, s)["a"]))
	done := make(chan error)
	for _, p := range sc.Tables[0].Partitions {
		go func() {
			_, _, err := tryRead(t.Context(), s, p)
			done <- err
		}()
	}
	for range sc.Tables[0].Partitions {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := server.Query(t, db, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'kitamae' AND datname = current_database()")[0][0]; n != "3" {
		t.Errorf("%s sessions, want 2 and one for control", n)
	}
}

func TestLostConnections(t *testing.T) {
	eachServer(t, func(t *testing.T, server servertest.Server, db string) {
		server.Exec(t, db, "CREATE TABLE big AS SELECT g AS id, repeat('x', 500) AS pad FROM generate_series(1, 60000) g", "ANALYZE big")
		s := open(t, specFor(server, db))
		req := wants(discover(t, s)["big"])
		req.BatchBytes = 64 << 10
		sc := scan(t, s, req)
		part := sc.Tables[0].Partitions[0]
		owner := fmt.Sprint(s.control.PgConn().PID())
		end := "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kitamae' AND datname = current_database() AND pid %s " + owner

		reading, err := s.Read(t.Context(), part)
		if err != nil {
			t.Fatal(err)
		}
		var failed error
		for _, err := range reading.Rows {
			if err != nil {
				failed = err
				break
			}
			server.Exec(t, db, fmt.Sprintf(end, "<>"))
		}
		wantCode(t, failed, "postgres.connection")
		if !fault.Retryable(failed) {
			t.Errorf("%v may not be tried again", failed)
		}
		var n int
		for range 3 { // every connection of the view was ended: each is found out once
			var rows [][]string
			if rows, _, err = tryRead(t.Context(), s, part); err == nil {
				n = len(rows)
				break
			}
		}
		if err != nil || n == 0 || len(readTable(t, s, sc, 0)) != 60000 {
			t.Errorf("reading again: %d rows, %v", n, err)
		}
		server.Exec(t, db, fmt.Sprintf(end, "="))
		_, _, err = tryRead(t.Context(), s, part)
		wantCode(t, err, "source.snapshot_lost")
		if n := len(readTable(t, s, scan(t, s, req), 0)); n != 60000 {
			t.Errorf("%d rows under a new snapshot, want 60000", n)
		}
	})
}

func TestCancelIsQuick(t *testing.T) {
	server := servertest.Postgres(t)
	db := servertest.FreshDatabase(t, server)
	server.Exec(t, db, "CREATE VIEW slow AS SELECT g AS id, pg_sleep(0.05)::text AS nap FROM generate_series(1, 10000) g")
	s := open(t, specFor(server, db))
	req := wants(discover(t, s)["slow"])
	sc := scan(t, s, req)
	for _, way := range []string{"read", "count", "sample"} {
		t.Run(way, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			start := time.Now()
			var err error
			switch way {
			case "read":
				_, _, err = tryRead(ctx, s, sc.Tables[0].Partitions[0])
			case "count":
				_, err = s.Count(ctx, connector.TableScan{Table: req.Tables[0].Table})
			case "sample":
				_, err = s.Sample(ctx, req.Tables[0], 5000)
			}
			if way != "count" { // the count never naps: PostgreSQL leaves the column out
				wantCode(t, err, "run.interrupted")
			}
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("took %s to stop", took)
			}
		})
	}
	server.Exec(t, db, "SELECT 1")
	deadline := time.Now().Add(time.Minute)
	for server.Query(t, db, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'kitamae' AND datname = current_database() AND state = 'active'")[0][0] != "0" {
		if time.Now().After(deadline) {
			t.Fatal("the server still works on what was cancelled")
		}
	}
}

func TestStoppedPullingKeepsTheSession(t *testing.T) {
	server := servertest.Postgres(t)
	db := servertest.FreshDatabase(t, server)
	server.Exec(t, db, "CREATE TABLE a AS SELECT g AS id, repeat('x', 200) AS pad FROM generate_series(1, 200000) g")
	s := open(t, specFor(server, db))
	req := wants(discover(t, s)["a"])
	req.Connections = 1
	sc := scan(t, s, req)
	session := s.latest.idle[0]
	for range 3 {
		reading, err := s.Read(t.Context(), sc.Tables[0].Partitions[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range reading.Rows {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if idle := s.latest.idle; len(idle) != 1 || idle[0] != session {
			t.Fatal("the session was given up")
		}
	}
	if n := len(readTable(t, s, sc, 0)); n != 200000 {
		t.Errorf("%d rows, want 200000", n)
	}
}

func TestOneConnectionWhereSnapshotsAreRefused(t *testing.T) {
	server := servertest.Postgres(t)
	db := servertest.FreshDatabase(t, server)
	role := "r" + db[len(db)-10:]
	server.Exec(t, db, "CREATE ROLE "+role+" LOGIN PASSWORD 'pw'", "REVOKE EXECUTE ON FUNCTION pg_export_snapshot() FROM PUBLIC",
		"CREATE TABLE a AS SELECT generate_series(1, 3000) AS id", "ANALYZE a", "GRANT SELECT ON a TO "+role)
	t.Cleanup(func() { server.Exec(t, db, "DROP OWNED BY "+role, "DROP ROLE "+role) })
	spec := specFor(server, db)
	spec.User, spec.Password = role, "pw"
	s := open(t, spec)
	s.sizes = eager
	req := wants(discover(t, s)["a"])
	sc := scan(t, s, req)
	server.Exec(t, db, "DELETE FROM a")
	if n := len(readTable(t, s, sc, 0)); n != 3000 || sc.Guarantee != connector.Database || len(sc.Notes) != 1 {
		t.Errorf("%d rows, guarantee %s, notes %q", n, sc.Guarantee, sc.Notes)
	}
	if n, err := s.Count(t.Context(), req.Tables[0]); n != 3000 || err != nil {
		t.Errorf("count = %d, %v", n, err)
	}
	if sample, err := s.Sample(t.Context(), req.Tables[0], 10); err != nil || sample.NumRows() == 0 {
		t.Errorf("sample: %v", err)
	}
}

func TestNamesOfAllKinds(t *testing.T) {
	eachServer(t, func(t *testing.T, server servertest.Server, db string) {
		long := strings.Repeat("長", 21)
		server.Exec(t, db, `CREATE TABLE "学習 ""記録""" ("ユーザー id" int PRIMARY KEY, "quo""te" text, "select" text, "`+long+`" text)`,
			`INSERT INTO "学習 ""記録""" VALUES (1, 'a', 'b', 'c')`, `COMMENT ON TABLE "学習 ""記録""" IS '記録''s'`,
			`COMMENT ON COLUMN "学習 ""記録"""."quo""te" IS 'a "note"'`, `CREATE SCHEMA "s p"`, `CREATE TABLE "s p"."T'x" AS SELECT 1 AS "A", 2 AS "a"`)
		spec := specFor(server, db)
		spec.Schemas = []string{"public", "s p"}
		s := open(t, spec)
		tables := discover(t, s)
		first, second := tables[`学習 "記録"`], tables[`s p.T'x`]
		if first.Comment != "記録's" || first.Columns[1].Comment != `a "note"` || !slices.Equal(first.Key, []string{"ユーザー id"}) {
			t.Errorf("got %+v", first)
		}
		sc := scan(t, s, wants(first, second))
		got := [][][]string{readTable(t, s, sc, 0), readTable(t, s, sc, 1)}
		if diff := cmp.Diff([][][]string{{{"1", "a", "b", "c"}}, {{"1", "2"}}}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestReadFaults(t *testing.T) {
	eachServer(t, func(t *testing.T, server servertest.Server, db string) {
		server.Exec(t, db, "CREATE TABLE nested (id int PRIMARY KEY, v int[])", "INSERT INTO nested VALUES (1, '{{1},{2}}')",
			"CREATE TABLE large (a text, id bigint PRIMARY KEY, v text, b uuid)",
			"INSERT INTO large SELECT 'x', g, repeat('x', CASE WHEN g = 7 THEN 9000000 ELSE 100 END), NULL FROM generate_series(1, 10) g",
			"CREATE TABLE wide (id int PRIMARY KEY, a text, b text, c text)", "INSERT INTO wide SELECT 1, repeat('a', 700000), repeat('b', 700000), repeat('c', 700000)",
			"CREATE TABLE altered (id int PRIMARY KEY, v int)", "INSERT INTO altered VALUES (1, 2)")
		s := open(t, specFor(server, db))
		tables := discover(t, s)
		req := wants(tables["nested"], tables["large"], tables["wide"], tables["altered"])
		req.MaxValueBytes = 1 << 20
		sc := scan(t, s, req)
		for i, want := range []string{"postgres.array", "value.too_large"} {
			_, _, err := tryRead(t.Context(), s, sc.Tables[i].Partitions[0])
			wantCode(t, err, want)
			if want == "value.too_large" && !strings.Contains(err.Error(), "table large column v holds a value of 9000000 bytes where id = 7;") {
				t.Errorf("got %v", err)
			}
		}
		if rows := readTable(t, s, sc, 2); len(rows) != 1 || rows[0][3] != strings.Repeat("c", 700000) {
			t.Errorf("a row of several large values came as %d rows", len(rows))
		}
		s.letGo()
		for _, change := range []string{"ALTER TABLE altered ALTER v TYPE bigint", "ALTER TABLE altered DROP v"} {
			server.Exec(t, db, change)
			_, err := s.Scan(t.Context(), req)
			wantCode(t, err, "postgres.table_changed")
		}
		server.Exec(t, db, "DROP TABLE altered", "CREATE TABLE alterd (id int)")
		_, err := s.Scan(t.Context(), req)
		wantCode(t, err, "postgres.table")
		if hint := fault.From(err).Hint; !strings.Contains(hint, `"alterd"`) {
			t.Errorf("hint %q does not name alterd", hint)
		}
		bad := wants(tables["large"])
		bad.Tables[0].Where = "no_such_column > 1"
		_, err = s.Scan(t.Context(), bad)
		wantCode(t, err, "postgres.where")
	})
}

func TestLoginFaults(t *testing.T) {
	server := servertest.Postgres(t)
	db := servertest.FreshDatabase(t, server)
	for _, tc := range []struct {
		name, code, hint string
		change           func(*Spec)
	}{
		{"password", "postgres.auth", "password", func(s *Spec) { s.Password = "wrong" }},
		{"user", "postgres.auth", "user", func(s *Spec) { s.User = "nobody_here" }},
		{"database", "postgres.database", "", func(s *Spec) { s.Database = "no_such_db" }},
		{"nearest database", "postgres.database", `"` + db + `"`, func(s *Spec) { s.Database = db[:len(db)-1] + "_" }},
		{"host", "postgres.host", "host", func(s *Spec) { s.Host = "no-such-host.invalid"; s.TLS.Mode = sqlkit.TLSOff }},
		{"port", "postgres.refused", "port", func(s *Spec) { s.Port = 1 }},
		{"socket", "postgres.refused", "host", func(s *Spec) { s.Host = "/no/such/folder" }},
		{"authority", "postgres.tls", "ca_file", func(s *Spec) { s.TLS.Mode = sqlkit.TLSVerify }},
		{"certificate's name", "postgres.tls", "server_name", func(s *Spec) { s.TLS = sqlkit.TLS{CAFile: server.CAFile, ServerName: "db.example"} }},
		{"no such file", "postgres.tls", "ca_file", func(s *Spec) { s.TLS.CAFile = "/no/such/file" }},
		{"schema", "postgres.schema", `"public"`, func(s *Spec) { s.Schemas = []string{"pubic"} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			spec := specFor(server, db)
			tc.change(&spec)
			src, err := openSource(t.Context(), spec, connector.Env{})
			if err == nil {
				_, err = src.Discover(t.Context())
				err = errors.Join(err, src.Close())
			}
			wantCode(t, err, tc.code)
			if err != nil && (!strings.Contains(fault.From(err).Hint, tc.hint) || strings.Contains(err.Error(), server.Password)) {
				t.Errorf("%v\nhint: %s\nwant %q in it", err, fault.From(err).Hint, tc.hint)
			}
		})
	}
}

func TestWaysToConnect(t *testing.T) {
	eachServer(t, func(t *testing.T, server servertest.Server, db string) {
		server.Exec(t, db, "CREATE TABLE a AS SELECT g AS id, repeat('x', g % 300) AS pad FROM generate_series(1, 50000) g")
		for name, change := range map[string]func(*Spec){
			"tls verified":       func(s *Spec) { s.TLS = sqlkit.TLS{CAFile: server.CAFile} },
			"tls, another name":  func(s *Spec) { s.TLS = sqlkit.TLS{CAFile: server.CAFile, ServerName: "db.kitamae.test"} },
			"tls, not verified":  func(s *Spec) { s.TLS.Mode = sqlkit.TLSSkipVerify },
			"socket":             func(s *Spec) { s.Host = server.Socket },
			"localhost, no tls":  func(s *Spec) { s.Host = "localhost" },
			"tls mode off asked": func(s *Spec) { s.TLS.Mode = sqlkit.TLSOff },
		} {
			t.Run(name, func(t *testing.T) {
				spec := specFor(server, db)
				change(&spec)
				s := open(t, spec)
				sc := scan(t, s, wants(discover(t, s)["a"]))
				if n := len(readTable(t, s, sc, 0)); n != 50000 {
					t.Errorf("%d rows, want 50000", n)
				}
				encrypted := server.Query(t, db, fmt.Sprintf("SELECT ssl FROM pg_stat_ssl WHERE pid = %d", s.control.PgConn().PID()))[0][0]
				if want := strings.HasPrefix(name, "tls") && name != "tls mode off asked"; (encrypted == "t") != want {
					t.Errorf("encrypted: %s, want %v", encrypted, want)
				}
			})
		}
	})
}
