package duckdb

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

func TestQuery(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	if _, err := d.Query(t.Context(), connector.Query{SQL: "SELECT 1"}); !fault.HasCode(err, "duckdb.no_file") {
		t.Errorf("without a file: %v", err)
	}
	publishPeople(t, d, "r1", 5000, "a")
	for _, tc := range []struct {
		sql   string
		limit int
		rows  int64
		more  bool
	}{
		{"SELECT * FROM a", 0, 5000, false}, {"FROM a", 3000, 3000, true}, {"FROM a", 5000, 5000, false}, {"FROM a", 4999, 4999, true},
		{"SELECT * FROM a WHERE id < 0", 10, 0, false}, {"WITH x AS (SELECT 1 AS i) SELECT i FROM x", 1, 1, false},
		{"DESCRIBE a", 0, 2, false}, {"SHOW TABLES", 0, 1, false}, {"SUMMARIZE a", 0, 2, false}, {"EXPLAIN SELECT 1", 0, 1, false},
		{"SELECT 'x'::ENUM('x','y') AS e, {'a': 1, 'b': [now()]} AS s, MAP {'k': TIMESTAMPTZ '2024-01-01'} AS m, 1::HUGEINT AS h, NULL AS n", 0, 1, false},
	} {
		res, err := d.Query(t.Context(), connector.Query{SQL: tc.sql, Rows: tc.limit})
		if err != nil {
			t.Errorf("%s: %v", tc.sql, err)
			continue
		}
		if res.Schema.NumFields() == 0 {
			t.Errorf("%s: no schema", tc.sql)
		}
		var n int64
		for rec, err := range res.Rows {
			if err != nil {
				t.Fatalf("%s: %v", tc.sql, err)
			}
			if !rec.Schema().Equal(res.Schema) {
				t.Errorf("%s: batches are %s, want %s", tc.sql, rec.Schema(), res.Schema)
			}
			n += rec.NumRows()
		}
		if n != tc.rows || res.More() != tc.more {
			t.Errorf("%s: %d rows, more %v, want %d, %v", tc.sql, n, res.More(), tc.rows, tc.more)
		}
		if err := res.Close(); err != nil {
			t.Error(err)
		}
	}
	for sql, code := range map[string]string{
		"DELETE FROM a": "query.read_only", "CREATE TABLE b (i INT)": "query.read_only", "CREATE TEMP TABLE b (i INT)": "query.read_only",
		"SET threads = 1": "query.read_only", "ATTACH ':memory:' AS x": "query.read_only", "COPY a TO 'x.csv'": "query.sealed",
		"SELECT 1; SELECT 2": "query.statements", "": "query.sql", "SELEC 1": "query.sql",
		"SELECT * FROM nowhere": "query.sql", "SELECT * FROM read_csv('/etc/passwd')": "query.sealed", "SELECT * FROM '/etc/passwd'": "query.sql",
		"INSTALL httpfs": "query.read_only", "CALL pragma_version()": "query.read_only", "EXPLAIN ANALYZE DELETE FROM a": "",
	} {
		res, err := d.Query(t.Context(), connector.Query{SQL: sql})
		if err == nil {
			for _, err = range res.Rows {
				if err != nil {
					break
				}
			}
			_ = res.Close()
		}
		if code != "" && !fault.HasCode(err, code) {
			t.Errorf("%q: %v, want %s", sql, err, code)
		}
	}
	want(t, "rows", ask(t, d.path, "SELECT count(*) FROM a"), "5000")
}

func TestQueryStops(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	publishPeople(t, d, "r1", 5000, "a")
	for name, sql := range map[string]string{
		"before the first row": "SELECT count(*) FROM a x, a y, a z WHERE x.id + y.id + z.id = 7",
		"between rows":         "SELECT x.id FROM a x, a y, a z",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		start := time.Now()
		res, err := d.Query(ctx, connector.Query{SQL: sql})
		if err == nil {
			for _, err = range res.Rows {
				if err != nil {
					break
				}
			}
			_ = res.Close()
		}
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 30*time.Second {
			t.Errorf("%s: %v after %s", name, err, time.Since(start))
		}
	}
}
