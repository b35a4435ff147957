package e2e

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
)

// manyColumn is a generated column: its types, what row i holds, and how the server and
// DuckDB write it so that both write the same.
type manyColumn struct {
	name            string
	mysql, postgres string // types
	fillM, fillP    string // SQL over i
	textM, textP    string // the server's text of %s, "" for CAST(%s AS char or text)
	textD           string // DuckDB's
	key             bool
}

var (
	manyMemo = manyColumn{name: "メモ", mysql: "text", postgres: "text",
		fillM: "case when mod(i,3)=0 then null else repeat(concat('行', i, ' 🚢 '), mod(i,5)) end",
		fillP: "case when mod(i,3)=0 then null else repeat(concat('行', i, ' 🚢 '), mod(i,5)::int) end"}
	manyName = manyColumn{name: "full name", mysql: "varchar(60)", postgres: "varchar(60)",
		fillM: `case when mod(i,7)=0 then null else concat('名前 "', i, '"') end`,
		fillP: `case when mod(i,7)=0 then null else concat('名前 "', i, '"') end`}
	manyAmount = manyColumn{name: "amount", mysql: "decimal(14,2)", postgres: "numeric(14,2)",
		fillM: "mod(i*37,100000)*0.01 - 100", fillP: "mod(i*37,100000)*0.01 - 100"}
	manyNumber = manyColumn{name: "n", mysql: "bigint", postgres: "int8",
		fillM: "i*1000003 - 5000000", fillP: "i*1000003 - 5000000"}
	manyDate = manyColumn{name: "born", mysql: "date", postgres: "date",
		fillM: "date_add('1970-01-01', interval mod(i,20000) day)", fillP: "date '1970-01-01' + mod(i,20000)::int"}
	manyTime = manyColumn{name: "at", mysql: "datetime(6)", postgres: "timestamp",
		fillM: "date_add('2020-01-01', interval i*1234567 microsecond)", fillP: "timestamp '2020-01-01' + i * interval '1234567 microseconds'",
		textM: "date_format(%s, '%%Y-%%m-%%d %%H:%%i:%%s.%%f')", textP: "to_char(%s, 'YYYY-MM-DD HH24:MI:SS.US')",
		textD: "strftime(%s, '%%Y-%%m-%%d %%H:%%M:%%S.%%f')"}

	keyID    = manyColumn{name: "id", mysql: "bigint", postgres: "int8", fillM: "i*3", fillP: "i*3", key: true}
	keyUUID  = manyColumn{name: "id", mysql: "uuid", postgres: "uuid", fillM: "concat(substr(md5(i), 1, 12), '4', substr(md5(i), 14, 3), '8', substr(md5(i), 18))", fillP: "md5(i::text)::uuid", key: true}
	keyText  = manyColumn{name: "コード", mysql: "varchar(30)", postgres: "varchar(30)", fillM: "concat('顧客-', i)", fillP: "concat('顧客-', i)", key: true}
	keyGroup = manyColumn{name: "group", mysql: "int", postgres: "int4", fillM: "mod(i,100)", fillP: "mod(i,100)", key: true}
	keyLine  = manyColumn{name: "line", mysql: "varchar(20)", postgres: "varchar(20)", fillM: "concat('k', i)", fillP: "concat('k', i)", key: true}
)

// manyTable is one of the thirty.
type manyTable struct {
	name    string
	rows    int
	columns []manyColumn
}

// thirty are tables of all shapes: five kinds of key, sizes from none to 300,000 rows.
func thirty() []manyTable {
	keys := [][]manyColumn{{keyID}, {keyGroup, keyLine}, {keyUUID}, {keyText}, {}}
	others := []manyColumn{manyName, manyAmount, manyNumber, manyDate, manyTime, manyMemo}
	sizes := []int{0, 1, 7, 100, 1000, 3000, 30_000, 500, 50, 2}
	var tables []manyTable
	for k := range 30 {
		tab := manyTable{name: fmt.Sprintf("table_%02d", k), rows: sizes[k%len(sizes)], columns: slices.Clone(keys[k%len(keys)])}
		switch {
		case k == 29:
			tab.name, tab.rows = "学習ログ big", 300_000
			tab.columns = []manyColumn{keyID}
		case k%3 == 0:
			tab.name = fmt.Sprintf("表%02d", k)
		case k == 10:
			tab.name = `Order "Items"`
		}
		for j := range 2 + k%5 {
			tab.columns = append(tab.columns, others[(k+j)%len(others)])
		}
		tables = append(tables, tab)
	}
	return tables
}

// create are the statements that make and fill the table on s.
func (m manyTable) create(s servertest.Server) []string {
	var defs, key, fill []string
	for _, c := range m.columns {
		name, typ, f := quoteFor(s, c.name), c.postgres, c.fillP
		if s.Kind == "mysql" {
			typ, f = c.mysql, c.fillM
		}
		defs, fill = append(defs, name+" "+typ), append(fill, f)
		if c.key {
			key = append(key, name)
		}
	}
	if len(key) > 0 {
		defs = append(defs, "PRIMARY KEY ("+strings.Join(key, ", ")+")")
	}
	from := fmt.Sprintf("generate_series(1, %d::int8) AS g(i)", m.rows)
	if s.Kind == "mysql" {
		from = fmt.Sprintf("(SELECT cast(seq AS signed) AS i FROM seq_1_to_%d) AS g", m.rows)
	}
	statements := []string{"CREATE TABLE " + quoteFor(s, m.name) + " (" + strings.Join(defs, ", ") + ")"}
	if m.rows > 0 {
		statements = append(statements, "INSERT INTO "+quoteFor(s, m.name)+" SELECT "+strings.Join(fill, ", ")+" FROM "+from)
	}
	return statements
}

// sumOnServer asks the server for the count and an order-independent checksum of the table in schema, "" for the usual one.
func (m manyTable) sumOnServer(s servertest.Server, schema string) string {
	hash := "cast(conv(substr(md5(%s), 1, 8), 16, 10) as unsigned)"
	plain := "cast(%s as char)"
	if s.Kind == "postgres" {
		hash, plain = "('x' || substr(md5(%s), 1, 8))::bit(32)::int8", "%s::text"
	}
	text := func(c manyColumn) string {
		form := c.textP
		if s.Kind == "mysql" {
			form = c.textM
		}
		if form == "" {
			form = plain
		}
		return fmt.Sprintf(form, quoteFor(s, c.name))
	}
	from := quoteFor(s, m.name)
	if schema != "" {
		from = quoteFor(s, schema) + "." + from
	}
	return fmt.Sprintf("SELECT count(*), coalesce(sum("+hash+"), 0) FROM %s", m.joined(text), from)
}

// sumInDuckDB asks the same of relation in DuckDB.
func (m manyTable) sumInDuckDB(relation string) string {
	text := func(c manyColumn) string {
		if c.textD != "" {
			return fmt.Sprintf(c.textD, ident(c.name))
		}
		return "CAST(" + ident(c.name) + " AS VARCHAR)"
	}
	return fmt.Sprintf("SELECT count(*)::VARCHAR, coalesce(sum(('0x' || substr(md5(%s), 1, 8))::BIGINT), 0)::VARCHAR FROM %s", m.joined(text), relation)
}

func (m manyTable) joined(text func(manyColumn) string) string {
	var parts []string
	for _, c := range m.columns {
		parts = append(parts, "coalesce("+text(c)+", '~')")
	}
	return "concat_ws('|', " + strings.Join(parts, ", ") + ")"
}

// TestThirtyTables moves thirty tables whole: the server's own checksums are those of what arrived.
func TestThirtyTables(t *testing.T) {
	for _, s := range []servertest.Server{servertest.MariaDB(t), servertest.Postgres(t)} {
		t.Run(s.Name, func(t *testing.T) {
			db := servertest.FreshDatabase(t, s)
			tables := thirty()
			for _, tab := range tables {
				s.Exec(t, db, tab.create(s)...)
			}
			s.Exec(t, db, "ANALYZE"+map[string]string{"mysql": " TABLE " + quoteFor(s, tables[29].name)}[s.Kind])
			p := newProject(t, s, db)
			const duck, parquet = "limits: {memory: 512MiB}", "destination: {files: {dir: out}}"
			wholeInDuckDB(t, p, s, db, tables, p.drive(t, duck))
			wholeInParquet(t, p, s, db, tables, p.drive(t, duck, parquet))
			pg := servertest.Postgres(t)
			there := servertest.FreshDatabase(t, pg)
			wholeInPostgres(t, pg, there, s, db, tables, p.drive(t, duck, intoPostgres(t, pg, there)))

			changed := tables[6] // 30,000 rows with a composite key
			name := quoteFor(s, changed.name)
			s.Exec(t, db, "DELETE FROM "+name+" WHERE "+quoteFor(s, "group")+" = 7",
				"UPDATE "+name+" SET "+quoteFor(s, "line")+" = concat("+quoteFor(s, "line")+", 'x') WHERE "+quoteFor(s, "group")+" = 8",
				"DELETE FROM "+quoteFor(s, tables[3].name))
			wholeInDuckDB(t, p, s, db, tables, p.drive(t, duck))
			wholeInPostgres(t, pg, there, s, db, tables, p.drive(t, duck, intoPostgres(t, pg, there)))

			reports, err := run.Ledger(t.Context(), p.request(t, duck).State, 0)
			if err != nil || len(reports) != 5 {
				t.Errorf("the ledger has %d runs, want 5: %v", len(reports), err)
			}
		})
	}
}

func wholeInDuckDB(t *testing.T, p *project, s servertest.Server, db string, tables []manyTable, r *run.Report) {
	t.Helper()
	found := p.duckdb(t)
	sums := compareSums(t, found, s, db, tables, func(m manyTable) string { return ident(m.name) })
	evident(t, r, tables, sums)
	got := one(t, found, "SELECT count(*)::VARCHAR FROM _kitamae.tables WHERE run = ? AND state = 'published' AND rows = source_rows AND guarantee = 'database'", r.ID)
	if got != "30" {
		t.Errorf("_kitamae.tables has evidence of %s tables of run %s, want 30", got, r.ID)
	}
	if got := one(t, found, "SELECT count(*)::VARCHAR FROM _kitamae.runs WHERE id = ?", r.ID); got != "1" {
		t.Errorf("_kitamae.runs has %s lines of run %s", got, r.ID)
	}
	if got := one(t, found, `SELECT count(DISTINCT "table")::VARCHAR FROM _kitamae.columns`); got != "30" {
		t.Errorf("_kitamae.columns describes %s tables, want 30", got)
	}
}

func wholeInParquet(t *testing.T, p *project, s servertest.Server, db string, tables []manyTable, r *run.Report) {
	t.Helper()
	sums := compareSums(t, openDuckDB(t, ""), s, db, tables, func(m manyTable) string {
		var paths []string
		for _, path := range p.files(t, "out", m.name) {
			paths = append(paths, literal(path))
		}
		return "read_parquet([" + strings.Join(paths, ", ") + "])"
	})
	evident(t, r, tables, sums)
}

// wholeInPostgres has the destination's server sum up what arrived.
func wholeInPostgres(t *testing.T, pg servertest.Server, there string, s servertest.Server, db string, tables []manyTable, r *run.Report) {
	t.Helper()
	evident(t, r, tables, compare(t, s, db, tables, func(m manyTable) ([]string, error) {
		return pg.Query(t, there, m.sumOnServer(pg, "倉 庫"))[0], nil
	}))
	got := pg.Query(t, there, "SELECT count(*) FROM _kitamae.tables WHERE run = "+literal(r.ID)+" AND state = 'published' AND rows = source_rows AND guarantee = 'database'")[0][0]
	if got != "30" {
		t.Errorf("_kitamae.tables has evidence of %s tables of run %s, want 30", got, r.ID)
	}
}

// compareSums compares with relations in DuckDB and returns the tables' counts, by name.
func compareSums(t *testing.T, found *sql.DB, s servertest.Server, db string, tables []manyTable, relation func(manyTable) string) map[string]string {
	t.Helper()
	return compare(t, s, db, tables, func(m manyTable) ([]string, error) {
		got := make([]string, 2)
		return got, found.QueryRow(m.sumInDuckDB(relation(m))).Scan(&got[0], &got[1])
	})
}

// compare compares each table's count and checksum at the source with those that arrived, and returns the counts.
func compare(t *testing.T, s servertest.Server, db string, tables []manyTable, arrived func(manyTable) ([]string, error)) map[string]string {
	t.Helper()
	counts := map[string]string{}
	for _, m := range tables {
		want := s.Query(t, db, m.sumOnServer(s, ""))[0]
		got, err := arrived(m)
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: count and checksum are %v, at the source %v", m.name, got, want)
		}
		counts[m.name] = want[0]
	}
	return counts
}

// evident looks at the report: every table's counts, view and read window.
func evident(t *testing.T, r *run.Report, tables []manyTable, counts map[string]string) {
	t.Helper()
	if r.Guarantee != connector.Database || r.Position == "" {
		t.Errorf("the run's guarantee is %s at %q", r.Guarantee, r.Position)
	}
	for _, m := range tables {
		line := tableReport(t, r, m.name)
		e := line.Evidence
		switch {
		case line.Status != run.StatusPublished || e == nil:
			t.Errorf("%s is %s", m.name, line.Status)
		case fmt.Sprint(e.Rows) != counts[m.name] || e.SourceRows != e.Rows, e.Guarantee != connector.Database, e.Level != "aggregates",
			e.Rows > 0 && (e.Sampled == 0 || e.ReadFrom.Before(r.Started) || e.ReadTo.Before(e.ReadFrom) || e.ReadTo.After(r.Ended)):
			t.Errorf("%s: %s rows at the source, evidence %+v in the run from %s to %s", m.name, counts[m.name], e, r.Started, r.Ended)
		}
	}
	if line := tableReport(t, r, tables[29].name); line.Partitions < 2 {
		t.Errorf("%s has %d partitions: the test wants boundaries", line.Source, line.Partitions)
	}
}
