package duckdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// ids reads the first column of what is staged, sorted.
func ids(t testing.TB, d *dest, s connector.Stage, receipts []connector.Receipt) []int64 {
	t.Helper()
	var all []int64
	for rec, err := range d.ReadStaged(t.Context(), s, receipts, []string{"id"}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rec.Column(0).(*array.Int64).Int64Values()...)
	}
	slices.Sort(all)
	return all
}

func TestTasksAreWrittenAtTheSameTimeAndAgain(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	p := plan(t, d, "people", people())
	s, err := d.Stage(t.Context(), connector.StageRequest{Run: "r", Epoch: 1, Plan: p})
	if err != nil {
		t.Fatal(err)
	}
	const tasks, each = 8, 5000
	receipts := make([]connector.Receipt, tasks)
	for range 3 { // the second and third time replace the first
		var all sync.WaitGroup
		for task := range tasks {
			rows := persons(t, task*each, each)
			all.Go(func() {
				r, err := d.Write(t.Context(), s, task, rows)
				if err != nil || r.Rows != each || r.Task != task || r.Epoch != 1 {
					t.Errorf("task %d: %+v, %v", task, r, err)
				}
				receipts[task] = r
			})
		}
		all.Wait()
	}
	got := ids(t, d, s, receipts)
	for i, id := range got {
		if int64(i) != id {
			t.Fatalf("row %d is %d", i, id)
		}
	}
	if len(got) != tasks*each {
		t.Errorf("%d rows staged, want %d", len(got), tasks*each)
	}
	if got := ids(t, d, s, receipts[2:3]); len(got) != each || got[0] != 2*each {
		t.Errorf("task 2 alone: %d rows from %d", len(got), got[0])
	}
	if got := ids(t, d, s, nil); len(got) != 0 {
		t.Errorf("no receipts: %d rows", len(got))
	}
	// Only receipted rows are published.
	commit(t, d, request("r", connector.CommitTable{Stage: s, Plan: p, Receipts: receipts[:2]}))
	want(t, "published", ask(t, d.path, "SELECT count(*), max(id) FROM people"), fmt.Sprintf("%d|%d", 2*each, 2*each-1))
	want(t, "columns", ask(t, d.path, "SELECT string_agg(column_name) FROM duckdb_columns() WHERE table_name = 'people'"), "id,名前")
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	tab := put(t, d, "r", "people", people(), persons(t, 0, 10))
	broken := errors.New("connection lost")
	rows := func(yield func(arrow.RecordBatch, error) bool) {
		for rec, err := range persons(t, 100, 10) {
			if !yield(rec, err) {
				return
			}
		}
		yield(nil, broken)
	}
	if _, err := d.Write(t.Context(), tab.Stage, 1, rows); !errors.Is(err, broken) {
		t.Errorf("err = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	endless := func(yield func(arrow.RecordBatch, error) bool) {
		for rec := range persons(t, 100, 10) {
			for yield(rec, nil) {
				cancel()
			}
		}
	}
	if _, err := d.Write(ctx, tab.Stage, 1, endless); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	if got := ids(t, d, tab.Stage, append(tab.Receipts, connector.Receipt{Task: 1})); len(got) != 10 {
		t.Errorf("%d rows staged, want 10", len(got))
	}
	r, err := d.Write(t.Context(), tab.Stage, 1, persons(t, 10, 5))
	if err != nil || r.Rows != 5 {
		t.Errorf("written again: %+v, %v", r, err)
	}
}

func TestNewEpochDiscards(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	old := put(t, d, "r", "people", people(), persons(t, 0, 10))
	again, err := d.Stage(t.Context(), connector.StageRequest{Run: "r", Epoch: 1, Plan: old.Plan})
	if err != nil || len(ids(t, d, again, old.Receipts)) != 10 {
		t.Errorf("the same epoch lost its rows: %v", err)
	}
	s, err := d.Stage(t.Context(), connector.StageRequest{Run: "r", Epoch: 2, Plan: old.Plan})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(ids(t, d, s, old.Receipts)); n != 0 {
		t.Errorf("%d rows of the old epoch remain", n)
	}
	if _, err := d.Write(t.Context(), old.Stage, 3, persons(t, 0, 1)); !fault.HasCode(err, "duckdb.epoch") {
		t.Errorf("a task of the old epoch wrote: %v", err)
	}
}

func TestAbortLeavesOnlyWhatWasThere(t *testing.T) {
	dir := t.TempDir()
	d := openAt(t, filepath.Join(dir, "kura.duckdb"))
	publishPeople(t, d, "r1", 3, "a")
	before := ls(t, dir)
	x := put(t, d, "r2", "a", people(), persons(t, 0, 9))
	y := put(t, d, "r2", "b", people(), persons(t, 0, 9))
	for range 2 {
		for _, tab := range []connector.CommitTable{x, y} {
			if err := d.Abort(t.Context(), tab.Stage); err != nil {
				t.Error(err)
			}
		}
	}
	want(t, "files", ls(t, dir), before)
	want(t, "rows", ask(t, d.path, "SELECT count(*) FROM a"), "3")
	z := put(t, d, "r3", "a", people(), persons(t, 0, 9))
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	// what is staged outlives the process, for a run that takes it up, until it is aborted
	again := openAt(t, d.path)
	want(t, "rows staged before closing", fmt.Sprint(stagedRows(t, again, z)), "9")
	if err := again.Abort(t.Context(), z.Stage); err != nil {
		t.Error(err)
	}
	want(t, "files after closing half-way and aborting", ls(t, dir), before)
}

// stagedRows counts what is staged of a table.
func stagedRows(t testing.TB, d *dest, tab connector.CommitTable) (n int64) {
	t.Helper()
	for rec, err := range d.ReadStaged(t.Context(), tab.Stage, tab.Receipts, nil) {
		if err != nil {
			t.Fatal(err)
		}
		n += rec.NumRows()
	}
	return n
}

func ls(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestNamesOfAllKinds(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "倉 'quoted' \"x\".duckdb"))
	names := []string{`it's "quoted"`, "with spaces ", "日本語の表", strings.Repeat("long", 40), "select", "a.b", "semi;colon--", "sqlite_master", "pg_class", "columns", "information_schema"}
	var tables []connector.CommitTable
	for i, name := range names {
		schema := arrow.NewSchema([]arrow.Field{
			batch.Field("id", arrow.PrimitiveTypes.Int64, true, "", "", "it's"), batch.Field(name, arrow.BinaryTypes.String, true, "", "", ""),
		}, nil)
		tables = append(tables, put(t, d, "r", name, schema, persons(t, i, 7)))
	}
	commit(t, d, request("r", tables...))
	for i, tab := range tables {
		quoted := `"` + strings.ReplaceAll(names[i], `"`, `""`) + `"`
		want(t, names[i], ask(t, d.path, fmt.Sprintf("SELECT count(%s), min(id) FROM main.%s", quoted, quoted)), fmt.Sprintf("7|%d", i))
		if !plan(t, d, tab.Plan.Name, people()).Exists {
			t.Errorf("%s is not seen", names[i])
		}
	}
	if _, err := d.Stage(t.Context(), connector.StageRequest{Run: "r2", Epoch: 1, Plan: plan(t, d, "x", people())}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Stage(t.Context(), connector.StageRequest{Run: "r2", Epoch: 1, Plan: plan(t, d, "X", people())}); !fault.HasCode(err, "duckdb.name_taken") {
		t.Errorf("x and X were staged beside each other: %v", err)
	}
}

func TestWideRowsAreReadInWindows(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	b := array.NewRecordBuilder(memory.DefaultAllocator, people())
	defer b.Release()
	for i := range 100 {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		b.Field(1).(*array.StringBuilder).Append(strings.Repeat("長い", 50_000))
	}
	rec := b.NewRecordBatch()
	defer rec.Release()
	tab := put(t, d, "r", "wide", people(), batch.Of(rec))
	var all []int64
	largest := int64(0)
	for rec, err := range d.ReadStaged(t.Context(), tab.Stage, tab.Receipts, nil) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rec.Column(0).(*array.Int64).Int64Values()...)
		largest = max(largest, rec.NumRows())
	}
	slices.Sort(all)
	if len(all) != 100 || all[99] != 99 || largest > 30 {
		t.Errorf("%d rows up to %d, in batches of up to %d", len(all), all[len(all)-1], largest)
	}
}

// A value that DuckDB could not hold in what it usually works with arrives all the same.
func TestLargeValuesGetTheWholeShare(t *testing.T) {
	const size = 24 << 20
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	value := func(i int) string { return strings.Repeat(fmt.Sprintf("%d large ", i), size/8) }
	rows := func(yield func(arrow.RecordBatch, error) bool) {
		for i := range 4 {
			b := array.NewRecordBuilder(memory.DefaultAllocator, people())
			b.Field(0).(*array.Int64Builder).Append(int64(i))
			b.Field(1).(*array.StringBuilder).Append(value(i))
			rec := b.NewRecordBatch()
			more := yield(rec, nil)
			rec.Release()
			b.Release()
			if !more {
				return
			}
		}
	}
	tab := put(t, d, "r", "large", people(), rows)
	found := 0
	for rec, err := range d.ReadStaged(t.Context(), tab.Stage, tab.Receipts, nil) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(rec.NumRows()) {
			if rec.Column(1).(*array.String).Value(i) != value(int(rec.Column(0).(*array.Int64).Value(i))) {
				t.Errorf("row %d arrived changed", i)
			}
			found++
		}
	}
	if found != 4 {
		t.Errorf("%d rows arrived, want 4", found)
	}
}
