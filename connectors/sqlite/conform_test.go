package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connector/conform"
	"github.com/kitamae/kitamae/connectors/sqlite"
)

func TestConform(t *testing.T) {
	conform.Run(t, conform.Suite{Connector: sqlite.Connector, Config: filledFile})
}

// filledFile is a database file with the fixtures in it.
func filledFile(t *testing.T) conform.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	const numbers = `with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < ?) `
	for _, s := range []struct {
		sql  string
		args []any
	}{
		{sql: `create table "学習 記録" (id integer primary key, "it's ""quoted""" text, score real)`},
		{numbers + `insert into "学習 記録" select i * 7 - 1000000 + (i > 100000) * 1000000000, case when i % 5 > 0 then '点' || i end, i / 8.0 from n`, []any{130_000}},
		{sql: `create table pairs (word text, n int, note blob, primary key (word, n)) without rowid`},
		{numbers + `insert into pairs select char(97 + i % 26, 12354 + i % 40), i, case when i % 3 > 0 then randomblob(i % 50) end from n`, []any{126_000}},
		{sql: `create table keyless (a int, b text)`},
		{numbers + `insert into keyless select i % 7, 'twin' from n`, []any{999}},
		{sql: `create table empty (id integer primary key, day date, flag boolean, data json)`},
		{sql: `create table mixed (id integer primary key, anything)`},
		{sql: `insert into mixed values (1, 1), (2, 'two'), (3, 3.5), (4, null), (5, x'00ff'), (-6, '')`},
	} {
		if _, err := db.Exec(s.sql, s.args...); err != nil {
			t.Fatalf("%s: %v", s.sql, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return conform.Config{
		Spec: &sqlite.Spec{Path: path},
		Env:  connector.Env{Dir: filepath.Dir(path), MemoryBytes: 256 << 20, Version: "test"},
		Fixtures: []conform.Fixture{
			{Name: "学習 記録", Columns: []string{"id", `it's "quoted"`, "score"}, Key: []string{"id"}, Rows: 130_000, Partitions: 2},
			{Name: "pairs", Columns: []string{"word", "n", "note"}, Key: []string{"word", "n"}, Rows: 126_000, Partitions: 2},
			{Name: "keyless", Columns: []string{"a", "b"}, Rows: 999},
			{Name: "empty", Columns: []string{"id", "day", "flag", "data"}, Key: []string{"id"}},
			{Name: "mixed", Columns: []string{"id", "anything"}, Key: []string{"id"}, Rows: 6},
		},
	}
}
