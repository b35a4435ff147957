package digest

import (
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// look feeds an index of sample with staged and returns what it finds wrong.
func look(t *testing.T, sample arrow.RecordBatch, key []string, staged ...arrow.RecordBatch) []Difference {
	t.Helper()
	x, err := NewRowIndex(sample, key)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Release()
	for _, rec := range staged {
		if err := x.Add(rec); err != nil {
			t.Fatal(err)
		}
	}
	return x.Differences()
}

func TestRowIndex(t *testing.T) {
	rec := random(t, 11, 300)
	sample := rec.NewSlice(100, 140)
	changed := func(row int64, col int) arrow.RecordBatch {
		cols := append([]arrow.Array(nil), rec.NewSlice(row, row+1).Columns()...)
		for seed := uint64(500); equal(cols[col], 0, rec.Column(col), int(row)); seed++ {
			cols[col] = random(t, seed, 1).Column(col)
		}
		return array.NewRecordBatch(rec.Schema(), cols, 1)
	}
	key := []string{"a"}
	for _, tc := range []struct {
		name   string
		key    []string
		staged []arrow.RecordBatch
		want   string // in the only difference
		column string
	}{
		{name: "all there", key: key, staged: []arrow.RecordBatch{rec.NewSlice(120, 300), rec.NewSlice(0, 120)}},
		{name: "all there without a key", staged: []arrow.RecordBatch{rec.NewSlice(120, 300), rec.NewSlice(0, 120)}},
		{name: "missing", key: key, staged: []arrow.RecordBatch{rec.NewSlice(0, 110), rec.NewSlice(111, 300)}, want: "row with a = 110 is missing"},
		{name: "missing without a key", staged: []arrow.RecordBatch{rec.NewSlice(0, 110), rec.NewSlice(111, 300)}, want: "number 11 of the sample is missing"},
		{name: "twice", key: key, staged: []arrow.RecordBatch{rec, rec.NewSlice(110, 111)}, want: "a = 110 is there 2 times"},
		{name: "alike elsewhere without a key", staged: []arrow.RecordBatch{rec, rec.NewSlice(110, 111)}},
		{name: "another value", key: key, staged: []arrow.RecordBatch{rec.NewSlice(0, 110), changed(110, 12), rec.NewSlice(111, 300)}, want: "row with a = 110", column: "m"},
		{name: "another value without a key", staged: []arrow.RecordBatch{rec.NewSlice(0, 110), changed(110, 12), rec.NewSlice(111, 300)}, want: "number 11 of the sample is missing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			diffs := look(t, sample, tc.key, tc.staged...)
			if tc.want == "" {
				if len(diffs) > 0 {
					t.Errorf("differences = %v", diffs)
				}
				return
			}
			if len(diffs) != 1 || !strings.Contains(diffs[0].Text, tc.want) || diffs[0].Column != tc.column {
				t.Errorf("differences = %v, want %q about column %q", diffs, tc.want, tc.column)
			}
		})
	}
}

func TestRowIndexCountsEqualSampleRows(t *testing.T) {
	row := random(t, 12, 1)
	sample := concat(t, row, row)
	if diffs := look(t, sample, nil, row, row); len(diffs) > 0 {
		t.Errorf("both there: %v", diffs)
	}
	if diffs := look(t, sample, nil, row); len(diffs) != 1 || !strings.Contains(diffs[0].Text, "1 times, not 2") {
		t.Errorf("one lost: %v", diffs)
	}
	if diffs := look(t, sample, []string{"a"}, row); len(diffs) > 0 {
		t.Errorf("a key sampled twice: %v", diffs)
	}
}

// concat joins two batches into one.
func concat(t *testing.T, a, b arrow.RecordBatch) arrow.RecordBatch {
	t.Helper()
	cols := make([]arrow.Array, a.NumCols())
	for i := range cols {
		col, err := array.Concatenate([]arrow.Array{a.Column(i), b.Column(i)}, memory.DefaultAllocator)
		if err != nil {
			t.Fatal(err)
		}
		cols[i] = col
	}
	return array.NewRecordBatch(a.Schema(), cols, a.NumRows()+b.NumRows())
}

func TestRowIndexBoundsWhatItLists(t *testing.T) {
	rec := random(t, 13, 500)
	if diffs := look(t, rec, []string{"a"}); len(diffs) != maxListed {
		t.Errorf("%d differences, want %d", len(diffs), maxListed)
	}
	if _, err := NewRowIndex(rec, []string{"nowhere"}); err == nil {
		t.Error("a key column that is not there was accepted")
	}
}
