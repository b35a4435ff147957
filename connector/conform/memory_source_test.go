package conform

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// Flaws of sources.
const (
	lostBoundary    flaw = "row lost between partitions"
	sharedBoundary  flaw = "row in two partitions"
	wrongDecoder    flaw = "wrong decoder"
	deafRead        flaw = "deaf to cancelling"
	leakedGoroutine flaw = "goroutine left"
	resumedRead     flaw = "read resumed in the middle"
	nullsDenied     flaw = "nulls denied"
)

var memorySource = connector.NewEnd[memorySpec, connector.Source](memorySpec{},
	func(_ context.Context, s memorySpec, _ connector.Env) (connector.Source, error) {
		return &source{flaw: s.store.flaw, started: map[string]bool{}, left: make(chan struct{})}, nil
	},
	func(memorySpec) string { return "memory" })

// source makes its rows; it is correct but for its flaw.
type source struct {
	flaw    flaw
	mu      sync.Mutex
	asked   []connector.TableScan
	started map[string]bool
	left    chan struct{} // never closed: what a leaked goroutine waits for
}

type holding struct {
	table table
	rows  int
}

// held are the tables the double has and their rows.
var held = []holding{{people("people", 0), 20_000}, {people("nobody", 0), 0}}

const perPartition = 6000

func (s *source) Discover(context.Context) ([]connector.Table, error) {
	var all []connector.Table
	for _, h := range held {
		tb := connector.Table{Name: h.table.name, Comment: h.table.comment, Key: h.table.key, Rows: int64(h.rows), Bytes: -1}
		for _, f := range h.table.schema.Fields() {
			tb.Columns = append(tb.Columns, connector.Column{
				Name: f.Name, Type: connector.Type{DataType: f.Type}, Native: batch.Meta(f, batch.NativeKey),
				Nullable: f.Nullable && s.flaw != nullsDenied, Comment: batch.Meta(f, batch.CommentKey),
			})
		}
		all = append(all, tb)
	}
	return all, nil
}

// part is what this source's Partition holds.
type part struct{ Table, From, To int }

func rowsHeld(ts connector.TableScan) int {
	if ts.Where != "" { // the suite's only condition holds for no row
		return 0
	}
	for _, h := range held {
		if h.table.name == ts.Table.Name {
			return h.rows
		}
	}
	return -1
}

func (s *source) Scan(_ context.Context, req connector.ScanRequest) (*connector.Scan, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = req.Tables
	scan := &connector.Scan{Guarantee: connector.Database}
	for i, ts := range req.Tables {
		rows := rowsHeld(ts)
		if rows < 0 {
			return nil, fault.New(fault.Source, "memory.table", "", "there is no table %s", ts.Table.Name)
		}
		st := connector.ScannedTable{Rows: int64(rows)}
		for from := 0; from < max(rows, 1); from += perPartition {
			p := part{i, from, min(rows, from+perPartition)}
			if s.flaw == lostBoundary && from > 0 {
				p.From++
			}
			if s.flaw == sharedBoundary && from > 0 {
				p.From--
			}
			raw, err := json.Marshal(p)
			if err != nil {
				return nil, err
			}
			st.Partitions = append(st.Partitions, raw)
		}
		scan.Tables = append(scan.Tables, st)
	}
	return scan, nil
}

func (s *source) Read(ctx context.Context, raw connector.Partition) (*connector.Reading, error) {
	var p part
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, err
	}
	s.mu.Lock()
	ts := s.asked[p.Table]
	if s.flaw == resumedRead && s.started[string(raw)] {
		p.From = min(p.From+100, p.To)
	}
	s.started[string(raw)] = true
	s.mu.Unlock()
	if s.flaw == leakedGoroutine {
		go func() { <-s.left }()
	}
	began := time.Now()
	tb := s.tableOf(ts)
	rows, err := pick(tb.stream(p.From, p.To, 100), ts, s.flaw)
	if err != nil {
		return nil, err
	}
	return &connector.Reading{
		Rows: func(yield func(arrow.RecordBatch, error) bool) {
			for rec, err := range rows {
				if ctx.Err() != nil && s.flaw != deafRead {
					yield(nil, ctx.Err())
					return
				}
				if !yield(rec, err) {
					return
				}
			}
		},
		Result: func() connector.ReadResult { return connector.ReadResult{From: began, To: time.Now()} },
	}, nil
}

func (s *source) tableOf(ts connector.TableScan) table {
	at := slices.IndexFunc(held, func(h holding) bool { return h.table.name == ts.Table.Name })
	return held[at].table
}

// pick takes the asked columns; the flawed decoder shows other values.
func pick(rows batch.Stream, ts connector.TableScan, f flaw) (batch.Stream, error) {
	schema := schemaOf(ts)
	for _, c := range ts.Columns {
		if !held[0].table.schema.HasField(c.Name) {
			return nil, fault.New(fault.Source, "memory.column", "", "there is no column %s", c.Name)
		}
	}
	return func(yield func(arrow.RecordBatch, error) bool) {
		for rec, err := range rows {
			if err != nil {
				yield(nil, err)
				return
			}
			var cols []arrow.Array
			for _, field := range schema.Fields() {
				col := rec.Column(rec.Schema().FieldIndices(field.Name)[0])
				if f == wrongDecoder && field.Name == "born" {
					col = array.MakeFromData(array.NewData(col.DataType(), col.Len(), rec.Column(0).Data().Buffers()[:2], nil, 0, 0))
				}
				cols = append(cols, col)
			}
			if !yield(array.NewRecordBatch(schema, cols, rec.NumRows()), nil) {
				return
			}
		}
	}, nil
}

func (s *source) Count(_ context.Context, ts connector.TableScan) (int64, error) {
	return int64(rowsHeld(ts)), nil
}

func (s *source) Sample(_ context.Context, ts connector.TableScan, n int) (arrow.RecordBatch, error) {
	rows := rowsHeld(ts)
	picked, err := pick(s.tableOf(ts).stream(max(0, rows-n), rows, batch.MaxRows), ts, "")
	if err != nil {
		return nil, err
	}
	for rec := range picked {
		rec.Retain()
		return rec, nil
	}
	return array.NewRecordBatch(schemaOf(ts), emptyColumns(schemaOf(ts)), 0), nil
}

func emptyColumns(schema *arrow.Schema) (cols []arrow.Array) {
	for _, f := range schema.Fields() {
		cols = append(cols, array.MakeArrayOfNull(memory.DefaultAllocator, f.Type, 0))
	}
	return cols
}

func (s *source) Close() error { return nil }

// memoryFixtures are what the double holds.
func memoryFixtures() (all []Fixture) {
	for _, h := range held {
		f := Fixture{Name: h.table.name, Comment: h.table.comment, Key: h.table.key, Rows: int64(h.rows), Comments: map[string]string{}}
		for _, field := range h.table.schema.Fields() {
			f.Columns = append(f.Columns, field.Name)
			f.Comments[field.Name] = batch.Meta(field, batch.CommentKey)
		}
		f.Partitions = h.rows / perPartition
		all = append(all, f)
	}
	return all
}

// memorySourceSuite tests the source's double.
func memorySourceSuite(f flaw) Suite {
	return Suite{
		Connector: connector.Connector{Name: "memory", Summary: "in memory", Source: memorySource},
		Config: func(*testing.T) Config {
			return Config{Spec: &memorySpec{store: newStore(f)}, Fixtures: memoryFixtures()}
		},
	}
}
