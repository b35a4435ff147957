package conform

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/digest"
)

// schemaOf is what Read of a TableScan must produce.
func schemaOf(ts connector.TableScan) *arrow.Schema {
	fields := make([]arrow.Field, len(ts.Columns))
	for i, c := range ts.Columns {
		fields[i] = c.Field()
	}
	return arrow.NewSchema(fields, nil)
}

// read reads a partition to its end and returns its digest. Each batch goes to see, unless it is nil.
func read(t *testing.T, src connector.Source, ts connector.TableScan, p connector.Partition, see func(rec arrow.RecordBatch)) digest.Digest {
	t.Helper()
	acc := digest.New(schemaOf(ts), digest.Full)
	reading, err := src.Read(contextFor(t), p)
	if err != nil {
		t.Errorf("read %s: %v", ts.Table.Ref(), err)
		return digest.Digest{}
	}
	for rec, err := range reading.Rows {
		if err == nil {
			err = acc.Add(rec)
		}
		if err == nil {
			err = sameNames(schemaOf(ts), rec.Schema())
		}
		if err != nil {
			t.Errorf("read %s: %v", ts.Table.Ref(), err)
			return acc.Digest()
		}
		if rec.NumRows() > batch.MaxRows {
			t.Errorf("read %s: a batch of %d rows", ts.Table.Ref(), rec.NumRows())
		}
		for i, c := range ts.Columns {
			if n := rec.Column(i).NullN(); n > 0 && !c.Nullable {
				t.Errorf("read %s: %d nulls in column %q, which is discovered as never null", ts.Table.Ref(), n, c.Name)
			}
		}
		if see != nil {
			see(rec)
		}
	}
	if res := reading.Result(); res.From.IsZero() || res.To.Before(res.From) {
		t.Errorf("read %s: read from %s to %s", ts.Table.Ref(), res.From, res.To)
	}
	return acc.Digest()
}

// testEachRowOnce reads all partitions and wants as many rows as there are, no key twice, what Count counts, and
// every sampled row, with every value, among them.
func testEachRowOnce(t *testing.T, o *origin) {
	src := o.opened(t)
	req := whole(o.discovered(t, src), 2)
	got := scan(t, src, req)
	for i, ts := range req.Tables {
		f := o.cfg.Fixtures[i]
		if n := len(got.Tables[i].Partitions); n < f.Partitions {
			t.Errorf("%s has %d partitions for an estimate of %d rows (discovered: %d), want %d at least", f.Name, n, got.Tables[i].Rows, ts.Table.Rows, f.Partitions)
		}
		index, done := sampled(t, src, ts)
		seen := map[string]bool{}
		var key []int
		for _, name := range f.Key {
			key = append(key, slices.Index(f.Columns, name))
		}
		var sum digest.Digest
		for _, p := range got.Tables[i].Partitions {
			sum.Merge(read(t, src, ts, p, func(rec arrow.RecordBatch) {
				if index != nil {
					if err := index.Add(rec); err != nil {
						t.Errorf("look for the sample of %s: %v", f.Name, err)
					}
				}
				countKeys(t, f.Name, rec, key, seen)
			}))
		}
		if sum.Rows != f.Rows {
			t.Errorf("%s: %d rows read, want %d", f.Name, sum.Rows, f.Rows)
		}
		done()
		counted(t, src, ts, f.Rows)
	}
}

// countKeys wants no key to come twice.
func countKeys(t *testing.T, name string, rec arrow.RecordBatch, key []int, seen map[string]bool) {
	t.Helper()
	if len(key) == 0 {
		return
	}
	var text []byte
	for row := range int(rec.NumRows()) {
		text = text[:0]
		for _, col := range key {
			text = append(batch.AppendText(text, rec.Column(col), row), separator)
		}
		if seen[string(text)] {
			t.Fatalf("%s: the row with key %q came twice", name, text)
		}
		seen[string(text)] = true
	}
}

// sampled takes a sample; done says what of it was not found among the rows the index was given.
func sampled(t *testing.T, src connector.Source, ts connector.TableScan) (index *digest.RowIndex, done func()) {
	t.Helper()
	sampler, ok := src.(connector.Sampler)
	if !ok {
		return nil, func() {}
	}
	const most = 40
	sample, err := sampler.Sample(contextFor(t), ts, most)
	if err != nil {
		t.Errorf("sample %s: %v", ts.Table.Ref(), err)
		return nil, func() {}
	}
	if sample.NumRows() > most {
		t.Errorf("sample %s: %d rows, want %d at most", ts.Table.Ref(), sample.NumRows(), most)
	}
	key := ts.Table.Key
	index, err = digest.NewRowIndex(sample, key)
	if err != nil {
		t.Errorf("sample %s: %v", ts.Table.Ref(), err)
		return nil, func() {}
	}
	return index, func() {
		for _, diff := range index.Differences() {
			t.Errorf("sample %s: %s", ts.Table.Ref(), diff)
		}
		index.Release()
		sample.Release()
	}
}

func counted(t *testing.T, src connector.Source, ts connector.TableScan, want int64) {
	t.Helper()
	counter, ok := src.(connector.Counter)
	if !ok {
		return
	}
	if n, err := counter.Count(contextFor(t), ts); err != nil || n != want {
		t.Errorf("count %s = %d, %v, want %d", ts.Table.Ref(), n, err, want)
	}
}

func testOneConnection(t *testing.T, o *origin) {
	src := o.opened(t)
	req := whole(o.discovered(t, src), 1)
	got := scan(t, src, req)
	for i, ts := range req.Tables {
		var rows int64
		for _, p := range got.Tables[i].Partitions {
			rows += read(t, src, ts, p, nil).Rows
		}
		if want := o.cfg.Fixtures[i].Rows; rows != want {
			t.Errorf("%s: %d rows read, want %d", ts.Table.Ref(), rows, want)
		}
		counted(t, src, ts, o.cfg.Fixtures[i].Rows)
	}
}

// testConcurrentReads reads as many partitions at once as there are connections.
func testConcurrentReads(t *testing.T, o *origin) {
	src := o.opened(t)
	const connections = 3
	req := whole(o.discovered(t, src), connections)
	got := scan(t, src, req)
	type task struct {
		table     int
		partition connector.Partition
	}
	tasks := make(chan task)
	sums := make([]digest.Digest, len(req.Tables))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			for task := range tasks {
				d := read(t, src, req.Tables[task.table], task.partition, nil)
				mu.Lock()
				sums[task.table].Merge(d)
				mu.Unlock()
			}
		})
	}
	for i, tb := range got.Tables {
		for _, p := range tb.Partitions {
			tasks <- task{i, p}
		}
	}
	close(tasks)
	wg.Wait()
	for i, f := range o.cfg.Fixtures {
		if sums[i].Rows != f.Rows {
			t.Errorf("%s: %d rows read, want %d", f.Name, sums[i].Rows, f.Rows)
		}
	}
}

// testReadAgain reads a partition, stops reading it in the middle, and reads it once more: each starts from its first
// row. With one connection, a read that is stopped must give its own back.
func testReadAgain(t *testing.T, o *origin) {
	src := o.opened(t)
	req := whole(o.discovered(t, src), 1)
	got := scan(t, src, req)
	for i, ts := range req.Tables {
		p := got.Tables[i].Partitions[0]
		first := read(t, src, ts, p, nil)
		reading, err := src.Read(contextFor(t), p)
		if err != nil {
			t.Fatalf("read %s: %v", ts.Table.Ref(), err)
		}
		for _, err := range reading.Rows {
			if err != nil {
				t.Errorf("read %s: %v", ts.Table.Ref(), err)
			}
			break
		}
		for _, diff := range digest.Compare(first, read(t, src, ts, p, nil)) {
			t.Errorf("%s read again: %s", ts.Table.Ref(), diff)
		}
	}
}

// testScanAgain scans a second time, as after a lost snapshot, and reads the last partition of each table in the new view.
func testScanAgain(t *testing.T, o *origin) {
	src := o.opened(t)
	req := whole(o.discovered(t, src), 2)
	scan(t, src, req)
	got := scan(t, src, req)
	for i, ts := range req.Tables {
		parts := got.Tables[i].Partitions
		rows := read(t, src, ts, parts[len(parts)-1], nil).Rows
		if want := o.cfg.Fixtures[i].Rows; rows > want || len(parts) == 1 && rows != want {
			t.Errorf("%s: %d rows in the last of %d partitions, want %d in all", ts.Table.Ref(), rows, len(parts), want)
		}
	}
}

// testSomeColumns asks for columns in reverse and for the last one alone.
func testSomeColumns(t *testing.T, o *origin) {
	src := o.opened(t)
	req := whole(o.discovered(t, src), 1)
	for i := range req.Tables {
		cols := slices.Clone(req.Tables[i].Columns)
		slices.Reverse(cols)
		req.Tables[i].Columns = cols
		if i%2 == 1 {
			req.Tables[i].Columns = cols[:1]
		}
	}
	got := scan(t, src, req)
	for i, ts := range req.Tables {
		var rows int64
		for _, p := range got.Tables[i].Partitions {
			rows += read(t, src, ts, p, nil).Rows
		}
		if want := o.cfg.Fixtures[i].Rows; rows != want {
			t.Errorf("%s: %d rows of some columns read, want %d", ts.Table.Ref(), rows, want)
		}
	}
}

// testNoRowsAsked has a condition that holds for no row.
func testNoRowsAsked(t *testing.T, o *origin) {
	src := o.opened(t)
	req := whole(o.discovered(t, src), 1)
	for i := range req.Tables {
		req.Tables[i].Where = "1 = 0 or 1 = 2" // an or: the condition needs brackets beside a range
	}
	got := scan(t, src, req)
	for i, ts := range req.Tables {
		for _, p := range got.Tables[i].Partitions {
			if rows := read(t, src, ts, p, nil).Rows; rows != 0 {
				t.Errorf("%s: %d rows read, want none", ts.Table.Ref(), rows)
			}
		}
		counted(t, src, ts, 0)
	}
}

// testCancelledRead cancels a read in the middle: it ends soon, with an error, and leaves nothing running.
func testCancelledRead(t *testing.T, o *origin) {
	before := runtime.NumGoroutine()
	src := o.open(t)
	req := whole(o.discovered(t, src), 2)
	req.BatchBytes = 4 << 10
	got := scan(t, src, req)
	largest := 0
	for i, f := range o.cfg.Fixtures {
		if f.Rows > o.cfg.Fixtures[largest].Rows {
			largest = i
		}
	}
	ctx, cancel := context.WithCancel(contextFor(t))
	defer cancel()
	reading, err := src.Read(ctx, got.Tables[largest].Partitions[0])
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	started, batches := time.Now(), 0
	var failed error
	for _, err := range reading.Rows {
		failed = err
		if batches++; batches == 2 {
			cancel()
		}
	}
	if failed == nil {
		t.Errorf("a read cancelled after 2 batches brings all %d and no error", batches)
	}
	if took := time.Since(started); took > patience {
		t.Errorf("a cancelled read took %s to end", took.Round(time.Second))
	}
	if err := src.Close(); err != nil {
		t.Errorf("close after a cancelled read: %v", err)
	}
	wantGoroutines(t, before)
}

// testClose closes a source in every state: only opened, discovered, scanned.
func testClose(t *testing.T, o *origin) {
	before := runtime.NumGoroutine()
	for depth := range 3 {
		src := o.open(t)
		if depth > 0 {
			tables := o.discovered(t, src)
			if depth > 1 {
				scan(t, src, whole(tables, 2))
			}
		}
		if err := src.Close(); err != nil {
			t.Errorf("close at depth %d: %v", depth, err)
		}
	}
	wantGoroutines(t, before)
}

// wantGoroutines waits until no more goroutines run than before.
func wantGoroutines(t *testing.T, before int) {
	t.Helper()
	deadline := time.Now().Add(patience / 4)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			stacks = stacks[:runtime.Stack(stacks, true)]
			t.Errorf("%d goroutines run after close, %d before open:\n%s", runtime.NumGoroutine(), before, stacks)
			return
		}
		time.Sleep(5 * time.Millisecond) // poll: nothing tells when another's goroutine has ended
	}
}
