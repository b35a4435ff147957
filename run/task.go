package run

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/digest"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
)

// task reads one partition into the table's stage.
func (s *Session) task(ctx context.Context, t *moving, task int, part connector.Partition) (connector.Receipt, error) {
	var receipt connector.Receipt
	err := s.repeat(ctx, t, func() error {
		var moved amount
		var err error
		ctx, ended := s.follow(ctx, t.part(PiecePartition, task))
		defer func() { ended(Done{Rows: moved.rows, Bytes: moved.bytes, Err: err}) }()
		if receipt, moved, err = s.taskOnce(ctx, t, task, part); err != nil {
			s.moved(t, amount{-moved.rows, -moved.bytes})
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
		return connector.Receipt{}, moved, fmt.Errorf("read: %w", s.hide(err))
	}
	var readErr error
	acc := t.accumulator()
	rows := func(yield func(arrow.RecordBatch, error) bool) {
		for rec, err := range batch.Convert(t.arriving(reading.Rows), t.schema) {
			if err != nil {
				readErr = s.hide(err)
				yield(nil, readErr)
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
			s.moved(t, amount{n, size})
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
	receipt.Read = s.req.clock.read(reading.Result())
	if acc != nil {
		if receipt.Digest, err = json.Marshal(acc.Digest()); err != nil {
			return receipt, moved, err
		}
	}
	return receipt, moved, nil
}

// asDestination makes an unclassified fault of a destination's method the destination's.
func asDestination(err error) error {
	if err == nil {
		return nil
	}
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
