package batch

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// MaxRows is how many rows a full batch has. At 32k rows the cost of a batch vanishes
// and its columns still fit the processor's cache.
const MaxRows = 32 << 10

// Builder makes record batches out of values appended column by column, row by row.
// It serves one goroutine.
type Builder struct {
	// Columns are written by the decoder, one value each per row.
	Columns []*Column

	schema   *arrow.Schema
	maxBytes int
}

// NewBuilder makes a builder for schema whose batches are full at [MaxRows] rows or at
// about maxBytes. It refuses a schema with a type it has no column for.
func NewBuilder(schema *arrow.Schema, pool *Pool, maxBytes int) (*Builder, error) {
	b := &Builder{schema: schema, maxBytes: maxBytes}
	row := 1
	for _, f := range schema.Fields() {
		row += guess(f.Type) + 4
	}
	rows := min(maxBytes/row, MaxRows)
	for _, f := range schema.Fields() {
		c, err := newColumn(f.Type, pool, rows)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", f.Name, err)
		}
		b.Columns = append(b.Columns, c)
	}
	return b, nil
}

// Rows is how many whole rows wait.
func (b *Builder) Rows() int {
	if len(b.Columns) == 0 {
		return 0
	}
	return b.Columns[len(b.Columns)-1].n
}

// bytesEvery is how often Full measures bytes: measuring on each row would cost more than reading it.
const bytesEvery = 64

// Full says whether it is time for [Builder.Batch]. Call it after each row; a row
// larger than the byte limit by itself makes a batch of its own within the next rows, so
// decoders call [Builder.Large] for rows they know to be large.
func (b *Builder) Full() bool {
	n := b.Rows()
	return n >= MaxRows || (n%bytesEvery == 0 && n > 0 && b.Large())
}

// Large says whether the rows that wait have reached the byte limit.
func (b *Builder) Large() bool {
	size := 0
	for _, c := range b.Columns {
		size += c.Bytes()
	}
	return size >= b.maxBytes
}

// Batch takes the rows that wait. The caller releases the batch.
func (b *Builder) Batch() (arrow.RecordBatch, error) {
	rows := b.Rows()
	arrs := make([]arrow.Array, 0, len(b.Columns))
	defer func() {
		for _, a := range arrs {
			a.Release()
		}
	}()
	for i, c := range b.Columns {
		if c.n != rows {
			return nil, fmt.Errorf("column %s has %d values, the row count is %d", b.schema.Field(i).Name, c.n, rows)
		}
		d, err := c.take()
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", b.schema.Field(i).Name, err)
		}
		arrs = append(arrs, array.MakeFromData(d))
		d.Release()
	}
	return array.NewRecordBatch(b.schema, arrs, int64(rows)), nil
}

// Release gives the buffers back to the pool; the builder is not used after it.
func (b *Builder) Release() {
	for _, c := range b.Columns {
		c.release()
	}
}
