package duck

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/kitamae/kitamae/batch"
)

// inFlight is how many batches wait between the stream and DuckDB. One lets both work
// at the same time; more only takes memory.
const inFlight = 1

// feed is a stream as the record reader DuckDB pulls from. The stream runs in a
// goroutine of its own, as a coroutine can't be switched inside a call from C.
type feed struct {
	schema *arrow.Schema
	ctx    context.Context
	cancel context.CancelFunc
	ch     chan arrow.RecordBatch
	ended  sync.WaitGroup

	mu   sync.Mutex
	cur  arrow.RecordBatch
	err  error
	rows int64
}

var _ array.RecordReader = (*feed)(nil)

// newFeed starts to pull from rows. Call stop.
func newFeed(ctx context.Context, schema *arrow.Schema, rows batch.Stream) *feed {
	f := &feed{schema: schema, ch: make(chan arrow.RecordBatch, inFlight)}
	f.ctx, f.cancel = context.WithCancel(ctx)
	f.ended.Add(1)
	go f.run(rows)
	return f
}

func (f *feed) run(rows batch.Stream) {
	defer f.ended.Done()
	defer close(f.ch)
	for rec, err := range rows {
		if err == nil {
			err = f.fits(rec)
		}
		if err != nil {
			f.fail(err)
			return
		}
		if rec.NumRows() == 0 {
			continue
		}
		rec = pinned(f.schema, rec)
		select {
		case f.ch <- rec:
		case <-f.ctx.Done():
			rec.Release()
			return
		}
	}
}

// fits refuses a batch of other types than announced: C would read past its buffers.
func (f *feed) fits(rec arrow.RecordBatch) error {
	if int(rec.NumCols()) != f.schema.NumFields() {
		return fmt.Errorf("a batch of %d columns came where %d were announced", rec.NumCols(), f.schema.NumFields())
	}
	for i, col := range rec.Columns() {
		want := f.schema.Field(i)
		if col.DataType() != want.Type && !arrow.TypeEqual(col.DataType(), want.Type) {
			return fmt.Errorf("column %s came as %s where %s was announced", want.Name, col.DataType(), want.Type)
		}
	}
	return nil
}

func (f *feed) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

// stop ends the stream, waits for it and releases what nobody took.
func (f *feed) stop() {
	f.cancel()
	for rec := range f.ch {
		rec.Release()
	}
	f.ended.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cur != nil {
		f.cur.Release()
		f.cur = nil
	}
}

// Next is called by DuckDB's threads, one at a time.
func (f *feed) Next() bool {
	f.mu.Lock()
	if f.cur != nil {
		f.cur.Release()
		f.cur = nil
	}
	f.mu.Unlock()
	select {
	case rec, ok := <-f.ch:
		if !ok {
			if f.ctx.Err() != nil {
				f.fail(context.Cause(f.ctx)) // a stream may end quietly when it is cancelled
			}
			return false
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.cur = rec
		f.rows += rec.NumRows()
		return true
	case <-f.ctx.Done():
		f.fail(context.Cause(f.ctx))
		return false
	}
}

func (f *feed) Schema() *arrow.Schema          { return f.schema }
func (f *feed) RecordBatch() arrow.RecordBatch { return f.cur }
func (f *feed) Record() arrow.RecordBatch      { return f.cur }
func (f *feed) Err() error                     { f.mu.Lock(); defer f.mu.Unlock(); return f.err }
func (f *feed) count() int64                   { f.mu.Lock(); defer f.mu.Unlock(); return f.rows }
func (f *feed) Retain()                        {}
func (f *feed) Release()                       {}

// pinned is rec with its buffers pinned, as C keeps their addresses: the rules of cgo ask for it.
// The caller releases it, and rec may be released at once.
func pinned(schema *arrow.Schema, rec arrow.RecordBatch) arrow.RecordBatch {
	cols := make([]arrow.Array, rec.NumCols())
	for i, col := range rec.Columns() {
		data := pinData(col.Data())
		cols[i] = array.MakeFromData(data)
		data.Release()
	}
	defer func() {
		for _, c := range cols {
			c.Release()
		}
	}()
	return array.NewRecordBatch(schema, cols, rec.NumRows())
}

func pinData(d arrow.ArrayData) arrow.ArrayData {
	bufs := make([]*memory.Buffer, len(d.Buffers()))
	for i, b := range d.Buffers() {
		if b != nil && b.Len() > 0 {
			bufs[i] = pinBuffer(b)
			defer bufs[i].Release()
		} else {
			bufs[i] = b
		}
	}
	children := make([]arrow.ArrayData, len(d.Children()))
	for i, c := range d.Children() {
		children[i] = pinData(c)
		defer children[i].Release()
	}
	return array.NewData(d.DataType(), d.Len(), bufs, children, d.NullN(), d.Offset())
}

// pin is the allocator of one pinned buffer: when Arrow frees it, the buffer it came from is let go.
type pin struct {
	runtime.Pinner
	from *memory.Buffer
}

func pinBuffer(b *memory.Buffer) *memory.Buffer {
	p := &pin{from: b}
	b.Retain()
	p.Pin(&b.Bytes()[0])
	return memory.NewBufferWithAllocator(b.Bytes(), p)
}

// Free is called once, when the last reference is gone.
func (p *pin) Free([]byte) {
	p.Unpin()
	p.from.Release()
}

// Allocate is never called: nobody grows a batch's buffer.
func (p *pin) Allocate(size int) []byte { return make([]byte, size) }

// Reallocate is never called either.
func (p *pin) Reallocate(size int, b []byte) []byte {
	return append(make([]byte, 0, size), b...)[:size]
}
