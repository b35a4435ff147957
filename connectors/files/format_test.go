package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/duck"
)

// every format with every compression
func everySpec(dir string) []Spec {
	var specs []Spec
	for _, f := range []string{parquet, csv, ndjson, arrowf} {
		for _, c := range compressions(f) {
			specs = append(specs, Spec{Dir: filepath.Join(dir, f+c), Format: f, Compression: c})
		}
	}
	return specs
}

func TestEveryTypeReadsBack(t *testing.T) {
	rec := everyType(t)
	for _, spec := range everySpec(t.TempDir()) {
		t.Run(spec.Format+" "+spec.Compression, func(t *testing.T) {
			d := open(t, spec)
			l := load(t, d, "r1", "every", rec, rec.NewSlice(0, 5), rec.NewSlice(0, 0))
			same(t, collect(t, d.ReadStaged(t.Context(), l.Stage, l.Receipts, nil), l.schema), l.want)

			picked := []string{"ts", "i8"}
			some := arrow.NewSchema([]arrow.Field{field(l.schema, "ts"), field(l.schema, "i8")}, nil)
			if got := collect(t, d.ReadStaged(t.Context(), l.Stage, l.Receipts[:1], picked), some); len(got) != int(rec.NumRows()) {
				t.Errorf("%d rows of some columns, want %d", len(got), rec.NumRows())
			}
			for i, r := range l.Receipts {
				if want := []int64{rec.NumRows(), 5, 0}[i]; r.Rows != want || r.Task != i || r.Bytes == 0 && r.Rows > 0 {
					t.Errorf("receipt %d: %d rows, task %d, %d bytes; want %d rows", i, r.Rows, r.Task, r.Bytes, want)
				}
			}
		})
	}
}

func field(s *arrow.Schema, name string) arrow.Field { return s.Field(s.FieldIndices(name)[0]) }

func same(t testing.TB, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d rows, want %d", len(got), len(want))
		return
	}
	for i := range got {
		if got[i] != want[i] {
			g, w := strings.Split(got[i], "|"), strings.Split(want[i], "|")
			for k := range w {
				if k < len(g) && g[k] != w[k] {
					t.Errorf("row %d cell %d: got %.200q, want %.200q", i, k, g[k], w[k])
				}
			}
		}
	}
}

// The writer is DuckDB, the reader arrow-go: reading with DuckDB too is the cross-check,
// and shows the types people will see.
func TestParquetAsDuckDBSeesIt(t *testing.T) {
	rec := everyType(t)
	d := open(t, Spec{Dir: t.TempDir()})
	l := load(t, d, "r1", "every", rec)
	commit(t, d, "r1", l)
	db, err := duck.Open(t.Context(), duck.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	glob := duck.Literal(filepath.Join(d.spec.Dir, current, "every", "*.parquet"))
	same(t, collect(t, db.Scan(t.Context(), l.schema, "SELECT * FROM read_parquet("+glob+")"), l.schema), l.want)

	rows, err := db.Query(t.Context(), "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM read_parquet("+glob+"))")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	got := map[string]string{}
	for rec, err := range rows.All() {
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines(rec) {
			name, typ, _ := strings.Cut(line, "|")
			got[name] = typ
		}
	}
	for name, want := range map[string]string{
		"u64": "UBIGINT", "dec": "DECIMAL(38,10)", "big": "VARCHAR", "ts": "TIMESTAMP", "tz": "TIMESTAMP WITH TIME ZONE",
		"time": "TIME", "dur": "VARCHAR", "iv": "VARCHAR", "ints": "BIGINT[]", "bin": "BLOB", "date": "DATE", `名前 "x", y`: "VARCHAR",
		"tzs": "TIMESTAMP WITH TIME ZONE[]", "i8": "TINYINT", "Case": "VARCHAR", "case_2": "VARCHAR",
	} {
		if got[name] != want {
			t.Errorf("column %s is %s, want %s", name, got[name], want)
		}
	}
}

// Several row groups, so that windows and batches end inside and at their ends.
func TestManyRowGroups(t *testing.T) {
	const n = 2*122_880 + 17 // more than two row groups
	rec := numbers(0, n)
	d := open(t, Spec{Dir: t.TempDir()})
	var parts []arrow.RecordBatch
	for at := 0; at < n; at += batch.MaxRows {
		parts = append(parts, rec.NewSlice(int64(at), int64(min(at+batch.MaxRows, n))))
	}
	plan := load(t, d, "r0", "numbers", rec.NewSlice(0, 1)) // for its stage
	r, err := d.Write(t.Context(), plan.Stage, 0, batch.Of(parts...))
	if err != nil {
		t.Fatal(err)
	}
	if r.Rows != n {
		t.Errorf("%d rows, want %d", r.Rows, n)
	}
	plan.Receipts[0] = r
	want := lines(rec)
	slices.Sort(want)
	same(t, collect(t, d.ReadStaged(t.Context(), plan.Stage, plan.Receipts, nil), plan.schema), want)
}

func TestCSVAndNDJSONAsText(t *testing.T) {
	for _, tc := range []struct{ format, want string }{
		{csv, "id,text\n0,row 0\n1,row 1\n"},
		{ndjson, `{"id":0,"text":"row 0"}` + "\n" + `{"id":1,"text":"row 1"}` + "\n"},
	} {
		d := open(t, Spec{Dir: t.TempDir(), Format: tc.format})
		commit(t, d, "r1", load(t, d, "r1", "t", numbers(0, 2)))
		names, err := filepath.Glob(filepath.Join(d.spec.Dir, current, "t", "part-*."+tc.format))
		if err != nil || len(names) != 1 {
			t.Fatal(names, err)
		}
		if text, err := os.ReadFile(names[0]); err != nil || string(text) != tc.want {
			t.Errorf("%s: got %q, %v; want %q", tc.format, text, err, tc.want)
		}
	}
}

func TestStreamErrorLeavesNothing(t *testing.T) {
	for _, spec := range everySpec(t.TempDir()) {
		d := open(t, spec)
		l := load(t, d, "r1", "t", numbers(0, 2))
		gone := fmt.Errorf("the source is gone")
		rows := func(yield func(arrow.RecordBatch, error) bool) {
			if yield(numbers(0, 2), nil) {
				yield(nil, gone)
			}
		}
		if _, err := d.Write(t.Context(), l.Stage, 1, rows); !errors.Is(err, gone) {
			t.Errorf("%s: got %v, want the stream's own error", spec.Format, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancelled := func(yield func(arrow.RecordBatch, error) bool) {
			cancel()
			yield(numbers(0, 2), nil)
		}
		if _, err := d.Write(ctx, l.Stage, 2, cancelled); err == nil {
			t.Errorf("%s: a cancelled write succeeded", spec.Format)
		}
		keys, err := d.store.list(t.Context(), runsDir+"/r1/t")
		if err != nil || len(keys) != 1 {
			t.Errorf("%s: %v are left (%v), want one file", spec.Format, keys, err)
		}
	}
}
