package duck

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/cdata"
	bindings "github.com/duckdb/duckdb-go-bindings"

	"github.com/kitamae/kitamae/batch"
)

// Load shows rows, whose types are schema's, to DuckDB as a view and runs the statement that
// sql makes of the view's name (quoted, ready to use), such as "INSERT INTO t SELECT *
// FROM view" or "COPY (SELECT …) TO …". It returns how many rows were read from the stream.
//
// The statements of first, if any, run before it in the same transaction. After an
// error nothing of it remains in the database. An error of the stream is returned
// as it is. The stream is pulled in another goroutine, which has ended when Load returns.
// The view can be read once, so sql names it once.
func (db *DB) Load(ctx context.Context, schema *arrow.Schema, rows batch.Stream, sql func(view string) string, first ...string) (int64, error) {
	c, err := db.connect()
	if err != nil {
		return 0, err
	}
	defer c.close()
	f := newFeed(ctx, plain(schema), rows)
	defer f.stop()
	name := fmt.Sprintf("arrow_%d", db.views.Add(1))
	free, err := c.showView(f, name)
	if err != nil {
		return 0, err
	}
	defer free()
	err = c.load(ctx, first, sql(Idents(scratch, "main", name)))
	f.cancel()
	if err != nil {
		if cause := f.Err(); cause != nil && (ctx.Err() == nil || !errors.Is(cause, context.Canceled)) {
			return 0, cause
		}
		return 0, err
	}
	return f.count(), nil
}

// load runs the statements in one transaction; closing the connection rolls it back.
func (c *conn) load(ctx context.Context, first []string, last string) error {
	if len(first) > 0 {
		if _, err := c.exec(ctx, "BEGIN"); err != nil {
			return err
		}
		for _, sql := range first {
			if _, err := c.exec(ctx, sql); err != nil {
				return err
			}
		}
	}
	if _, err := c.exec(ctx, last); err != nil {
		return err
	}
	if len(first) > 0 {
		_, err := c.exec(ctx, "COMMIT")
		return err
	}
	return nil
}

// showView makes the reader a view in the scratch catalog. free drops it.
func (c *conn) showView(r array.RecordReader, name string) (free func(), err error) {
	// The stream lives in Go memory, pinned while C knows where it is. It holds C pointers only.
	stream := new(cdata.CArrowArrayStream)
	var pin runtime.Pinner
	pin.Pin(stream)
	cdata.ExportRecordReader(r, stream)
	free = func() {
		_, _ = c.exec(context.Background(), "ROLLBACK") // says so where there is no transaction
		_, _ = c.exec(context.Background(), "DROP VIEW IF EXISTS "+Idents(scratch, "main", name))
		cdata.ReleaseCArrowArrayStream(stream)
		pin.Unpin()
	}
	if bindings.ArrowScan(c.c, name, bindings.ArrowStream{Ptr: unsafe.Pointer(stream)}) == bindings.StateError {
		free()
		return nil, fmt.Errorf("show a stream to DuckDB: it can't hold %s", r.Schema())
	}
	return free, nil
}

// extensionKey makes DuckDB take a column for more than its physical type.
const extensionKey = "ARROW:extension:name"

// plain is schema without metadata, except for extension names.
func plain(schema *arrow.Schema) *arrow.Schema {
	fields := make([]arrow.Field, schema.NumFields())
	for i, f := range schema.Fields() {
		fields[i] = arrow.Field{Name: f.Name, Type: f.Type, Nullable: true}
		if ext, ok := f.Metadata.GetValue(extensionKey); ok {
			fields[i].Metadata = arrow.NewMetadata([]string{extensionKey}, []string{ext})
		}
	}
	return arrow.NewSchema(fields, nil)
}
