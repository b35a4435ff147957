package duckdb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/duck"
	"github.com/kitamae/kitamae/fault"
)

// Query asks the published file. It is opened read-only and closed with the result, so a
// run that publishes meanwhile neither waits nor disturbs.
func (d *dest) Query(ctx context.Context, q connector.Query) (*connector.Result, error) {
	if !exists(d.path) {
		return nil, fault.New(fault.Destination, "duckdb.no_file", "run `kitamae run` first", "%s is not there yet", d.path)
	}
	// DuckDB makes the folder when an answer outgrows the memory; beside the file, as there may be no /tmp
	tmp := fmt.Sprintf("%s.query-%d-%d", d.path, os.Getpid(), rand.Uint32())
	db, err := d.await(ctx, duck.Options{Path: d.path, ReadOnly: true, Sealed: true, MemoryBytes: d.memory, TempDir: tmp})
	if err != nil {
		return nil, d.classify(err)
	}
	rows, err := db.Query(ctx, q.SQL)
	if err != nil {
		err = d.wrong(ctx, err)
		_ = db.Close()
		_ = os.RemoveAll(tmp)
		return nil, err
	}
	more := false
	return &connector.Result{
		Schema: rows.Schema,
		Rows:   d.limit(ctx, rows.All(), q.Rows, &more),
		More:   func() bool { return more },
		Close: func() error {
			rows.Close()
			return errors.Join(db.Close(), os.RemoveAll(tmp))
		},
	}, nil
}

// wrong makes a fault of what DuckDB says about somebody's SQL.
func (d *dest) wrong(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("query: %w", context.Cause(ctx))
	}
	if strings.Contains(err.Error(), "disabled by configuration") {
		return fault.Wrap(fault.Config, "query.sealed", "ask the published tables only", err)
	}
	err = d.classify(err)
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	return fault.Wrap(fault.Config, "query.sql", "correct the statement", err)
}

// limit ends the stream after n rows, 0 for none, and says whether there were more.
func (d *dest) limit(ctx context.Context, rows batch.Stream, n int, more *bool) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		left := int64(n)
		for rec, err := range rows {
			if err != nil {
				yield(nil, d.wrong(ctx, err))
				return
			}
			if n > 0 && rec.NumRows() > left {
				*more = true
				if left > 0 {
					head := rec.NewSlice(0, left)
					yield(head, nil)
					head.Release()
				}
				return
			}
			left -= rec.NumRows()
			if !yield(rec, nil) {
				return
			}
		}
	}
}
