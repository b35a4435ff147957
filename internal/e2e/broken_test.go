package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
)

// breaks is one broken part of a chunked run over the real parts.
type breaks struct {
	name string
	// scan changes the partitions, read the first batch of each partition, write the same on its way in.
	scan        func([]connector.Partition) []connector.Partition
	read, write func(arrow.RecordBatch) []arrow.RecordBatch
	says        string // besides the table
}

// TestChunkedBrokenPartsAreCaught breaks a decoder, a bound and a writer of chunked runs in turn: each run ends by verification
// and publishes nothing of the table, though it may well read it a second time in case an application was at work.
func TestChunkedBrokenPartsAreCaught(t *testing.T) {
	lost := func(rec arrow.RecordBatch) []arrow.RecordBatch { return nil }
	twice := func(rec arrow.RecordBatch) []arrow.RecordBatch { return []arrow.RecordBatch{rec, rec} }
	for _, s := range []servertest.Server{servertest.MySQL(t), servertest.Postgres(t)} {
		t.Run(s.Name, func(t *testing.T) {
			db := servertest.FreshDatabase(t, s)
			chunkedTables(t, s, db)
			for _, b := range []breaks{
				{name: "decoder", read: oneMore, says: "amount"},
				{name: "lost chunk", read: lost, says: "the source counts"},
				{name: "doubled chunk", read: twice, says: "the source counts"},
				{name: "lost row", read: func(rec arrow.RecordBatch) []arrow.RecordBatch {
					return []arrow.RecordBatch{rec.NewSlice(1, rec.NumRows())}
				}, says: "the source counts"},
				{name: "one row twice and another lost", read: func(rec arrow.RecordBatch) []arrow.RecordBatch {
					half := rec.NumRows() / 2
					return []arrow.RecordBatch{rec.NewSlice(0, 1), rec.NewSlice(0, half), rec.NewSlice(half+1, rec.NumRows())}
				}, says: "2 times"},
				// fewer rows than may come and go unseen
				{name: "bound that loses 50 rows", scan: shift(150), says: "read a second way"},
				{name: "bound that doubles 50 rows", scan: shift(-150), says: "read a second way"},
				{name: "lost partition", scan: func(p []connector.Partition) []connector.Partition { return append(p[:1:1], p[2:]...) }, says: "the source counts"},
				{name: "doubled partition", scan: func(p []connector.Partition) []connector.Partition { return append(p, p[1]) }, says: "the source counts"},
				{name: "writer that changes a value", write: oneMore, says: "amount"},
				{name: "writer that loses rows", write: lost, says: "rows"},
			} {
				t.Run(b.name, func(t *testing.T) {
					p := newProject(t, s, db).with("read", "chunked")
					req := p.request(t, "tables: {big: {}}", "limits: {memory: 256MiB}")
					b.into(req.Registry, s.Kind)
					r, err := run.Drive(t.Context(), req)
					if fault.ExitCode(err) != 5 || !strings.Contains(err.Error(), "table big") || !strings.Contains(err.Error(), b.says) {
						t.Errorf("exit code %d: %v; want 5, the table and %q", fault.ExitCode(err), err, b.says)
					}
					if r.Status == run.StatusPublished {
						t.Errorf("it was published:\n%s", describe(r))
					}
				})
			}
		})
	}
}

// shift moves the second partition's beginning.
func shift(by int) func([]connector.Partition) []connector.Partition {
	return func(parts []connector.Partition) []connector.Partition {
		var p map[string]any
		if err := json.Unmarshal(parts[1], &p); err != nil {
			panic(err)
		}
		lo := p["lo"].([]any)
		at, err := strconv.Atoi(fmt.Sprint(lo[0]))
		if err != nil {
			panic(err)
		}
		lo[0] = strconv.Itoa(at + by)
		raw, err := json.Marshal(p)
		if err != nil {
			panic(err)
		}
		return append(append(parts[:1:1], raw), parts[2:]...)
	}
}

// oneMore adds 1 to every tenth amount.
func oneMore(rec arrow.RecordBatch) []arrow.RecordBatch {
	amounts := rec.Column(1).(*array.Int32)
	b := array.NewInt32Builder(memory.DefaultAllocator)
	for i := range amounts.Len() {
		v := amounts.Value(i)
		if i%10 == 0 {
			v++
		}
		b.Append(v)
	}
	return []arrow.RecordBatch{array.NewRecordBatch(rec.Schema(), []arrow.Array{rec.Column(0), b.NewArray(), rec.Column(2)}, rec.NumRows())}
}

// into puts the broken part into the registry.
func (b breaks) into(registry connector.Registry, kind string) {
	c := registry[kind]
	end := *c.Source
	openSource := end.Open
	end.Open = func(ctx context.Context, spec any, env connector.Env) (connector.Source, error) {
		src, err := openSource(ctx, spec, env)
		if err != nil {
			return nil, err
		}
		return &brokenSource{Source: src, Counter: src.(connector.Counter), Sampler: src.(connector.Sampler), breaks: b}, nil
	}
	c.Source = &end
	registry[kind] = c

	d := registry["duckdb"]
	dest := *d.Dest
	openDest := dest.Open
	dest.Open = func(ctx context.Context, spec any, env connector.Env) (connector.Destination, error) {
		dst, err := openDest(ctx, spec, env)
		if err != nil {
			return nil, err
		}
		return &brokenDestination{Destination: dst, breaks: b}, nil
	}
	d.Dest = &dest
	registry["duckdb"] = d
}

type brokenSource struct {
	connector.Source
	connector.Counter
	connector.Sampler
	breaks
}

func (s *brokenSource) Scan(ctx context.Context, req connector.ScanRequest) (*connector.Scan, error) {
	scan, err := s.Source.Scan(ctx, req)
	if err == nil && s.scan != nil {
		scan.Tables[0].Partitions = s.scan(scan.Tables[0].Partitions)
	}
	return scan, err
}

func (s *brokenSource) Read(ctx context.Context, p connector.Partition) (*connector.Reading, error) {
	r, err := s.Source.Read(ctx, p)
	if err == nil && s.read != nil {
		r.Rows = firstBatch(r.Rows, s.read)
	}
	return r, err
}

type brokenDestination struct {
	connector.Destination
	breaks
}

func (d *brokenDestination) Write(ctx context.Context, s connector.Stage, task int, rows batch.Stream) (connector.Receipt, error) {
	if d.write != nil {
		rows = firstBatch(rows, d.write)
	}
	return d.Destination.Write(ctx, s, task, rows)
}

// firstBatch changes the first batch of a stream.
func firstBatch(rows batch.Stream, change func(arrow.RecordBatch) []arrow.RecordBatch) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		first := true
		for rec, err := range rows {
			if err != nil || !first {
				if !yield(rec, err) {
					return
				}
				continue
			}
			first = false
			for _, out := range change(rec) {
				if !yield(out, nil) {
					return
				}
			}
		}
	}
}
