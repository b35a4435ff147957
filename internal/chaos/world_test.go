package chaos

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/internal/servertest"
)

// world is an application's database. Every change to it is one transaction over all of its tables, and numbers
// the state it leaves: a state is its generation, and whoever sees two generations at once has seen a half.
type world struct {
	server servertest.Server
	db     string
	gen    int
	states map[string]contents // every state there ever was, by generation

	adds    bool // it keeps the rows it has
	chunked bool // projects read it in short transactions
}

// contents are the checksums of a state's tables.
type contents map[string]string

func (c contents) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(c)) {
		parts = append(parts, name+" "+c[name])
	}
	return strings.Join(parts, ", ")
}

// mark is the table whose only row is the generation.
const mark = "mark"

// scale is how many rows the world's largest table has at least.
func newWorld(t testing.TB, s servertest.Server, scale int) *world {
	t.Helper()
	w := &world{server: s}
	w.begin(t, scale)
	return w
}

func (w *world) begin(t testing.TB, scale int) {
	t.Helper()
	w.db, w.states = servertest.FreshDatabase(t, w.server), map[string]contents{}
	w.create(t, scale)
}

func (w *world) create(t testing.TB, scale int) {
	t.Helper()
	numbers := fmt.Sprintf("SELECT i FROM generate_series(1, %d) AS g(i)", 2*scale)
	setup := "SELECT 1"
	if w.mysql() {
		numbers = fmt.Sprintf("WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM g WHERE i < %d) SELECT i FROM g", 2*scale)
		setup = "SET SESSION cte_max_recursion_depth = 10000000"
		if strings.HasPrefix(w.server.Name, "mariadb") {
			setup = "SET SESSION max_recursive_iterations = 10000000"
		}
	}
	at := map[bool]string{true: "datetime(6)", false: "timestamp"}[w.mysql()]
	w.server.Exec(t, w.db, setup,
		"CREATE TABLE seq (i int PRIMARY KEY)", "INSERT INTO seq "+numbers,
		"CREATE TABLE "+mark+" (gen int NOT NULL PRIMARY KEY)",
		"CREATE TABLE users (id bigint NOT NULL PRIMARY KEY, gen int NOT NULL, name varchar(80), amount decimal(18,4), born date, at "+at+")",
		"CREATE TABLE log (id bigint NOT NULL PRIMARY KEY, gen int NOT NULL, memo varchar(200))",
		"CREATE TABLE words (gen int NOT NULL, word varchar(40))", // without a key
	)
	w.advance(t)
}

func (w *world) mysql() bool { return w.server.Kind == "mysql" }

// advance makes the next state: other rows, another number of them, all values new.
func (w *world) advance(t testing.TB) {
	t.Helper()
	w.gen++
	g := w.gen
	day, second := "date '1970-01-01' + mod(i*13+%[1]d,20000)", "timestamp '2020-01-01' + (i+%[1]d) * interval '1234567 microseconds'"
	if w.mysql() {
		day, second = "date_add('1970-01-01', interval mod(i*13+%[1]d,20000) day)", "date_add('2020-01-01', interval (i+%[1]d)*1234567 microsecond)"
	}
	most := "(SELECT max(i)/2 FROM seq AS m)"
	fill := fmt.Sprintf
	if w.adds {
		w.add(t)
		return
	}
	w.server.Exec(t, w.db, "BEGIN",
		"DELETE FROM "+mark, "DELETE FROM users", "DELETE FROM log", "DELETE FROM words",
		fill("INSERT INTO "+mark+" VALUES (%d)", g),
		fill("INSERT INTO users (id, gen, name, amount, born, at) SELECT i*7, %[1]d, case when mod(i+%[1]d,5)=0 then null else concat('山田 ', i, '|', %[1]d) end, mod(i*37+%[1]d,100000)*0.0001 - 3, "+
			day+", "+second+" FROM seq WHERE i <= "+most+"/4 + mod(%[1]d*37,100)", g),
		fill("INSERT INTO log (id, gen, memo) SELECT i, %[1]d, repeat(concat('行', mod(i+%[1]d,10)), mod(i,30)) FROM seq WHERE i <= "+most+" + mod(%[1]d*91,500)", g),
		fill("INSERT INTO words SELECT %[1]d, concat('w', mod(i,7)) FROM seq WHERE i <= 100 + mod(%[1]d*11,100)", g),
		"COMMIT")
	w.states[fmt.Sprint(g)] = w.contents(t)
}

// add makes a state of more rows, with greater keys than all before; of some tables now and then none.
func (w *world) add(t testing.TB) {
	t.Helper()
	fill := fmt.Sprintf
	w.server.Exec(t, w.db, "BEGIN",
		fill("INSERT INTO "+mark+" VALUES (%d)", w.gen),
		fill("INSERT INTO users (id, gen, name) SELECT %[1]d * 1000000 + i, %[1]d, concat('山田 ', i, '|', %[1]d) FROM seq WHERE i <= mod(%[1]d*37,100)", w.gen),
		fill("INSERT INTO log (id, gen, memo) SELECT %[1]d * 1000000 + i, %[1]d, repeat('行', mod(i,30)) FROM seq WHERE i <= 500 + mod(%[1]d*91,500)", w.gen),
		fill("INSERT INTO words SELECT %[1]d, concat('w', mod(i,7)) FROM seq WHERE i <= mod(%[1]d,3) * 20", w.gen),
		"COMMIT")
	w.states[fmt.Sprint(w.gen)] = w.contents(t)
}

// now is the state the world is in.
func (w *world) now() contents { return w.states[fmt.Sprint(w.gen)] }

// contents looks at the source itself.
func (w *world) contents(t testing.TB) contents {
	t.Helper()
	out := contents{}
	for table, columns := range w.tables(t) {
		rows := w.server.Query(t, w.db, "SELECT "+rowText(w.server.Kind, columns)+" FROM "+quoted(w.server.Kind, table))
		lines := make([]string, len(rows))
		for i, r := range rows {
			lines[i] = r[0]
		}
		out[table] = checksum(lines)
	}
	return out
}

// column is a column as far as checksums need it.
type column struct{ Name, Kind string }

// tables lists the source's tables and their columns now.
func (w *world) tables(t testing.TB) map[string][]column {
	t.Helper()
	schema := "'public'"
	if w.mysql() {
		schema = "database()"
	}
	out := map[string][]column{}
	for _, r := range w.server.Query(t, w.db, "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = "+schema+
		" AND table_name <> 'seq' ORDER BY table_name, ordinal_position") {
		kind := "plain"
		switch {
		case strings.HasPrefix(r[2], "timestamp") || r[2] == "datetime":
			kind = "datetime"
		case strings.Contains(r[2], "binary") || strings.Contains(r[2], "bytea"):
			kind = "bytes"
		}
		out[r[0]] = append(out[r[0]], column{r[1], kind})
	}
	return out
}

// rowText is SQL for a row as one text, the same in every system.
func rowText(system string, columns []column) string {
	forms := map[string]map[string]string{
		"mysql":    {"plain": "CAST(%s AS char)", "datetime": "date_format(%s, '%%Y-%%m-%%d %%H:%%i:%%s.%%f')", "bytes": "lower(hex(%s))"},
		"postgres": {"plain": "CAST(%s AS text)", "datetime": "to_char(%s, 'YYYY-MM-DD HH24:MI:SS.US')", "bytes": "encode(%s, 'hex')"},
		"duckdb":   {"plain": "CAST(%s AS varchar)", "datetime": "strftime(%s, '%%Y-%%m-%%d %%H:%%M:%%S.%%f')", "bytes": "lower(hex(%s))"},
	}[system]
	var parts []string
	for _, c := range columns {
		parts = append(parts, "coalesce("+fmt.Sprintf(forms[c.Kind], quoted(system, c.Name))+", '∅')")
	}
	return "concat_ws('|', " + strings.Join(parts, ", ") + ")"
}

func quoted(system, name string) string {
	if system == "mysql" {
		return "`" + name + "`"
	}
	return `"` + name + `"`
}

// checksum is of rows in any order, with how many there are.
func checksum(rows []string) string {
	sort.Strings(rows)
	sum := sha256.New()
	for _, r := range rows {
		fmt.Fprintf(sum, "%d:%s\n", len(r), r)
	}
	return fmt.Sprintf("%d rows %s", len(rows), hex.EncodeToString(sum.Sum(nil)[:8]))
}
