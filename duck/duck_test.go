package duck

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/kitamae/kitamae/batch"
)

var twoColumns = arrow.NewSchema([]arrow.Field{
	{Name: "id", Type: arrow.PrimitiveTypes.Int64},
	{Name: "名前", Type: arrow.BinaryTypes.String, Nullable: true},
}, nil)

// numbered is a stream of n batches of so many rows, then of the error fail unless it is nil.
func numbered(t testing.TB, pool *batch.Pool, n, rows int, fail error) batch.Stream {
	t.Helper()
	return func(yield func(arrow.RecordBatch, error) bool) {
		b, err := batch.NewBuilder(twoColumns, pool, 1<<20)
		if err != nil {
			yield(nil, err)
			return
		}
		defer b.Release()
		for i := range n {
			for r := range rows {
				id := i*rows + r
				b.Columns[0].Uint64(uint64(id))
				if id%5 == 3 {
					b.Columns[1].Null()
				} else {
					b.Columns[1].Value(fmt.Appendf(nil, "山田 %d", id))
				}
			}
			rec, err := b.Batch()
			if err != nil {
				yield(nil, err)
				return
			}
			more := yield(rec, nil)
			rec.Release()
			if !more {
				return
			}
		}
		if fail != nil {
			yield(nil, fail)
		}
	}
}

func open(t testing.TB, opt Options) *DB {
	t.Helper()
	db, err := Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(t testing.TB, db *DB, sql string) int64 {
	t.Helper()
	n, err := db.Exec(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// one reads a single BIGINT.
func one(t testing.TB, db *DB, sql string) int64 {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil)
	var got int64
	for rec, err := range db.Scan(t.Context(), schema, sql) {
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		got = rec.Column(0).(*array.Int64).Value(0)
	}
	return got
}

func TestLoadAndScan(t *testing.T) {
	db := open(t, Options{Path: filepath.Join(t.TempDir(), "a b.c.duckdb")})
	table := Idents(db.Name, "main", `t"表`)
	exec(t, db, "CREATE TABLE "+table+` (id BIGINT, "名前" VARCHAR)`)
	n, err := db.Load(t.Context(), twoColumns, numbered(t, &batch.Pool{}, 50, 3000, nil),
		func(view string) string { return "INSERT INTO " + table + " SELECT * FROM " + view })
	if err != nil || n != 150_000 {
		t.Fatalf("loaded %d, %v", n, err)
	}
	seen := make([]bool, n)
	for rec, err := range db.Scan(t.Context(), twoColumns, "SELECT * FROM "+table) {
		if err != nil {
			t.Fatal(err)
		}
		ids, names := rec.Column(0).(*array.Int64), rec.Column(1).(*array.String)
		for i := range int(rec.NumRows()) {
			id := ids.Value(i)
			if seen[id] || names.IsNull(i) != (id%5 == 3) || !names.IsNull(i) && names.Value(i) != fmt.Sprintf("山田 %d", id) {
				t.Fatalf("row %d is twice there or wrong: %v", id, names.ValueStr(i))
			}
			seen[id] = true
		}
	}
	for id, ok := range seen {
		if !ok {
			t.Fatalf("row %d is missing", id)
		}
	}
}

func TestLoadReturnsTheStreamsError(t *testing.T) {
	db := open(t, Options{})
	exec(t, db, "CREATE TABLE t (id BIGINT, n VARCHAR)")
	want := errors.New("the network went away")
	_, err := db.Load(t.Context(), twoColumns, numbered(t, &batch.Pool{}, 3, 1000, want),
		func(view string) string { return "INSERT INTO t SELECT * FROM " + view }, "DELETE FROM t")
	if !errors.Is(err, want) {
		t.Errorf("err = %v, want %v", err, want)
	}
	if n := one(t, db, "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("%d rows remain", n)
	}
}

func TestLoadStopsWhenCancelled(t *testing.T) {
	db := open(t, Options{})
	exec(t, db, "CREATE TABLE t (id BIGINT, n VARCHAR)")
	ctx, cancel := context.WithCancel(t.Context())
	ended := false
	endless := func(yield func(arrow.RecordBatch, error) bool) {
		defer func() { ended = true }()
		for rec, err := range numbered(t, &batch.Pool{}, 1<<30, 1000, nil) {
			if !yield(rec, err) {
				return
			}
			cancel()
		}
	}
	start := time.Now()
	_, err := db.Load(ctx, twoColumns, endless, func(view string) string { return "INSERT INTO t SELECT * FROM " + view })
	if !errors.Is(err, context.Canceled) || !ended || time.Since(start) > time.Minute {
		t.Errorf("err = %v, stream ended = %v after %s", err, ended, time.Since(start))
	}
	if n := one(t, db, "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("%d rows remain", n)
	}
}

func TestLoadRefusesOtherTypes(t *testing.T) {
	db := open(t, Options{})
	other := arrow.NewSchema([]arrow.Field{twoColumns.Field(0), {Name: "x", Type: arrow.PrimitiveTypes.Int32}}, nil)
	_, err := db.Load(t.Context(), other, numbered(t, &batch.Pool{}, 1, 1, nil), func(view string) string { return "SELECT * FROM " + view })
	if err == nil {
		t.Error("a batch of another schema was taken")
	}
}

func TestFailedStatementStopsTheStream(t *testing.T) {
	db := open(t, Options{})
	before := runtime.NumGoroutine()
	for range 20 {
		_, err := db.Load(t.Context(), twoColumns, numbered(t, &batch.Pool{}, 1000, 100, nil),
			func(view string) string { return "INSERT INTO nowhere SELECT * FROM " + view })
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("err = %v", err)
		}
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, before %d", after, before)
	}
}

func TestBatchesAreReleased(t *testing.T) {
	db := open(t, Options{})
	exec(t, db, "CREATE TABLE t (id BIGINT, n VARCHAR)")
	var recs []arrow.RecordBatch
	kept := func(yield func(arrow.RecordBatch, error) bool) {
		for rec, err := range numbered(t, &batch.Pool{}, 40, 1000, errors.New("end")) {
			if rec != nil {
				rec.Retain()
				recs = append(recs, rec)
			}
			if !yield(rec, err) {
				return
			}
		}
	}
	_, _ = db.Load(t.Context(), twoColumns, kept, func(view string) string { return "INSERT INTO t SELECT * FROM " + view })
	for i, rec := range recs {
		d := rec.Column(0).Data().(*array.Data)
		rec.Release()
		if len(d.Buffers()) > 0 {
			t.Fatalf("batch %d is still held", i)
		}
	}
}

func TestParquet(t *testing.T) {
	db := open(t, Options{})
	file := filepath.Join(t.TempDir(), "x.parquet")
	n, err := db.Load(t.Context(), twoColumns, numbered(t, &batch.Pool{}, 100, 3000, nil),
		func(view string) string {
			return "COPY (SELECT * FROM " + view + ") TO " + Literal(file) + " (FORMAT parquet, COMPRESSION zstd)"
		})
	if err != nil || n != 300_000 {
		t.Fatalf("wrote %d, %v", n, err)
	}
	if got := one(t, db, "SELECT sum(id)::BIGINT FROM read_parquet("+Literal(file)+")"); got != n*(n-1)/2 {
		t.Errorf("sum = %d", got)
	}
}

func TestSealed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.duckdb")
	open(t, Options{Path: file}).Close()
	db := open(t, Options{Path: file, ReadOnly: true, Sealed: true})
	csv := filepath.Join(dir, "a.csv")
	if err := os.WriteFile(csv, []byte("a\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"SELECT * FROM " + Literal(csv), "COPY (SELECT 1) TO " + Literal(csv), "ATTACH " + Literal(filepath.Join(dir, "b.duckdb")),
		"SET enable_external_access = true", "SET memory_limit = '1TB'", "CREATE TABLE a.t (i INT)", "INSTALL httpfs",
	} {
		if _, err := db.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s was allowed", sql)
		}
	}
}

func TestQuote(t *testing.T) {
	for _, tc := range []struct{ name, got, want string }{
		{"plain", Ident("name"), `"name"`},
		{"quote inside", Ident(`a"b`), `"a""b"`},
		{"parts", Idents("a", "b.c"), `"a"."b.c"`},
		{"text", Literal("it's"), `'it''s'`},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, tc.got, tc.want)
		}
	}
}
