package run_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/run"
)

// change is what a broken part does to the first batch of big it sees in a stream; n counts streams from 0.
type change func(n int, rec arrow.RecordBatch) []arrow.RecordBatch

// breakBig applies c to streams of the table "big", told by its three columns.
func breakBig(rows batch.Stream, streams *atomic.Int64, c change) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		first := true
		for rec, err := range rows {
			if err != nil || rec.NumCols() != 3 || !first {
				if !yield(rec, err) {
					return
				}
				continue
			}
			first = false
			for _, out := range c(int(streams.Add(1)-1), rec) {
				if !yield(out, nil) {
					return
				}
			}
		}
	}
}

// brokenSource breaks what Read yields: a decoder or a boundary.
type brokenSource struct {
	connector.Source
	connector.Counter
	connector.Sampler
	streams atomic.Int64
	change  change
}

func (b *brokenSource) Read(ctx context.Context, p connector.Partition) (*connector.Reading, error) {
	r, err := b.Source.Read(ctx, p)
	if err == nil {
		r.Rows = breakBig(r.Rows, &b.streams, b.change)
	}
	return r, err
}

// brokenDestination breaks what arrives at Write.
type brokenDestination struct {
	connector.Destination
	streams atomic.Int64
	change  change
}

func (b *brokenDestination) Write(ctx context.Context, s connector.Stage, task int, rows batch.Stream) (connector.Receipt, error) {
	return b.Destination.Write(ctx, s, task, breakBig(rows, &b.streams, b.change))
}

func (h *house) breakSource(c change) {
	sqlite := h.registry["sqlite"]
	end := *sqlite.Source
	open := end.Open
	end.Open = func(ctx context.Context, spec any, env connector.Env) (connector.Source, error) {
		src, err := open(ctx, spec, env)
		if err != nil {
			return nil, err
		}
		return &brokenSource{Source: src, Counter: src.(connector.Counter), Sampler: src.(connector.Sampler), change: c}, nil
	}
	sqlite.Source = &end
	h.registry["sqlite"] = sqlite
}

func (h *house) breakDestination(c change) {
	h.wrapDestination(func(dst connector.Destination) connector.Destination {
		return &brokenDestination{Destination: dst, change: c}
	})
}

// addOne adds 1 to the first amount, as a wrong decoder would.
func addOne(rec arrow.RecordBatch) arrow.RecordBatch {
	old := rec.Column(1).(*array.Int64)
	b := array.NewInt64Builder(memory.DefaultAllocator)
	for i := range old.Len() {
		v := old.Value(i)
		if i == 0 {
			v++
		}
		b.Append(v)
	}
	return array.NewRecordBatch(rec.Schema(), []arrow.Array{rec.Column(0), b.NewArray(), rec.Column(2)}, rec.NumRows())
}

// nullToEmpty makes nulls of name empty texts.
func nullToEmpty(rec arrow.RecordBatch) arrow.RecordBatch {
	old := rec.Column(2).(*array.String)
	b := array.NewStringBuilder(memory.DefaultAllocator)
	for i := range old.Len() {
		b.Append(old.Value(i)) // "" for a null
	}
	return array.NewRecordBatch(rec.Schema(), []arrow.Array{rec.Column(0), rec.Column(1), b.NewArray()}, rec.NumRows())
}

func TestBrokenPartsAreCaught(t *testing.T) {
	for _, tc := range []struct {
		name   string
		breaks func(*house)
		want   []string
	}{
		{"decoder", func(h *house) {
			h.breakSource(func(_ int, rec arrow.RecordBatch) []arrow.RecordBatch { return []arrow.RecordBatch{addOne(rec)} })
		}, []string{"big", "amount", "second"}},
		{"boundary that loses a row", func(h *house) {
			h.breakSource(func(n int, rec arrow.RecordBatch) []arrow.RecordBatch {
				if n == 1 {
					rec = rec.NewSlice(1, rec.NumRows())
				}
				return []arrow.RecordBatch{rec}
			})
		}, []string{"big", "counts 260000 rows, 259999 arrived"}},
		{"boundary that doubles one row and loses another", func(h *house) {
			h.breakSource(func(n int, rec arrow.RecordBatch) []arrow.RecordBatch {
				if n == 1 {
					return []arrow.RecordBatch{rec.NewSlice(0, 1), rec.NewSlice(0, rec.NumRows()/2), rec.NewSlice(rec.NumRows()/2+1, rec.NumRows())}
				}
				return []arrow.RecordBatch{rec}
			})
		}, []string{"big", "there 2 times"}},
		{"writer that changes a value", func(h *house) {
			h.breakDestination(func(_ int, rec arrow.RecordBatch) []arrow.RecordBatch { return []arrow.RecordBatch{addOne(rec)} })
		}, []string{"big", "amount"}},
		{"writer that loses nulls", func(h *house) {
			h.breakDestination(func(_ int, rec arrow.RecordBatch) []arrow.RecordBatch { return []arrow.RecordBatch{nullToEmpty(rec)} })
		}, []string{"big", "name", "null"}},
		{"writer that loses a row", func(h *house) {
			h.breakDestination(func(_ int, rec arrow.RecordBatch) []arrow.RecordBatch {
				return []arrow.RecordBatch{rec.NewSlice(1, rec.NumRows())}
			})
		}, []string{"big", "rows"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			if _, err := run.Drive(t.Context(), h.request(t, "")); err != nil {
				t.Fatal(err)
			}
			h.source(t, "insert into small values (4, 'd'); insert into big values (1, 1, 'new')")
			tc.want = append(tc.want, "table")
			tc.breaks(h)
			for i, w := range tc.want { // one more row than the first time
				tc.want[i] = strings.NewReplacer("260000", "260001", "259999", "260000").Replace(w)
			}
			r, err := run.Drive(t.Context(), h.request(t, ""))
			if fault.ExitCode(err) != 5 {
				t.Fatalf("exit code %d, want 5: %v", fault.ExitCode(err), err)
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if r.Status != run.StatusPartial || r.Guarantee != connector.PerTable {
				t.Errorf("status %s, guarantee %s", r.Status, r.Guarantee)
			}
			if n := h.ask(t, "select count(*) from big"); n != bigRows {
				t.Errorf("big holds %d rows: yesterday's %d should stay", n, bigRows)
			}
			if n := h.ask(t, "select count(*) from small"); n != 4 {
				t.Errorf("small holds %d rows: it verified and should be new, with 4", n)
			}
		})
	}
}
