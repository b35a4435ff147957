package format

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	pq "github.com/apache/arrow-go/v18/parquet"
	pqfile "github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/kitamae/kitamae/batch"
)

// parquetFile is a Parquet file being read.
type parquetFile struct {
	f          *pqfile.Reader
	schema     *arrow.Schema
	pick       []int
	pool       *batch.Pool
	batchBytes int
}

// ReadParquet reads the Parquet file at path in schema, which must be the one it was written in. It decodes with arrow-go and
// not with the DuckDB that wrote: two implementations that agree prove more than one that agrees
// with itself, and a page at a time it takes little memory. It yields the picked columns, nil for all; of a file with lists it
// yields all.
func ReadParquet(ctx context.Context, path string, schema *arrow.Schema, pick []int, pool *batch.Pool, batchBytes int) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		props := pq.NewReaderProperties(memory.DefaultAllocator)
		props.BufferedStreamEnabled = true
		f, err := pqfile.OpenParquetFile(path, false, pqfile.WithReadProps(props))
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		if err := (parquetFile{f, schema, pick, pool, batchBytes}).decode(ctx, yield); err != nil {
			yield(nil, err)
		}
	}
}

func (p parquetFile) decode(ctx context.Context, yield func(arrow.RecordBatch, error) bool) error {
	f, schema, pick := p.f, p.schema, p.pick
	if f.NumRows() == 0 {
		return nil
	}
	g := f.RowGroup(0)
	opts := pqarrow.ArrowReadProperties{BatchSize: rowsAtOnce(p.batchBytes, g.ByteSize(), g.NumRows())}
	r, err := pqarrow.NewFileReader(f, opts, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	found, err := r.Schema()
	if err != nil {
		return err
	}
	if err := sameTypes(schema, found); err != nil {
		return err
	}
	if pick == nil {
		for i := range schema.NumFields() {
			pick = append(pick, i)
		}
	}
	fields := make([]arrow.Field, len(pick))
	nested := false
	for k, i := range pick {
		fields[k] = schema.Field(i)
	}
	for _, f := range schema.Fields() {
		nested = nested || arrow.IsNested(f.Type.ID())
	}
	if nested { // columns and leaves have different numbers, and values more than one level
		return decodeNested(ctx, r, schema, yield)
	}
	flat, err := newFlatReader(f, arrow.NewSchema(fields, nil), pick, p.pool, p.batchBytes)
	if err != nil {
		return err
	}
	flat.run(yield)
	return nil
}

// decodeNested reads all columns through arrow-go's own Arrow layer.
func decodeNested(ctx context.Context, r *pqarrow.FileReader, schema *arrow.Schema, yield func(arrow.RecordBatch, error) bool) error {
	rr, err := r.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return err
	}
	defer rr.Release()
	for rr.Next() {
		rec := retyped(schema, rr.RecordBatch())
		more := yield(rec, nil)
		rec.Release()
		if !more {
			return nil
		}
	}
	if err := rr.Err(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// sameTypes checks that a file holds what was planned, by position: and by name.
func sameTypes(want, got *arrow.Schema) error {
	if want.NumFields() != got.NumFields() {
		return fmt.Errorf("the file has %d columns, %d were written", got.NumFields(), want.NumFields())
	}
	for i, f := range want.Fields() {
		if g := got.Field(i); g.Name != f.Name || !sameLayout(f.Type, g.Type) {
			return fmt.Errorf("the file has column %s %s where %s %s was written", g.Name, g.Type, f.Name, f.Type)
		}
	}
	return nil
}

// sameLayout says whether two types differ at most in the names of list elements.
func sameLayout(a, b arrow.DataType) bool {
	l, ok1 := a.(*arrow.ListType)
	m, ok2 := b.(*arrow.ListType)
	if ok1 && ok2 {
		return sameLayout(l.Elem(), m.Elem())
	}
	return arrow.TypeEqual(a, b)
}

// retyped shows a batch, whose types have been checked, under the planned schema.
func retyped(schema *arrow.Schema, rec arrow.RecordBatch) arrow.RecordBatch {
	cols := make([]arrow.Array, rec.NumCols())
	for i, f := range schema.Fields() {
		data := retype(f.Type, rec.Column(i).Data())
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

func retype(t arrow.DataType, d arrow.ArrayData) arrow.ArrayData {
	children := d.Children()
	if list, ok := t.(*arrow.ListType); ok {
		child := retype(list.Elem(), children[0])
		defer child.Release()
		children = []arrow.ArrayData{child}
	}
	return array.NewData(t, d.Len(), d.Buffers(), children, d.NullN(), d.Offset())
}
