package run

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
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
	after int64 // the source's count after the read, where the table is bracketed
	mu    sync.Mutex
	index *digest.RowIndex // nil when the source can't sample
	// ready is closed once index is known: partitions wait with their comparison, not with their reading.
	ready   chan struct{}
	sampled int
	kept    []byte // the first sample, for the progress of a bracketed table; nil for one too large
}

func newCheck(t *moving) *check {
	switch t.plan.Verify {
	case job.VerifyNone:
		return nil
	case job.VerifyFull:
		return &check{level: digest.Full, count: -1, after: -1, ready: make(chan struct{})}
	}
	return &check{level: digest.Aggregates, count: -1, after: -1, ready: make(chan struct{})}
}

// prepareCheck asks the source for its own count and for rows read a second way.
func (s *Session) prepareCheck(ctx context.Context, t *moving) error {
	if t.check == nil || slices.Contains(t.adopted, true) { // asked by the run that was interrupted
		return nil
	}
	defer close(t.check.ready)
	if err := s.repeat(ctx, t, func() error { return s.askSource(ctx, t) }); err != nil {
		return err
	}
	return s.diary.note(ctx, func(p *halfway) {
		if line := &p.Tables[t.index]; line.Partitions != nil {
			line.Count, line.Sample = t.noteCheck()
		}
	})
}

// noteCheck is what the progress keeps of the check.
func (t *moving) noteCheck() (count int64, sample []byte) {
	if t.check == nil {
		return -1, nil
	}
	return t.check.count, t.check.kept
}

// askSource fetches the source's count and its sample.
func (s *Session) askSource(ctx context.Context, t *moving) error {
	scan := t.plan.Scan
	if src, ok := s.src.(connector.Counter); ok && t.scanned.Rows < countBelow {
		n, err := src.Count(ctx, scan)
		if err != nil {
			return fmt.Errorf("count %s: %w", scan.Table.Ref(), s.hide(err))
		}
		t.check.count = n
	}
	return s.sample(ctx, t, func(rec arrow.RecordBatch) (err error) {
		t.check.index, err = digest.NewRowIndex(rec, t.plan.Target.Key)
		t.check.sampled = int(rec.NumRows())
		if t.bracketed && (s.diary != nil || s.shared) {
			t.check.kept = writeSample(rec)
		}
		return err
	})
}

// sample hands f rows that the source read a second way, as the destination holds them; nothing where it can't.
func (s *Session) sample(ctx context.Context, t *moving, f func(arrow.RecordBatch) error) error {
	src, ok := s.src.(connector.Sampler)
	if !ok {
		return nil
	}
	sample, err := src.Sample(ctx, t.plan.Scan, sampleRows)
	if err != nil {
		return fmt.Errorf("sample %s: %w", t.plan.Scan.Table.Ref(), s.hide(err))
	}
	defer sample.Release()
	for rec, err := range batch.Convert(t.arriving(batch.Of(sample)), t.schema) {
		if err == nil {
			err = f(rec)
		}
		if err != nil {
			return fmt.Errorf("sample %s: %w", t.plan.Scan.Table.Ref(), err)
		}
	}
	return nil
}

// askAfter asks the source again once a bracketed table is read: how many rows it has now, and which of the sampled
// ones are still as they were. Only those can't have changed while it was read.
func (s *Session) askAfter(ctx context.Context, t *moving) error {
	c := t.check
	if src, ok := s.src.(connector.Counter); ok && c.count >= 0 {
		n, err := src.Count(ctx, t.plan.Scan)
		if err != nil {
			return fmt.Errorf("count %s: %w", t.plan.Scan.Table.Ref(), s.hide(err))
		}
		c.after = n
	}
	if c.index == nil {
		return nil
	}
	return s.sample(ctx, t, func(rec arrow.RecordBatch) (err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sampled, err = c.index.Keep(rec)
		return err
	})
}

// checkReady waits until the source's first count and sample are known; false when there is nothing to wait for any more.
func (s *Session) checkReady(ctx context.Context, t *moving) bool {
	if t.check == nil {
		return true
	}
	select {
	case <-t.check.ready:
		return true
	case <-t.dead:
	case <-ctx.Done():
	}
	return false
}

// verifyTask reads one task's rows back and compares them with what was handed over.
func (s *Session) verifyTask(ctx context.Context, t *moving, receipt connector.Receipt) (err error) {
	if t.check == nil {
		return nil
	}
	ctx, ended := s.follow(ctx, t.part(PieceVerify, receipt.Task))
	defer func() { ended(Done{Rows: receipt.Rows, Err: err}) }()
	if !s.checkReady(ctx, t) {
		return ctx.Err()
	}
	return s.compare(ctx, t, t.check, receipt)
}

// compare is verifyTask with a check of the caller's. After a passing fault, such as a lost connection, reading back starts over.
func (s *Session) compare(ctx context.Context, t *moving, c *check, receipt connector.Receipt) error {
	if n := receipt.Read.Counted; n != nil && *n != receipt.Rows {
		return mismatch("the source counts %d rows in what was read of partition %d, %d arrived", *n, receipt.Task, receipt.Rows)
	}
	var want, got digest.Digest
	if err := json.Unmarshal(receipt.Digest, &want); err != nil {
		return fmt.Errorf("digest of partition %d: %w", receipt.Task, err)
	}
	var index *digest.RowIndex
	err := s.repeat(ctx, t, func() (err error) {
		got, index, err = s.readBack(ctx, t, c, receipt)
		return err
	})
	if err != nil {
		return err
	}
	if diffs := digest.Compare(want, got); len(diffs) > 0 {
		return mismatch("partition %d arrived other than it was read: %s", receipt.Task, list(diffs))
	}
	return c.found(index)
}

// readBack sums up one task's staged rows, and looks for the sample in them: by an index of its own, nil without a sample.
func (s *Session) readBack(ctx context.Context, t *moving, c *check, receipt connector.Receipt) (digest.Digest, *digest.RowIndex, error) {
	acc := digest.New(t.schema, c.level)
	var index *digest.RowIndex
	if c.index != nil {
		index = c.index.Fresh()
	}
	for rec, err := range s.dst.ReadStaged(ctx, t.stage, []connector.Receipt{receipt}, nil) {
		if err != nil {
			return digest.Digest{}, nil, fmt.Errorf("read back partition %d: %w", receipt.Task, asDestination(err))
		}
		if err = sameTypes(t.schema, rec.Schema()); err == nil {
			err = acc.Add(rec)
		}
		if err == nil && index != nil {
			err = index.Add(rec)
		}
		if err != nil {
			return digest.Digest{}, nil, err
		}
	}
	return acc.Digest(), index, nil
}

// found adds what was found of the sample in one task's rows.
func (c *check) found(index *digest.RowIndex) error {
	if index == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.index.AddFindings(index.Findings())
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
	if err := t.compareCount(); err != nil {
		return err
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

// compareCount holds the rows that arrived against the source's own count: the same where there is one view, around it where
// there is none.
func (t *moving) compareCount() error {
	e, c := &t.evident, t.check
	switch {
	case c.count < 0:
	case !t.bracketed:
		if c.count != e.Rows {
			return mismatch("the source counts %d rows, %d arrived", c.count, e.Rows)
		}
	default:
		e.Notes = append(e.Notes, fmt.Sprintf("the source counted %d rows before the read and %d after it", c.count, c.after))
		low, high := min(c.count, c.after), max(c.count, c.after)
		if slack := turnover(high); e.Rows < low-slack || e.Rows > high+slack {
			return mismatch("the source counts %d rows before the read and %d after it, %d arrived", c.count, c.after, e.Rows)
		}
	}
	return nil
}

// turnover is how many rows may have gone here and come there while a table of so many was read, unseen by a count
// before and after, even where both are the same: the counts alone can't tell them from lost ones. They need not. What a chunk
// holds is counted exactly, in the chunk's own view; that chunks and partitions lie side by side is checked by the source
// (sqlkit.Tiling); rows at the partitions' bounds are looked up.
func turnover(rows int64) int64 { return 100 + rows/100 }

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
