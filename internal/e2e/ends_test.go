package e2e

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/internal/servertest"
)

// origin is a source that tests change between runs.
type origin struct {
	name  string
	exec  func(t *testing.T, statements ...string)
	place func(t *testing.T) *project
}

// origins are one source of each kind, each with a fresh database.
func origins(t *testing.T) []origin {
	t.Helper()
	var all []origin
	for _, s := range []servertest.Server{servertest.MariaDB(t), servertest.PostgresNewest(t)} {
		db := servertest.FreshDatabase(t, s)
		all = append(all, origin{
			name: s.Kind, exec: func(t *testing.T, statements ...string) { s.Exec(t, db, statements...) },
			place: func(t *testing.T) *project { return newProject(t, s, db) },
		})
	}
	file := filepath.Join(t.TempDir(), "app.db")
	return append(all, origin{
		name: "sqlite",
		exec: func(t *testing.T, statements ...string) {
			db, err := sql.Open("sqlite", file)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			for _, statement := range statements {
				if _, err := db.Exec(statement); err != nil {
					t.Fatalf("%v\n%s", err, statement)
				}
			}
		},
		place: func(t *testing.T) *project {
			return &project{dir: t.TempDir(), source: map[string]any{"sqlite": map[string]any{"path": file}}}
		},
	})
}

// goal is a destination, read by means that are not the product's.
type goal struct {
	name   string
	config string
	// shown are a table's columns and its rows as text, in the order of their first column.
	shown func(t *testing.T, p *project, table string) (columns, rows []string)
}

// intoPostgres is the config of a destination in a schema of db, 倉 庫.
func intoPostgres(t testing.TB, s servertest.Server, db string) string {
	t.Helper()
	spec, err := json.Marshal(map[string]any{"host": s.Host, "port": s.Port, "user": s.User, "password": s.Password, "database": db, "schema": "倉 庫"})
	if err != nil {
		t.Fatal(err)
	}
	return "destination: {postgres: " + string(spec) + "}"
}

// goals are one destination of each kind.
func goals(t *testing.T) []goal {
	t.Helper()
	s := servertest.Postgres(t)
	db := servertest.FreshDatabase(t, s)
	return []goal{
		{"duckdb", "destination: {duckdb: {path: kura.duckdb}}", func(t *testing.T, p *project, table string) ([]string, []string) {
			return ducks(t, p.duckdb(t), ident(table))
		}},
		{"files", "destination: {files: {dir: out}}", func(t *testing.T, p *project, table string) ([]string, []string) {
			var paths []string
			for _, path := range p.files(t, "out", table) {
				paths = append(paths, literal(path))
			}
			return ducks(t, openDuckDB(t, ""), "read_parquet(["+strings.Join(paths, ", ")+"], union_by_name = true)")
		}},
		{"postgres", intoPostgres(t, s, db), func(t *testing.T, _ *project, table string) (columns, rows []string) {
			for _, c := range s.Query(t, db, "SELECT attname FROM pg_attribute WHERE attrelid = "+literal(`"倉 庫".`+ident(table))+"::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum") {
				columns = append(columns, c[0])
			}
			for _, r := range s.Query(t, db, `SELECT * FROM "倉 庫".`+ident(table)) {
				rows = append(rows, strings.Join(r, "|"))
			}
			slices.Sort(rows)
			return columns, rows
		}},
	}
}

// ducks are the columns and rows of what DuckDB reads from.
func ducks(t *testing.T, db *sql.DB, from string) (columns, lines []string) {
	t.Helper()
	rows, err := db.Query("SELECT COLUMNS(*)::VARCHAR FROM " + from)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if columns, err = rows.Columns(); err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		var line []string
		for _, v := range values {
			if !v.Valid {
				v.String = "NULL"
			}
			line = append(line, v.String)
		}
		lines = append(lines, strings.Join(line, "|"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return columns, lines
}

// across runs f for each source with each destination.
func across(t *testing.T, f func(t *testing.T, from origin, to goal)) {
	for _, from := range origins(t) {
		for _, to := range goals(t) {
			t.Run(fmt.Sprintf("%s to %s", from.name, to.name), func(t *testing.T) { f(t, from, to) })
		}
	}
}
