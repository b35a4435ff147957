package chaos

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2"
	"github.com/jackc/pgx/v5"

	"github.com/kitamae/kitamae/internal/servertest"
)

// place is a destination, and how a stock reader sees in one look all that is published there.
type place struct {
	name string
	// config are its lines of kitamae.yml.
	config func(t testing.TB) string
	// read returns the checksums of the tables, fs.ErrNotExist where nothing was ever published. config is what the function above returned.
	read func(ctx context.Context, dir, config string, tables map[string][]column) (contents, error)
	// files are what a run must leave in the project's folder, beside kitamae.yml and .kitamae.
	files string
}

// places are the destinations that everything in this package is tried with.
var places = []place{
	{
		name:   "duckdb",
		config: func(testing.TB) string { return "destination: {duckdb: {path: kura.duckdb}}" },
		read:   readDuckDB,
		files:  "kura.duckdb kura.duckdb.previous",
	},
	{
		name:   "parquet",
		config: func(testing.TB) string { return "destination: {files: {dir: out}}" },
		read:   readFiles,
		files:  "out",
	},
	{name: "postgres", config: freshPostgres(nil), read: readPostgres},
}

// freshPostgres is a database of its own as a destination, behind a proxy where there is one.
func freshPostgres(through func(t testing.TB, s servertest.Server) *Proxy) func(t testing.TB) string {
	return func(t testing.TB) string {
		s := servertest.Postgres(t)
		db := servertest.FreshDatabase(t, s) // before the proxy: that one hangs up first, and nobody is in the database when it goes
		port, timeout, login := s.Port, "1h", "15s"
		if through != nil {
			port, timeout, login = through(t, s).Port(), "2s", "3s"
		}
		return fmt.Sprintf(`destination: {"postgres": {"host": "%s", "port": %d, "user": "%s", "password": "${CHAOS_DEST_PASSWORD}", "database": "%s", "read_timeout": %s, "connect_timeout": %s}}`,
			s.Host, port, s.User, db, timeout, login)
	}
}

var destSpec = regexp.MustCompile(`"user": "(\w+)".*"database": "(\w+)"`)

func readPostgres(ctx context.Context, _, config string, tables map[string][]column) (contents, error) {
	spec := destSpec.FindStringSubmatch(config)
	c, err := pgx.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%s user=%s dbname=%s sslmode=disable password=%s", os.Getenv("CHAOS_DEST_PORT"), spec[1], spec[2], os.Getenv("CHAOS_DEST_PASSWORD")))
	if err != nil {
		return nil, err
	}
	defer c.Close(ctx) //nolint:errcheck // it only read
	tx, err := c.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return nil, err
	}
	out := contents{}
	for table, columns := range tables {
		rows, _ := tx.Query(ctx, "SELECT "+rowText("postgres", columns)+" FROM "+quoted("postgres", table)) // the rows carry the error
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil && strings.Contains(err.Error(), "SQLSTATE 42P01") && len(out) == 0 { // nothing is published yet
			return nil, fs.ErrNotExist
		}
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", table, err)
		}
		out[table] = checksum(lines)
	}
	return out, nil
}

func readDuckDB(ctx context.Context, dir, _ string, tables map[string][]column) (contents, error) {
	path := filepath.Join(dir, "kura.duckdb")
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	db, err := sql.Open("duckdb", path+"?access_mode=read_only&threads=1")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return sums(ctx, db, tables, func(table string) string { return quoted("duckdb", table) })
}

// readFiles follows the manifest.
func readFiles(ctx context.Context, dir, _ string, tables map[string][]column) (contents, error) {
	text, err := os.ReadFile(filepath.Join(dir, "out", "manifest.json"))
	if err != nil {
		return nil, err
	}
	var m struct {
		Tables []struct {
			Name  string
			Files []struct{ Path string }
		}
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	lists := map[string]string{}
	for _, tab := range m.Tables {
		var names []string
		for _, f := range tab.Files {
			names = append(names, "'"+filepath.Join(dir, "out", filepath.FromSlash(f.Path))+"'")
		}
		lists[tab.Name] = "read_parquet([" + strings.Join(names, ", ") + "])"
	}
	db, err := sql.Open("duckdb", "?threads=1")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	got, err := sums(ctx, db, tables, func(table string) string { return lists[table] })
	// published over twice since the manifest was read: before DuckDB looked for the file, or between that and opening it
	if err != nil && (strings.Contains(err.Error(), "No files found") || strings.Contains(err.Error(), "No such file")) {
		return readFiles(ctx, dir, "", tables)
	}
	return got, err
}

// sums are the tables' checksums as SQL tells them, all in one transaction.
func sums(ctx context.Context, db *sql.DB, tables map[string][]column, from func(table string) string) (contents, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() //nolint:errcheck // it only read
	out := contents{}
	for table, columns := range tables {
		if from(table) == "" {
			continue
		}
		lines, err := texts(ctx, tx, "SELECT "+rowText("duckdb", columns)+" FROM "+from(table))
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", table, err)
		}
		out[table] = checksum(lines)
	}
	return out, nil
}

func texts(ctx context.Context, tx *sql.Tx, query string) (lines []string, err error) {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, rows.Err()
}

// see fails unless one look at the destination shows the state wanted; where before is set, an earlier whole state,
// or nothing where nothing was published yet, will do too.
func (w *world) see(t testing.TB, p *project, before bool) {
	t.Helper()
	got, err := p.place.read(t.Context(), p.dir, p.config, w.tables(t))
	if before && errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatalf("reading %s: %v", p.place.name, err)
	}
	if before {
		w.whole(t, got)
		return
	}
	if got.String() != w.now().String() {
		t.Fatalf("published is\n%s\nbut the source is\n%s", got, w.now())
	}
}

// whole fails unless the contents are those of one state of the world.
func (w *world) whole(t testing.TB, got contents) {
	t.Helper()
	for _, state := range w.states {
		if got.String() == state.String() {
			return
		}
	}
	t.Fatalf("published is no state that the source ever was in:\n%s\nit now is\n%s", got, w.now())
}
