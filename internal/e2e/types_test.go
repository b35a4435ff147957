package e2e

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
)

// The names that every source's tables have: as awkward as names get.
const (
	typesTable   = `種類 "all" types`
	typesComment = "すべての型; it's a 'test' \\ 表" // without emoji: MySQL keeps comments in three-byte UTF-8
	peopleTable  = "会員"
)

// typeSource is one source with the fixture's table, and one with credentials.
type typeSource struct {
	columns []fixtureColumn
	project func(t *testing.T) *project // over the same source, in a folder of its own
	// comments says whether the source has comments at all.
	comments bool
	// noted are columns of which the report must say something, and a word of it.
	noted map[string]string
}

// TestEveryTypeEverywhere moves every type of every source to every destination and looks
// at each value with readers that are not the product's.
func TestEveryTypeEverywhere(t *testing.T) {
	sources := map[string]func(t *testing.T) typeSource{"sqlite": sqliteTypes}
	for _, s := range servertest.MySQLServers(t) {
		sources[s.Name] = func(t *testing.T) typeSource { return mysqlTypes(t, s) }
	}
	for _, s := range servertest.PostgresServers(t) {
		sources[s.Name] = func(t *testing.T) typeSource { return postgresTypes(t, s) }
	}
	for _, name := range []string{"mariadb", "mysql", "postgres", "postgres_newest", "sqlite"} {
		if sources[name] != nil {
			t.Run(name, func(t *testing.T) {
				src := sources[name](t)
				t.Run("duckdb", func(t *testing.T) { toDuckDB(t, src) })
				t.Run("postgres", func(t *testing.T) { toPostgres(t, src) })
				for _, format := range []string{"parquet", "csv", "ndjson", "arrow"} {
					t.Run(format, func(t *testing.T) { toFiles(t, src, format) })
				}
			})
		}
	}
}

const people = `(id int not null primary key, name varchar(20), password_digest varchar(20), api_token varchar(20), パスワード varchar(20))`

func mysqlTypes(t *testing.T, s servertest.Server) typeSource {
	if zone := s.Query(t, "", "SELECT @@global.time_zone")[0][0]; zone == "+00:00" || zone == "UTC" {
		t.Errorf("the server's zone is %s: the test wants another", zone)
	}
	db := servertest.FreshDatabase(t, s)
	columns := fixture(t, "testdata/mysql.txt", s.Name)
	quote := func(name string) string { return quoteFor(s, name) }
	text := func(v string) string { return strings.ReplaceAll(literal(v), `\`, `\\`) }
	statements := []string{
		"SET sql_mode = 'NO_ENGINE_SUBSTITUTION'", // zero dates
		ddl(typesTable, columns, quote, func(c string) string { return " COMMENT " + text(c+" のコメント") }) + " COMMENT " + text(typesComment),
		"CREATE TABLE " + peopleTable + people,
		"INSERT INTO " + peopleTable + " VALUES (1, '山田', 'x', 'y', 'z')",
	}
	s.Exec(t, db, append(statements, insert(typesTable, columns, quote)...)...)
	noted := map[string]string{"decimal(65,30)": "38 digits"}
	if s.Name == "mysql" {
		noted["unknown"] = ""
	}
	return typeSource{columns: columns, comments: true, noted: noted,
		project: func(t *testing.T) *project { return newProject(t, s, db) }}
}

func postgresTypes(t *testing.T, s servertest.Server) typeSource {
	db := servertest.FreshDatabase(t, s)
	columns := fixture(t, "testdata/postgres.txt", s.Name)
	statements := []string{
		"CREATE EXTENSION hstore", "CREATE EXTENSION citext", "CREATE EXTENSION ltree", "CREATE EXTENSION cube",
		"CREATE TYPE 気分 AS ENUM ('嬉しい', 'so so')", "CREATE DOMAIN positive AS int4 CHECK (value > 0)",
		"CREATE DOMAIN mail AS text", "CREATE DOMAIN price AS numeric(12,3)", "CREATE TYPE 住所 AS (city text, number int)",
		ddl(typesTable, columns, ident, func(string) string { return "" }),
		"COMMENT ON TABLE " + ident(typesTable) + " IS " + literal(typesComment),
		"CREATE TABLE " + peopleTable + people,
		"INSERT INTO " + peopleTable + " VALUES (1, '山田', 'x', 'y', 'z')",
	}
	for _, c := range columns {
		statements = append(statements, "COMMENT ON COLUMN "+ident(typesTable)+"."+ident(c.name)+" IS "+literal(c.name+" のコメント"))
	}
	s.Exec(t, db, append(statements, insert(typesTable, columns, ident)...)...)
	return typeSource{columns: columns, comments: true, noted: map[string]string{"unknown": "text", "int4[][]": "2 dimensions"},
		project: func(t *testing.T) *project { return newProject(t, s, db) }}
}

func sqliteTypes(t *testing.T) typeSource {
	file := filepath.Join(t.TempDir(), "アプリ.db")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	columns := fixture(t, "testdata/sqlite.txt", "sqlite")
	statements := []string{
		ddl(typesTable, columns, ident, func(string) string { return "" }),
		"CREATE TABLE " + peopleTable + people,
		"INSERT INTO " + peopleTable + " VALUES (1, '山田', 'x', 'y', 'z')",
	}
	for _, statement := range append(statements, insert(typesTable, columns, ident)...) {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%v\n%s", err, statement)
		}
	}
	return typeSource{columns: columns, noted: map[string]string{"mixed": "mixed types", "not all dates": "declared"},
		project: func(t *testing.T) *project {
			return &project{dir: t.TempDir(), source: map[string]any{"sqlite": map[string]any{"path": file}}}
		}}
}

// config are the lines of kitamae.yml besides the source.
func (s typeSource) config(t *testing.T, destination string) []string {
	t.Helper()
	types := map[string]string{}
	for _, c := range s.columns {
		if c.as != "" {
			types[c.name] = c.as
		}
	}
	asked, err := json.Marshal(map[string]any{
		typesTable:  map[string]any{"columns": map[string]any{"types": types}},
		peopleTable: map[string]any{"columns": map[string]any{"include": []string{"api_token"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{"verify: full", "limits: {memory: 512MiB}", "tables: " + string(asked)}
	if destination != "" {
		lines = append(lines, "destination: "+destination)
	}
	return lines
}

func toDuckDB(t *testing.T, s typeSource) {
	p := s.project(t)
	r := p.drive(t, s.config(t, "")...)
	s.compare(t, readDuckDB(t, p, typesTable, s.columns), false)
	s.reported(t, r)

	db := p.duckdb(t)
	for _, c := range s.columns {
		got := one(t, db, "SELECT data_type FROM duckdb_columns() WHERE table_name = ? AND column_name = ?", typesTable, c.name)
		if got != c.duckdb {
			t.Errorf("column %s is %s in DuckDB, want %s", c.name, got, c.duckdb)
		}
	}
	got := one(t, db, "SELECT string_agg(column_name, ' ' ORDER BY column_index) FROM duckdb_columns() WHERE table_name = ?", peopleTable)
	if want := "id name api_token"; got != want {
		t.Errorf("columns %q of %s arrived, want %q", got, peopleTable, want)
	}
	if !s.comments {
		return
	}
	if got := one(t, db, "SELECT comment FROM duckdb_tables() WHERE table_name = ?", typesTable); got != typesComment {
		t.Errorf("the table's comment is %q, want %q", got, typesComment)
	}
	for _, c := range s.columns {
		got := one(t, db, "SELECT comment FROM duckdb_columns() WHERE table_name = ? AND column_name = ?", typesTable, c.name)
		if want := c.name + " のコメント"; got != want {
			t.Errorf("the comment of column %s is %q, want %q", c.name, got, want)
		}
	}
}

func toFiles(t *testing.T, s typeSource, format string) {
	p := s.project(t)
	r := p.drive(t, s.config(t, fmt.Sprintf("{files: {dir: out, format: %s}}", format))...)
	read := map[string]func(*testing.T, []string, []fixtureColumn) arrived{
		"parquet": readParquet, "csv": readCSV, "ndjson": readNDJSON, "arrow": readArrow,
	}[format]
	s.compare(t, read(t, p.files(t, "out", typesTable), s.columns), format == "csv")
	s.reported(t, r)
}

// toPostgres leaves out columns with the NUL character, which PostgreSQL's text can't hold; connector/conform sees it refused.
func toPostgres(t *testing.T, s typeSource) {
	dest := servertest.PostgresNewest(t)
	db := servertest.FreshDatabase(t, dest)
	spec, err := json.Marshal(map[string]any{"host": dest.Host, "port": dest.Port, "user": dest.User, "password": dest.Password, "database": db})
	if err != nil {
		t.Fatal(err)
	}
	types, drop := map[string]string{}, []string{}
	all := s.columns
	s.columns = nil
	for _, c := range all {
		if slices.ContainsFunc(c.values, func(v fixtureValue) bool { return strings.Contains(v.want.text, "\x00") }) {
			drop = append(drop, c.name)
			continue
		}
		if c.as != "" {
			types[c.name] = c.as
		}
		s.columns = append(s.columns, c)
	}
	asked, err := json.Marshal(map[string]any{typesTable: map[string]any{"columns": map[string]any{"types": types, "drop": drop}}})
	if err != nil {
		t.Fatal(err)
	}
	p := s.project(t)
	p.drive(t, "verify: full", "limits: {memory: 512MiB}", "tables: "+string(asked), "destination: {postgres: "+string(spec)+"}")
	got := readPostgres(t, dest, db, s.columns)
	for i := range rows(all) { // all has the row without a value of the longest column, too
		if row, ok := got[fmt.Sprint(i)]; !ok {
			t.Errorf("row %d did not arrive", i)
		} else {
			for _, c := range s.columns {
				if want := c.want(i); row[c.name] != want {
					t.Errorf("row %d, column %s (%s): %v arrived, want %v", i, c.name, c.native, row[c.name], want)
				}
			}
		}
	}
	if s.comments {
		if got := dest.Query(t, db, "SELECT obj_description("+literal(ident(typesTable))+"::regclass)")[0][0]; got != typesComment {
			t.Errorf("the table's comment is %q, want %q", got, typesComment)
		}
	}
}

// compare looks at each value. emptyIsNull is for readers that can't tell them apart.
func (s typeSource) compare(t *testing.T, got arrived, emptyIsNull bool) {
	t.Helper()
	if len(got) != rows(s.columns) {
		t.Errorf("%d rows arrived, want %d", len(got), rows(s.columns))
	}
	for i := range rows(s.columns) {
		row, ok := got[fmt.Sprint(i)]
		if !ok {
			t.Errorf("row %d did not arrive", i)
			continue
		}
		for _, c := range s.columns {
			want := c.want(i)
			if emptyIsNull && want.text == "" {
				want.null = true
			}
			if have, ok := row[c.name]; ok && have != want {
				t.Errorf("row %d, column %s (%s): %v arrived, want %v", i, c.name, c.native, have, want)
			}
		}
	}
}

// reported looks at what the report says of values that became null, of columns left out, and of stand-ins.
func (s typeSource) reported(t *testing.T, r *run.Report) {
	t.Helper()
	line := tableReport(t, r, typesTable)
	want := fates(s.columns)
	if len(want) > 0 && !reflect.DeepEqual(line.Changed, want) {
		t.Errorf("the report counts %v as changed, want %v", line.Changed, want)
	}
	if e := line.Evidence; e.Level != "full" || e.Rows != int64(rows(s.columns)) || e.SourceRows != e.Rows || e.Sampled == 0 {
		t.Errorf("evidence %+v", e)
	}
	left := tableReport(t, r, peopleTable).LeftOut
	slices.Sort(left)
	if want := []string{"password_digest", "パスワード"}; !slices.Equal(left, want) {
		t.Errorf("left out: %v, want %v", left, want)
	}
	notes := strings.Join(line.Notes, "\n")
	for column, word := range s.noted {
		if !slices.ContainsFunc(line.Notes, func(n string) bool { return strings.Contains(n, column) && strings.Contains(n, word) }) &&
			!(column == "decimal(65,30)" && strings.Contains(r.Destination, "files")) {
			t.Errorf("no note on column %s with %q in:\n%s", column, word, notes)
		}
	}
}
