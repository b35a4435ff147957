package duck

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	bindings "github.com/duckdb/duckdb-go-bindings"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/fault"
)

// Rows is a query's answer while it is computed: DuckDB stays a few chunks ahead of
// the reader, so the memory it takes does not depend on how many rows there are.
type Rows struct {
	// Schema has the result's columns; types are as [ReadExpr] promises them.
	Schema *arrow.Schema

	ctx    context.Context
	conn   *conn
	stop   func() // of watching ctx
	res    bindings.Result
	opts   bindings.ArrowOptions
	native *arrow.Schema // as DuckDB delivers it
}

// Query starts one statement and returns its rows. When ctx ends, so do they. Close them.
func (db *DB) Query(ctx context.Context, sql string) (*Rows, error) {
	c, err := db.connect()
	if err != nil {
		return nil, err
	}
	r := &Rows{ctx: ctx, conn: c, stop: c.watch(ctx)}
	if err := r.start(sql); err != nil {
		r.Close()
		return nil, because(ctx, err)
	}
	return r, nil
}

func (r *Rows) start(sql string) error {
	if db := r.conn.db; db.sealed {
		if _, err := r.conn.exec(r.ctx, "USE "+Ident(db.Name)); err != nil {
			return err
		}
	}
	err := r.conn.each(sql, func(stmt bindings.PreparedStatement, of int) error {
		if of > 1 {
			return fault.New(fault.Config, "query.statements", "ask one statement at a time", "%d statements were given", of)
		}
		if t := bindings.PreparedStatementType(stmt); r.conn.db.sealed && t != bindings.StatementTypeSelect && t != bindings.StatementTypeExplain {
			return fault.New(fault.Config, "query.read_only", "use SELECT, FROM, WITH, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN", "only reading is allowed here")
		}
		// Streaming is called deprecated in DuckDB's C interface, and is its only way to bound a result.
		if bindings.ExecutePreparedStreaming(stmt, &r.res) == bindings.StateError { //nolint:staticcheck // see above
			return newError(bindings.ResultError(&r.res))
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.opts = bindings.ResultGetArrowOptions(&r.res)
	n := bindings.ColumnCount(&r.res)
	types, names := make([]bindings.LogicalType, n), make([]string, n)
	for i := range n {
		types[i], names[i] = bindings.ColumnLogicalType(&r.res, i), bindings.ColumnName(&r.res, i)
		defer bindings.DestroyLogicalType(&types[i])
	}
	schema, failed := bindings.NewArrowSchema(r.opts, types, names)
	if err := dataError(failed); err != nil {
		return fmt.Errorf("describe a result: %w", err)
	}
	r.native, r.Schema = schema, normal(schema)
	return nil
}

// dataError takes an error object of DuckDB apart.
func dataError(e bindings.ErrorData) error {
	defer bindings.DestroyErrorData(&e)
	if !bindings.ErrorDataHasError(e) {
		return nil
	}
	return newError(bindings.ErrorDataMessage(e))
}

// All is the rows, in batches of at most 2048. It can be ranged over once, before
// Close. Errors are [Error]s, or the context's.
func (r *Rows) All() batch.Stream { return r.as(r.Schema) }

func (r *Rows) as(schema *arrow.Schema) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for {
			rec, err := r.next(schema)
			if err != nil {
				yield(nil, err)
				return
			}
			if rec == nil {
				return
			}
			more := yield(rec, nil)
			rec.Release()
			if !more {
				return
			}
		}
	}
}

// next is the next batch, nil after the last.
func (r *Rows) next(schema *arrow.Schema) (arrow.RecordBatch, error) {
	if r.conn == nil {
		return nil, errors.New("the rows are closed")
	}
	if r.ctx.Err() != nil {
		return nil, context.Cause(r.ctx)
	}
	chunk := bindings.FetchChunk(r.res)
	if chunk.Ptr == nil {
		if msg := bindings.ResultError(&r.res); msg != "" {
			return nil, because(r.ctx, newError(msg))
		}
		return nil, nil
	}
	defer bindings.DestroyDataChunk(&chunk)
	rec, failed := bindings.DataChunkToArrowArray(r.opts, r.native, chunk)
	if err := dataError(failed); err != nil {
		return nil, err
	}
	defer rec.Release()
	return retype(schema, rec), nil
}

// Close ends the query, wherever it is. Closing twice is allowed.
func (r *Rows) Close() {
	if r.conn == nil {
		return
	}
	r.stop()
	bindings.DestroyResult(&r.res)
	bindings.DestroyArrowOptions(&r.opts)
	r.conn.close()
	r.conn = nil
}

// Texts reads a small answer whole: rows of VARCHAR columns, where null reads as "".
func (db *DB) Texts(ctx context.Context, sql string) ([][]string, error) {
	rows, err := db.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all [][]string
	for rec, err := range rows.All() {
		if err != nil {
			return nil, err
		}
		for i := range int(rec.NumRows()) {
			row := make([]string, rec.NumCols())
			for k, col := range rec.Columns() {
				text, ok := col.(*array.String)
				if !ok {
					return nil, fmt.Errorf("column %s of %q is %s, not VARCHAR", rec.ColumnName(k), sql, col.DataType())
				}
				row[k] = strings.Clone(text.Value(i)) // its bytes go with the batch
			}
			all = append(all, row)
		}
	}
	return all, nil
}

// Scan streams one statement's rows in schema's types and names; sql delivers them in that
// order, each made by [ReadExpr] of its field.
func (db *DB) Scan(ctx context.Context, schema *arrow.Schema, sql string) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		rows, err := db.Query(ctx, sql)
		if err != nil {
			yield(nil, err)
			return
		}
		defer rows.Close()
		if err := readable(schema, rows.Schema); err != nil {
			yield(nil, err)
			return
		}
		rows.as(schema)(yield)
	}
}

// readable says whether the result's columns can be shown as schema's.
func readable(schema, got *arrow.Schema) error {
	if schema.NumFields() != got.NumFields() {
		return fmt.Errorf("DuckDB answers %d columns where %d are expected", got.NumFields(), schema.NumFields())
	}
	for i, want := range schema.Fields() {
		if have := got.Field(i).Type; !sameLayout(want.Type, have) {
			return fmt.Errorf("column %s: DuckDB answers %s where %s is expected", want.Name, have, want.Type)
		}
	}
	return nil
}

// retype shows rec's columns under schema's names and types, which have the same layout.
func retype(schema *arrow.Schema, rec arrow.RecordBatch) arrow.RecordBatch {
	cols := make([]arrow.Array, rec.NumCols())
	defer func() {
		for _, c := range cols {
			c.Release()
		}
	}()
	for i, col := range rec.Columns() {
		d := retypeData(schema.Field(i).Type, col.Data())
		cols[i] = array.MakeFromData(d)
		d.Release()
	}
	return array.NewRecordBatch(schema, cols, rec.NumRows())
}

func retypeData(t arrow.DataType, d arrow.ArrayData) arrow.ArrayData {
	if t.ID() == d.DataType().ID() && !arrow.IsNested(t.ID()) && t.ID() != arrow.TIMESTAMP || t == d.DataType() {
		d.Retain() // dictionaries and the like pass as they are
		return d
	}
	children := d.Children()
	if list, ok := t.(*arrow.ListType); ok {
		child := retypeData(list.Elem(), children[0])
		defer child.Release()
		children = []arrow.ArrayData{child}
	}
	return array.NewData(t, d.Len(), d.Buffers(), children, d.NullN(), d.Offset())
}
