package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// database makes a file out of statements.
func database(t *testing.T, statements ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "アプリ.db")
	change(t, path, statements...)
	return path
}

// change runs statements through the stock driver.
func change(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func openTest(t *testing.T, path string) *source {
	t.Helper()
	src, err := Connector.Source.Open(t.Context(), &Spec{Path: path}, connector.Env{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src.(*source)
}

func discoverTest(t *testing.T, src *source) map[string]connector.Table {
	t.Helper()
	tables, err := src.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]connector.Table{}
	for _, tab := range tables {
		out[tab.Name] = tab
	}
	return out
}

func whole(tab connector.Table) connector.TableScan {
	return connector.TableScan{Table: tab, Columns: tab.Columns}
}

func scanTest(t *testing.T, src *source, tables ...connector.TableScan) *connector.Scan {
	t.Helper()
	scan, err := src.Scan(t.Context(), connector.ScanRequest{Tables: tables, Connections: 2, BatchBytes: 1 << 20, MaxValueBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return scan
}

// readTest reads all partitions of one scanned table, each row as its values in text, null as "∅".
func readTest(t *testing.T, src *source, tab connector.ScannedTable) [][]string {
	t.Helper()
	var rows [][]string
	for _, p := range tab.Partitions {
		part, err := readPartition(t.Context(), src, p)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, part...)
	}
	return rows
}

func readPartition(ctx context.Context, src *source, p connector.Partition) ([][]string, error) {
	reading, err := src.Read(ctx, p)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for rec, err := range reading.Rows {
		if err != nil {
			return nil, err
		}
		rows = append(rows, texts(rec)...)
	}
	if reading.Result().To.IsZero() {
		return nil, fmt.Errorf("no read window")
	}
	return rows, nil
}

func texts(rec arrow.RecordBatch) [][]string {
	rows := make([][]string, rec.NumRows())
	for i := range rows {
		for _, col := range rec.Columns() {
			v := "∅"
			if !col.IsNull(i) {
				v = col.ValueStr(i)
			}
			rows[i] = append(rows[i], v)
		}
	}
	return rows
}

// columnTest makes a table of one column and says how it arrives.
func columnTest(t *testing.T, declared string, values ...string) (col connector.Column, got []string) {
	t.Helper()
	statements := []string{`CREATE TABLE "表 ""a""" (v ` + declared + `)`}
	for _, v := range values {
		statements = append(statements, `INSERT INTO "表 ""a""" VALUES (`+v+`)`)
	}
	src := openTest(t, database(t, statements...))
	tab := discoverTest(t, src)[`表 "a"`]
	scan := scanTest(t, src, whole(tab))
	for _, row := range readTest(t, src, scan.Tables[0]) {
		got = append(got, row[0])
	}
	sample, err := src.Sample(t.Context(), whole(tab), 100)
	if err != nil {
		t.Fatal(err)
	}
	defer sample.Release()
	seen := map[string]bool{}
	for _, row := range texts(sample) {
		seen[row[0]] = true
	}
	for _, v := range got {
		if !seen[v] {
			t.Errorf("Sample read %v, Read %q", texts(sample), v)
		}
	}
	return tab.Columns[0], got
}

func TestValuesArriveAsTheyAre(t *testing.T) {
	for _, tc := range []struct {
		name, declared string
		in             []string
		typ, kind      string
		want           []string
		note           string
	}{
		{"integers", "INTEGER", []string{"NULL", "0", "-1", "9223372036854775807", "-9223372036854775808"},
			"int64", "", []string{"∅", "0", "-1", "9223372036854775807", "-9223372036854775808"}, ""},
		{"reals", "REAL", []string{"NULL", "0.1", "-1.7976931348623157e308", "5e-324", "9e999", "2"},
			"float64", "", []string{"∅", "0.1", "-1.7976931348623157e+308", "5e-324", "+Inf", "2"}, ""},
		{"integers and reals", "", []string{"1", "2.5", "9007199254740992"},
			"float64", "", []string{"1", "2.5", "9.007199254740992e+15"}, ""},
		{"integers no real equals", "", []string{"9007199254740993", "2.5", "1e30", "3.0"},
			"utf8", "", []string{"9007199254740993", "2.5", "1e+30", "3.0"}, "mixed types (1 integer, 3 real)"},
		{"texts", "VARCHAR(10)", []string{"NULL", "''", "'日本語🎌'", "'it''s'", "'a' || char(0) || 'b'"},
			"utf8", "", []string{"∅", "", "日本語🎌", "it's", "a\x00b"}, ""},
		{"blobs", "BLOB", []string{"NULL", "x''", "x'00ff'", "zeroblob(3)"},
			"binary", "", []string{"∅", "", "AP8=", "AAAA"}, ""},
		{"all classes", "", []string{"NULL", "7", "1.5", "'語'", "x'00ff'"},
			"utf8", "", []string{"∅", "7", "1.5", "語", "X'00FF'"}, "mixed types (1 integer, 1 real, 1 text, 1 blob)"},
		{"texts that are not UTF-8", "TEXT", []string{"'ok'", "CAST(x'8341' AS TEXT)"},
			"binary", "", []string{"b2s=", "g0E="}, "1 of 2 texts are not UTF-8"},
		{"dates", "DATE", []string{"NULL", "'2024-02-29'", "'0001-01-01'", "'9999-12-31'", "'1969-12-31'"},
			"date32", "", []string{"∅", "2024-02-29", "0001-01-01", "9999-12-31", "1969-12-31"}, ""},
		{"no dates", "DATE", []string{"'2024-02-29'", "'2023-02-29'"},
			"utf8", "", []string{"2024-02-29", "2023-02-29"}, "declared DATE, but 1 of 2 values"},
		{"timestamps", "DATETIME", []string{"NULL", "'2024-02-29 23:59:59.123456'", "'1969-12-31T00:00:00.5'", "'2024-01-01 12:34'"},
			"timestamp[us]", "", []string{"∅", "2024-02-29T23:59:59.123456", "1969-12-31T00:00:00.5", "2024-01-01T12:34:00"}, ""},
		{"timestamps with offsets", "TIMESTAMP", []string{"'2024-01-01 00:00:00+09:00'", "'2024-01-01T00:00:00Z'"},
			"timestamp[us, tz=UTC]", "", []string{"2023-12-31T15:00:00Z", "2024-01-01T00:00:00Z"}, ""},
		{"some with offsets", "TIMESTAMP", []string{"'2024-01-01 00:00:00+09:00'", "'2024-01-01 00:00:00'"},
			"utf8", "", []string{"2024-01-01 00:00:00+09:00", "2024-01-01 00:00:00"}, "1 values name a UTC offset and 1 don't"},
		{"nanoseconds", "DATETIME", []string{"'2024-01-01 00:00:00.123456789'"},
			"utf8", "", []string{"2024-01-01 00:00:00.123456789"}, "without loss"},
		{"Unix times", "DATETIME", []string{"1700000000"}, "int64", "", []string{"1700000000"}, "declared DATETIME, but 1 of 1"},
		{"booleans", "BOOLEAN", []string{"NULL", "0", "1"}, "bool", "", []string{"∅", "false", "true"}, ""},
		{"no booleans", "BOOLEAN", []string{"0", "2"}, "int64", "", []string{"0", "2"}, "declared BOOLEAN"},
		{"decimals", "DECIMAL(10,2)", []string{"NULL", "12.5", "-0.01", "99999999.99", "7"},
			"decimal(10, 2)", "", []string{"∅", "12.5", "-0.01", "99999999.99", "7"}, ""},
		{"decimals with a longer one", "NUMERIC(10,2)", []string{"12.5", "0.001"},
			"float64", "", []string{"12.5", "0.001"}, "declared NUMERIC(10,2), but 1 of 2"},
		{"decimals of many digits", "DECIMAL(38,10)", []string{"1234567890123456.8", "9223372036854775807"},
			"decimal(38, 10)", "", []string{"1234567890123456.8", "9223372036854775807"}, ""},
		{"JSON", "JSON", []string{"NULL", `'{"a": [1, "語"]}'`, "'12'", "'1.50'"},
			"utf8", "json", []string{"∅", `{"a": [1, "語"]}`, "12", "1.5"}, ""},
		{"no JSON", "JSON", []string{`'{'`}, "utf8", "", []string{"{"}, "declared JSON"},
		{"nothing, INT", "BIGINT", []string{"NULL"}, "int64", "", []string{"∅"}, ""},
		{"nothing, NUMERIC", "NUMERIC", nil, "float64", "", nil, ""},
		{"nothing, BLOB", "BLOB", nil, "binary", "", nil, ""},
		{"nothing at all", "", nil, "utf8", "", nil, ""},
		{"nothing, DATETIME", "DATETIME", []string{"NULL"}, "timestamp[us]", "", []string{"∅"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			col, got := columnTest(t, tc.declared, tc.in...)
			want := connector.Type{DataType: col.Type.DataType}.DataType.String()
			if want != tc.typ || col.Kind != tc.kind {
				t.Errorf("type %s kind %q, want %s %q", want, col.Kind, tc.typ, tc.kind)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("values (-want +got):\n%s", d)
			}
			if notes := strings.Join(col.Notes, "; "); !strings.Contains(notes, tc.note) || tc.note == "" && notes != "" {
				t.Errorf("notes %q, want %q", notes, tc.note)
			}
		})
	}
}

func TestConfiguredTypes(t *testing.T) {
	src := openTest(t, database(t, "CREATE TABLE t (b INTEGER, n INTEGER, d DATE)", "INSERT INTO t VALUES (0, 1, '2024-01-01'), (2, -5, NULL)"))
	asked := whole(discoverTest(t, src)["t"])
	asked.Columns = append([]connector.Column{}, asked.Columns...)
	asked.Columns[0].Type = connector.Type{DataType: arrow.FixedWidthTypes.Boolean}
	asked.Columns[1].Type = connector.Type{DataType: arrow.BinaryTypes.String}
	asked.Columns[2].Type = connector.Type{DataType: arrow.BinaryTypes.String}
	got := readTest(t, src, scanTest(t, src, asked).Tables[0])
	if d := cmp.Diff([][]string{{"false", "1", "2024-01-01"}, {"true", "-5", "∅"}}, got); d != "" {
		t.Error(d)
	}
}

func TestDiscover(t *testing.T) {
	src := openTest(t, database(t,
		`CREATE TABLE users (id INTEGER PRIMARY KEY, "メール アドレス" TEXT NOT NULL, nick TEXT, up TEXT GENERATED ALWAYS AS (upper(nick)) VIRTUAL)`,
		`INSERT INTO users (id, "メール アドレス", nick) VALUES (1, 'a@example.jp', 'aki'), (5, 'b@example.jp', NULL)`,
		`CREATE TABLE pair (b TEXT, a INTEGER, v REAL, PRIMARY KEY (a, b)) WITHOUT ROWID, STRICT`,
		`INSERT INTO pair VALUES ('x', 1, 1), ('y', 1, 2)`,
		`CREATE TABLE loose (code TEXT NOT NULL, at DATETIME, UNIQUE (code))`,
		`CREATE TABLE mixedkey (k PRIMARY KEY)`, `INSERT INTO mixedkey VALUES (1), ('1')`,
		`CREATE TABLE taken (rowid TEXT, oid TEXT)`, `INSERT INTO taken VALUES ('r', 'o')`,
		`CREATE VIEW 見本 AS SELECT id * 2 AS doppelt, "メール アドレス" FROM users`,
		`CREATE VIEW broken AS SELECT * FROM nowhere`,
		`CREATE VIRTUAL TABLE search USING fts5(body)`, `INSERT INTO search VALUES ('検索')`,
	))
	tables := discoverTest(t, src)
	var names []string
	all, _ := src.Discover(t.Context())
	var asked []connector.TableScan
	for _, tab := range all {
		names = append(names, tab.Name)
		asked = append(asked, whole(tab))
	}
	if d := cmp.Diff([]string{"loose", "mixedkey", "pair", "search", "taken", "users", "見本"}, names); d != "" {
		t.Fatalf("tables (-want +got):\n%s", d)
	}
	users := tables["users"]
	if users.Rows != 2 || !cmp.Equal(users.Key, []string{"id"}) || users.Columns[0].Nullable || users.Columns[1].Nullable || !users.Columns[2].Nullable {
		t.Errorf("users = %+v", users)
	}
	for name, key := range map[string][]string{"pair": {"a", "b"}, "loose": {"code"}, "mixedkey": nil, "見本": nil} {
		if !cmp.Equal(tables[name].Key, key) {
			t.Errorf("key of %s = %v, want %v", name, tables[name].Key, key)
		}
	}
	if !tables["見本"].View || len(tables["mixedkey"].Notes) == 0 {
		t.Errorf("view %+v, mixed key %+v", tables["見本"], tables["mixedkey"])
	}
	scan := scanTest(t, src, asked...)
	if notes := strings.Join(scan.Notes, "\n"); !strings.Contains(notes, "view broken is left out") || !strings.Contains(notes, "journal_mode is delete") {
		t.Errorf("scan notes: %s", notes)
	}
	if scan.Guarantee != connector.Database || scan.Portable {
		t.Errorf("scan %+v", scan)
	}
	want := [][][]string{nil, {{"1"}, {"1"}}, {{"x", "1", "1"}, {"y", "1", "2"}}, {{"検索"}}, {{"r", "o"}},
		{{"1", "a@example.jp", "aki", "AKI"}, {"5", "b@example.jp", "∅", "∅"}}, {{"2", "a@example.jp"}, {"10", "b@example.jp"}}}
	for i := range asked {
		if d := cmp.Diff(want[i], readTest(t, src, scan.Tables[i])); d != "" {
			t.Errorf("%s (-want +got):\n%s", names[i], d)
		}
		if n, err := src.Count(t.Context(), asked[i]); err != nil || n != int64(len(want[i])) {
			t.Errorf("Count(%s) = %d, %v", names[i], n, err)
		}
	}
	if _, err := json.Marshal(scan); err != nil {
		t.Error(err)
	}
}

func TestFromURL(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"sqlite:///var/app.db", "/var/app.db"},
		{"sqlite:app.db", "app.db"},
		{"sqlite:dir/my%20app.db", "dir/my app.db"},
		{"sqlite://app.db", "app.db"},
		{"sqlite:///%E8%A1%A8.db", "/表.db"},
	} {
		u, err := url.Parse(tc.in)
		if err != nil {
			t.Fatal(err)
		}
		spec, err := Connector.FromURL(u)
		if err != nil || spec.(*Spec).Path != tc.want {
			t.Errorf("FromURL(%s) = %v, %v; want %s", tc.in, spec, err, tc.want)
		}
	}
	if _, err := Connector.FromURL(&url.URL{Scheme: "sqlite"}); !fault.HasCode(err, "sqlite.url") {
		t.Errorf("FromURL without a path: %v", err)
	}
}

func TestFileFaults(t *testing.T) {
	dir := t.TempDir()
	good := database(t, "CREATE TABLE t (i)")
	bytes, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"app.sqlite3": bytes, "notes.txt": []byte(strings.Repeat("これは違う。", 1000))} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct{ path, code, hint string }{
		{"ap.sqlite3", "sqlite.file", "did you mean " + filepath.Join(dir, "app.sqlite3")},
		{"nothing-like-it-at-all", "sqlite.file", "relative paths start"},
		{"notes.txt", "sqlite.not_a_database", "source.sqlite.path"},
		{".", "sqlite.file", "inside it"},
		{"", "sqlite.file", "set source.sqlite.path"},
	} {
		_, err := Connector.Source.Open(t.Context(), &Spec{Path: tc.path}, connector.Env{Dir: dir})
		if f := fault.From(err); !fault.HasCode(err, tc.code) || !strings.Contains(f.Hint, tc.hint) {
			t.Errorf("open %q: %v (%+v), want %s", tc.path, err, f, tc.code)
		}
	}
}
