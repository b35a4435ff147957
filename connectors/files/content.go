package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/codec"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/format"
)

// extension is a file's, with its dot.
func extension(form, compression string) string {
	switch form {
	case csv, ndjson:
		return "." + form + codec.Codec(compression).Ext()
	}
	return "." + form
}

// write writes rows as the file key. Errors of the stream are returned as they are.
func (d *dest) write(ctx context.Context, s *store, st *stage, key string, rows batch.Stream) (file, error) {
	rows = cancellable(ctx, rows)
	if st.Format == parquet {
		return d.writeParquet(ctx, s, st, key, rows)
	}
	w, err := s.create(ctx, key)
	if err != nil {
		return file{}, classify(d.spec.Dir, fmt.Errorf("write %s: %w", key, err))
	}
	var failed error // of the stream: not the destination's
	n, err := writeText(w, st, taken(rows, &failed))
	if failed != nil || err != nil {
		w.cancel()
		if failed != nil {
			return file{}, failed
		}
		return file{}, classify(d.spec.Dir, fmt.Errorf("write %s: %w", key, err))
	}
	if err := w.close(); err != nil {
		return file{}, classify(d.spec.Dir, fmt.Errorf("write %s: %w", key, err))
	}
	return file{Path: key, Rows: n, Bytes: w.bytes, XXH3: w.sum()}, nil
}

// writeText writes what is not Parquet.
func writeText(w io.Writer, st *stage, rows batch.Stream) (n int64, err error) {
	schema := st.Plan.Schema()
	if st.Format == arrowf {
		return format.WriteArrow(w, schema, rows, format.Compression(st.Compression))
	}
	z, err := codec.Codec(st.Compression).Writer(w)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, z.Close()) }()
	if st.Format == csv {
		return format.WriteCSV(z, schema, rows)
	}
	return format.WriteNDJSON(z, schema, rows)
}

// read reads a staged file in the plan's schema, or at least the columns picked from it.
func (d *dest) read(ctx context.Context, st *stage, f file, schema *arrow.Schema, pick []int) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		s, err := d.storage(ctx, false)
		if err == nil && s == nil {
			err = os.ErrNotExist
		}
		if err == nil {
			err = d.whole(ctx, s, st, f)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		if st.Format == parquet {
			path, done, err := s.fetch(ctx, f.Path)
			if err != nil {
				yield(nil, err)
				return
			}
			defer done()
			format.ReadParquet(ctx, path, schema, pick, d.pool, readBatchBytes)(yield)
			return
		}
		r, err := s.open(ctx, f.Path)
		if err != nil {
			yield(nil, err)
			return
		}
		defer r.Close()
		d.readText(r, st, schema, yield)
	}
}

// readBatchBytes is about how large a batch of text read back grows.
const readBatchBytes = 4 << 20

func (d *dest) readText(r io.Reader, st *stage, schema *arrow.Schema, yield func(arrow.RecordBatch, error) bool) {
	if st.Format == arrowf {
		format.ReadArrow(r, schema)(yield)
		return
	}
	z, err := codec.Codec(st.Compression).Reader(r)
	if err != nil {
		yield(nil, err)
		return
	}
	defer z.Close()
	if st.Format == csv {
		format.ReadCSV(z, schema, d.pool, readBatchBytes)(yield)
		return
	}
	format.ReadNDJSON(z, schema, d.pool, readBatchBytes)(yield)
}

// whole says whether a file is there as its receipt says.
func (d *dest) whole(ctx context.Context, s *store, st *stage, f file) error {
	n, found, err := s.size(ctx, f.Path)
	switch {
	case err != nil:
		return classify(d.spec.Dir, err)
	case !found || n != f.Bytes:
		return fault.New(fault.Destination, "files.stage_gone", "let nothing else write or clean up in "+strings.TrimSuffix(d.spec.where(), "/")+"/"+runsDir+", then run again",
			"table %s: %s is gone or was changed since it was written", st.Plan.Name, f.Path)
	}
	return nil
}

// cancellable ends rows with ctx's error when ctx ends.
func cancellable(ctx context.Context, rows batch.Stream) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for rec, err := range rows {
			if err == nil && ctx.Err() != nil {
				rec, err = nil, context.Cause(ctx)
			}
			if !yield(rec, err) || err != nil {
				return
			}
		}
		if ctx.Err() != nil { // a stream may end quietly when it is cancelled
			yield(nil, context.Cause(ctx))
		}
	}
}

// taken passes rows on and keeps the error they end with, so that it is not taken for the writer's.
func taken(rows batch.Stream, failed *error) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for rec, err := range rows {
			if err != nil {
				*failed = err
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}
