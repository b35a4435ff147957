package duckdb

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

func TestInvisibleBeforeCommitAndIdempotent(t *testing.T) {
	dir := t.TempDir()
	d := openAt(t, filepath.Join(dir, "kura.duckdb"))
	tab := put(t, d, "r1", "people", people(), persons(t, 0, 5))
	if exists(d.path) {
		t.Error("the file is there before the commit")
	}
	req := request("r1", tab)
	if rec, err := d.Recover(t.Context(), req); rec != connector.CommitAgain || err != nil {
		t.Errorf("before: %s, %v", rec, err)
	}
	for range 2 {
		commit(t, d, req)
		if rec, err := d.Recover(t.Context(), req); rec != connector.Done || err != nil {
			t.Errorf("after: %s, %v", rec, err)
		}
	}
	want(t, "files", ls(t, dir), "kura.duckdb")
	if rec, err := d.Recover(t.Context(), request("r0", tab)); rec != connector.ReadAgain || err != nil {
		t.Errorf("another run: %s, %v", rec, err)
	}
	other := openAt(t, d.path)
	commit(t, other, req)
	if err := other.Abort(t.Context(), tab.Stage); err != nil {
		t.Error(err)
	}
	want(t, "rows", ask(t, d.path, "SELECT count(*) FROM people"), "5")
	publishPeople(t, d, "r2", 6, "people")
	want(t, "files", ls(t, dir), "kura.duckdb kura.duckdb.previous")
	want(t, "rows before", ask(t, d.previous(), "SELECT count(*) FROM people"), "5")
	publishPeople(t, d, "r3", 7, "people")
	want(t, "rows before", ask(t, d.previous(), "SELECT count(*) FROM people"), "6")
}

func TestMetadata(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	publishPeople(t, d, "r1", 5, "a", "b")
	req := request("r2", put(t, d, "r2", "a", people(), persons(t, 0, 50)))
	req.Run.Stale = []string{"b"}
	commit(t, d, req)
	for _, tc := range []struct{ what, sql, want string }{
		{"comments", "SELECT table_name, comment FROM duckdb_tables() WHERE schema_name = 'main' ORDER BY 1", "a|about a\nb|about b"},
		{"column comments", "SELECT table_name, comment FROM duckdb_columns() WHERE comment IS NOT NULL ORDER BY 1", "a|the person's number\nb|the person's number"},
		{"runs", "SELECT id, version, source, started <= published FROM _kitamae.runs ORDER BY 1", "r1|test|test|true\nr2|test|test|true"},
		{"tables", `SELECT run, "table", state, rows, source_rows, notes FROM _kitamae.tables ORDER BY 1, 2`,
			`r1|a|published|5|(null)|["it's fine"]` + "\n" + `r1|b|published|5|(null)|["it's fine"]` + "\n" +
				`r2|a|published|50|(null)|["it's fine"]` + "\n" + `r2|b|stale|5|(null)|["it's fine"]`},
		{"columns", `SELECT "table", number, "column", type, source_type, comment FROM _kitamae.columns ORDER BY 1, 2`,
			"a|1|id|BIGINT|bigint|the person's number\na|2|名前|VARCHAR|varchar(50)|(null)\n" +
				"b|1|id|BIGINT|bigint|the person's number\nb|2|名前|VARCHAR|varchar(50)|(null)"},
		{"nothing else", "SELECT string_agg(table_name, ' ' ORDER BY table_name) FROM duckdb_tables()", "a b columns runs tables"},
	} {
		want(t, tc.what, ask(t, d.path, tc.sql), tc.want)
	}
}

func TestKeptTablesAreCarriedOver(t *testing.T) {
	for _, way := range []struct {
		name string
		rows int // of the table that is replaced: few rows choose the copy of the file
	}{{"into the next file", 5000}, {"into a copy", 1}} {
		t.Run(way.name, func(t *testing.T) {
			d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
			rec := everyRecord(t)
			commit(t, d, request("r1", put(t, d, "r1", "every", rec.Schema(), batch.Of(rec)), put(t, d, "r1", "people", people(), persons(t, 0, 10))))
			before := ask(t, d.path, `SELECT * FROM "every" ORDER BY hash("every")`)
			comments := ask(t, d.path, "SELECT column_name, data_type, comment FROM duckdb_columns() WHERE table_name = 'every' ORDER BY column_index")
			var steps []string
			d.step = func(s string) { steps = append(steps, s) }
			publishPeople(t, d, "r2", way.rows, "people")
			d.step = nil
			if copied := strings.Contains(fmt.Sprint(steps), "copied"); copied != (way.rows == 1) {
				t.Errorf("steps %v", steps)
			}
			want(t, "kept rows", ask(t, d.path, `SELECT * FROM "every" ORDER BY hash("every")`), before)
			want(t, "kept columns", ask(t, d.path, "SELECT column_name, data_type, comment FROM duckdb_columns() WHERE table_name = 'every' ORDER BY column_index"), comments)
			want(t, "replaced", ask(t, d.path, "SELECT count(*) FROM people"), fmt.Sprint(way.rows))
			want(t, "comment", ask(t, d.path, "SELECT comment FROM duckdb_tables() WHERE table_name = 'people'"), "about people")
		})
	}
}

// Views alone are made again; macros, indexes, schemas, types, sequences and tables of other people ask for a copy.
func TestOtherPeoplesObjectsSurvive(t *testing.T) {
	for _, tc := range []struct {
		name, make string
		copies     bool
		check      map[string]string
	}{
		{"views", `CREATE VIEW z AS SELECT id + 1 AS j FROM a; CREATE VIEW "b view" AS SELECT max(j) AS m FROM kura.main.z; CREATE VIEW _kitamae.last AS SELECT max(published) FROM _kitamae.runs`,
			true, map[string]string{`SELECT m FROM "b view"`: "20", "SELECT count(*) FROM _kitamae.last": "1"}},
		{"views only in main", `CREATE VIEW z AS SELECT id + 1 AS j FROM a; CREATE VIEW "b view" AS SELECT max(j) AS m FROM kura.main.z; CREATE VIEW r AS SELECT count(*) n FROM _kitamae.runs`,
			false, map[string]string{`SELECT m FROM "b view"`: "20", "SELECT n FROM r": "2"}},
		{"a view that is broken", `CREATE TABLE gone AS SELECT 1 AS i; CREATE VIEW z AS SELECT * FROM gone; DROP TABLE gone`,
			true, map[string]string{"SELECT view_name FROM duckdb_views() WHERE NOT internal": "z"}},
		{"a commented view", `CREATE VIEW z AS SELECT 1 AS i; COMMENT ON VIEW z IS 'mine'`, true, map[string]string{"SELECT comment FROM duckdb_views() WHERE view_name = 'z'": "mine"}},
		{"macros", `CREATE MACRO plus(x, y := 2) AS x + y; CREATE MACRO first_n(n) AS TABLE SELECT * FROM a WHERE id < n`,
			true, map[string]string{"SELECT plus(1)": "3", "SELECT count(*) FROM first_n(3)": "3"}},
		{"an index", `CREATE UNIQUE INDEX a_id ON a (id)`, true, map[string]string{"SELECT index_name, is_unique FROM duckdb_indexes()": "a_id|true"}},
		{"a schema and a table", `CREATE SCHEMA mart; CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE SEQUENCE s START 5; CREATE TABLE mart.t (i INTEGER PRIMARY KEY DEFAULT nextval('s'), m mood NOT NULL);
			INSERT INTO mart.t (m) VALUES ('good'); CREATE TABLE mine AS SELECT 'x' AS x`,
			true, map[string]string{"SELECT * FROM mart.t": "5|good", "SELECT x FROM mine": "x", "SELECT last_value FROM duckdb_sequences()": "6"}},
		{"a constraint on our table", `ALTER TABLE b ALTER COLUMN id SET NOT NULL`, true,
			map[string]string{"SELECT is_nullable FROM duckdb_columns() WHERE table_name = 'b' AND column_name = 'id'": "false"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
			publishPeople(t, d, "r1", 10, "a", "b")
			change(t, d.path, tc.make)
			copied := false
			d.step = func(s string) { copied = copied || s == "copied" }
			publishPeople(t, d, "r2", 20, "a")
			if copied != tc.copies {
				t.Errorf("copied = %v", copied)
			}
			want(t, "a", ask(t, d.path, "SELECT count(*) FROM a"), "20")
			want(t, "b", ask(t, d.path, "SELECT count(*) FROM b"), "10")
			for sql, w := range tc.check {
				want(t, sql, ask(t, d.path, sql), w)
			}
			publishPeople(t, d, "r3", 20, "a", "b") // and once more, now everything replaced
			for sql, w := range tc.check {
				if !strings.Contains(sql, "is_nullable") && !strings.Contains(sql, " n FROM r") && !strings.HasSuffix(sql, "FROM r") {
					want(t, sql+" (second time)", ask(t, d.path, sql), w)
				}
			}
		})
	}
}

func TestIndexThatCannotBeKept(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	publishPeople(t, d, "r1", 10, "a")
	change(t, d.path, "CREATE INDEX by_name ON a (名前)")
	narrow := arrow.NewSchema(people().Fields()[:1], nil)
	var recs []arrow.RecordBatch
	for rec := range persons(t, 0, 3) {
		one := array.NewRecordBatch(narrow, rec.Columns()[:1], rec.NumRows())
		defer one.Release()
		recs = append(recs, one)
	}
	commit(t, d, request("r2", put(t, d, "r2", "a", narrow, batch.Of(recs...))))
	want(t, "rows", ask(t, d.path, "SELECT count(*) FROM a"), "3")
	if got := ask(t, d.path, "SELECT notes::VARCHAR FROM _kitamae.tables WHERE run = 'r2'"); !strings.Contains(got, "index by_name is gone") {
		t.Errorf("notes = %s", got)
	}
}

func TestNamesThatAreTaken(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	publishPeople(t, d, "r1", 10, "a")
	change(t, d.path, "CREATE TABLE mine (i INTEGER); CREATE VIEW v AS SELECT 1")
	for name, code := range map[string]string{"MINE": "duckdb.not_ours", "v": "duckdb.name_taken"} {
		if _, err := d.PlanTable(t.Context(), connector.PlanRequest{Name: name, Schema: people()}); !fault.HasCode(err, code) {
			t.Errorf("%s: %v, want %s", name, err, code)
		}
	}
}

func TestPlanSaysWhatChanges(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	publishPeople(t, d, "r1", 10, "a")
	p := plan(t, d, "a", arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: &arrow.Decimal128Type{Precision: 10, Scale: 2}}, {Name: "new", Type: arrow.PrimitiveTypes.Int8},
	}, nil))
	want(t, "changes", strings.Join(p.Changes, "\n"), "column id: BIGINT -> DECIMAL(10,2)\ncolumn new: new\ncolumn 名前: gone")
	if !p.Exists || p.Rows != 10 {
		t.Errorf("exists %v, %d rows", p.Exists, p.Rows)
	}
}

func TestOwnersModeIsKept(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	publishPeople(t, d, "r1", 1, "a")
	if err := os.Chmod(d.path, 0o640); err != nil {
		t.Fatal(err)
	}
	publishPeople(t, d, "r2", 2, "a")
	info, err := os.Stat(d.path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
