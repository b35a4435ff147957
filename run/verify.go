package run

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/digest"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
)

// verifyParallel is how many partitions are read back at once.
const verifyParallel = 2

// countBelow is the table size up to which the source counts all rows; beyond it the
// samples that straddle partition boundaries stand in (a count would read the whole index).
const countBelow = 10_000_000

// sampleRows is how many rows of a table are read a second way.
const sampleRows = 200

// check is what a table is compared with. A nil check compares nothing.
type check struct {
	level digest.Level
	count int64 // of the source, -1 when not counted
	mu    sync.Mutex
	index *digest.RowIndex // nil when the source can't sample
	// ready is closed once index is known: partitions wait with their comparison, not with their reading.
	ready   chan struct{}
	sampled int
}

func newCheck(t *moving) *check {
	switch t.plan.Verify {
	case job.VerifyNone:
		return nil
	case job.VerifyFull:
		return &check{level: digest.Full, count: -1, ready: make(chan struct{})}
	}
	return &check{level: digest.Aggregates, count: -1, ready: make(chan struct{})}
}

// prepareCheck asks the source for its own count and for rows read a second way.
func (s *Session) prepareCheck(ctx context.Context, t *moving) error {
	if t.check == nil {
		return nil
	}
	defer close(t.check.ready)
	return s.repeat(ctx, t, func() error { return s.askSource(ctx, t) })
}

// askSource fetches the source's count and its sample.
func (s *Session) askSource(ctx context.Context, t *moving) error {
	scan := t.plan.Scan
	if src, ok := s.src.(connector.Counter); ok && t.scanned.Rows < countBelow {
		n, err := src.Count(ctx, scan)
		if err != nil {
			return fmt.Errorf("count %s: %w", scan.Table.Ref(), err)
		}
		t.check.count = n
	}
	src, ok := s.src.(connector.Sampler)
	if !ok {
		return nil
	}
	sample, err := src.Sample(ctx, scan, sampleRows)
	if err != nil {
		return fmt.Errorf("sample %s: %w", scan.Table.Ref(), err)
	}
	defer sample.Release()
	for rec, err := range batch.Convert(batch.Of(sample), t.schema) {
		if err != nil {
			return fmt.Errorf("sample %s: %w", scan.Table.Ref(), err)
		}
		if t.check.index, err = digest.NewRowIndex(rec, t.plan.Target.Key); err != nil {
			return fmt.Errorf("sample %s: %w", scan.Table.Ref(), err)
		}
		t.check.sampled = int(rec.NumRows())
	}
	return nil
}

// verifyTask reads one task's rows back and compares them with what was handed over.
func (s *Session) verifyTask(ctx context.Context, t *moving, receipt connector.Receipt) error {
	if t.check == nil {
		return nil
	}
	select {
	case <-t.check.ready:
	case <-t.dead:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	acc := digest.New(t.schema, t.check.level)
	for rec, err := range s.dst.ReadStaged(ctx, t.stage, []connector.Receipt{receipt}, nil) {
		if err != nil {
			return fmt.Errorf("read back partition %d: %w", receipt.Task, asDestination(err))
		}
		if err := sameTypes(t.schema, rec.Schema()); err != nil {
			return err
		}
		if err := acc.Add(rec); err != nil {
			return err
		}
		if err := t.check.add(rec); err != nil {
			return err
		}
	}
	var want digest.Digest
	if err := json.Unmarshal(receipt.Digest, &want); err != nil {
		return fmt.Errorf("digest of partition %d: %w", receipt.Task, err)
	}
	if diffs := digest.Compare(want, acc.Digest()); len(diffs) > 0 {
		return mismatch("partition %d arrived other than it was read: %s", receipt.Task, list(diffs))
	}
	return nil
}

func (c *check) add(rec arrow.RecordBatch) error {
	if c.index == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.index.Add(rec)
}

// sameTypes guards the destination's promise to read back what it was given.
func sameTypes(want, got *arrow.Schema) error {
	if want.NumFields() != got.NumFields() {
		return mismatch("%d columns were written, %d are staged", want.NumFields(), got.NumFields())
	}
	for i, f := range want.Fields() {
		if g := got.Field(i); !arrow.TypeEqual(f.Type, g.Type) {
			return mismatch("column %s was written as %s and is staged as %s", f.Name, f.Type, g.Type)
		}
	}
	return nil
}

// finish compares what only the whole table can tell, and writes down the evidence.
func (t *moving) finish() error {
	e := &t.evident
	e.Rows, e.Bytes = 0, 0
	for _, r := range t.receipts {
		e.Rows += r.Rows
		e.Bytes += r.Read.Bytes
		e.ReadFrom, e.ReadTo = earlier(e.ReadFrom, r.Read.From), later(e.ReadTo, r.Read.To)
	}
	if t.check == nil {
		return nil
	}
	e.SourceRows, e.Sampled = t.check.count, t.check.sampled
	if t.check.count >= 0 && t.check.count != e.Rows {
		return mismatch("the source counts %d rows, %d arrived", t.check.count, e.Rows)
	}
	if t.check.count < 0 {
		e.Notes = append(e.Notes, "the source did not count this table; rows on both sides of each partition boundary were looked up instead")
	}
	if t.check.index == nil {
		return nil
	}
	defer t.check.index.Release()
	if diffs := t.check.index.Differences(); len(diffs) > 0 {
		return mismatch("rows read a second way differ: %s", list(diffs))
	}
	return nil
}

func mismatch(format string, args ...any) error {
	return fault.New(fault.Verification, "verify.mismatch",
		"the table visible at the destination is the one before; run again, and if it stays, report it with the run's ID", format, args...)
}

// maxDiffs bounds how many differences a message shows.
const maxDiffs = 5

func list(diffs []digest.Difference) string {
	var lines []string
	for i, d := range diffs {
		if i == maxDiffs {
			lines = append(lines, fmt.Sprintf("and %d more", len(diffs)-i))
			break
		}
		lines = append(lines, d.String())
	}
	return strings.Join(lines, "; ")
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
