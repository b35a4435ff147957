package run

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/digest"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
)

// maxTries is how often a partition is read, or the source is asked, before the table fails.
const maxTries = 4

// firstWait is how long the first repetition waits; each further one waits twice as long.
const firstWait = time.Second

// repeat calls f, which reads from the source for t, again after a passing fault.
func (s *Session) repeat(ctx context.Context, t *moving, f func() error) error {
	wait := firstWait
	for try := 1; ; try++ {
		err := f()
		if err == nil || try == maxTries || !fault.Retryable(err) || ctx.Err() != nil {
			return err
		}
		s.observe(Event{Kind: Retrying, Table: t.index, Err: err})
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait *= 2
	}
}

// task reads one partition into the table's stage.
func (s *Session) task(ctx context.Context, t *moving, task int, part connector.Partition) (connector.Receipt, error) {
	var receipt connector.Receipt
	err := s.repeat(ctx, t, func() error {
		var moved amount
		var err error
		if receipt, moved, err = s.taskOnce(ctx, t, task, part); err != nil {
			s.observe(Event{Kind: Moved, Table: t.index, Rows: -moved.rows, Bytes: -moved.bytes})
		}
		return err
	})
	if err != nil {
		return receipt, fmt.Errorf("table %s: %w", t.plan.Scan.Table.Ref(), err)
	}
	return receipt, nil
}

type amount struct{ rows, bytes int64 }

// taskOnce is the data path: Read, convert, sum up, Write; all pulled by Write.
func (s *Session) taskOnce(ctx context.Context, t *moving, task int, part connector.Partition) (connector.Receipt, amount, error) {
	var moved amount
	reading, err := s.src.Read(ctx, part)
	if err != nil {
		return connector.Receipt{}, moved, fmt.Errorf("read: %w", err)
	}
	var readErr error
	acc := t.accumulator()
	rows := func(yield func(arrow.RecordBatch, error) bool) {
		for rec, err := range batch.Convert(reading.Rows, t.schema) {
			if err != nil {
				readErr = err
				yield(nil, err)
				return
			}
			if acc != nil {
				if readErr = acc.Add(rec); readErr != nil {
					yield(nil, readErr)
					return
				}
			}
			n, size := rec.NumRows(), batch.Size(rec)
			if !yield(rec, nil) {
				return
			}
			moved.rows += n
			moved.bytes += size
			s.observe(Event{Kind: Moved, Table: t.index, Rows: n, Bytes: size})
		}
	}
	receipt, err := s.dst.Write(ctx, t.stage, task, rows)
	switch {
	case readErr != nil: // the destination may have wrapped it in words of its own
		return receipt, moved, fmt.Errorf("read: %w", readErr)
	case err != nil:
		return receipt, moved, fmt.Errorf("write: %w", asDestination(err))
	case receipt.Rows != moved.rows:
		return receipt, moved, fault.New(fault.Verification, "verify.receipt", "run again; if it stays, report it",
			"partition %d: %d rows were handed over, the destination acknowledged %d", task, moved.rows, receipt.Rows)
	}
	receipt.Read = reading.Result()
	if acc != nil {
		if receipt.Digest, err = json.Marshal(acc.Digest()); err != nil {
			return receipt, moved, err
		}
	}
	return receipt, moved, nil
}

// asDestination makes an unclassified fault of a destination's method the destination's.
func asDestination(err error) error {
	if f := fault.From(err); f.Kind == fault.Internal {
		return fault.Wrap(fault.Destination, "destination.failed", "look at the destination; what is visible there is as before", err)
	}
	return err
}

// accumulator is nil where nothing is verified.
func (t *moving) accumulator() *digest.Accumulator {
	switch t.plan.Verify {
	case job.VerifyNone:
		return nil
	case job.VerifyFull:
		return digest.New(t.schema, digest.Full)
	}
	return digest.New(t.schema, digest.Aggregates)
}
