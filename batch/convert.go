package batch

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/kitamae/kitamae/fault"
)

// Convert makes the batches of in fit schema to, column by position: the same type passes as it is,
// under its new name; a stand-in type is computed (see [NewConverter]). An error ends the stream.
func Convert(in Stream, to *arrow.Schema) Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		var pool Pool
		var conv *Converter
		var from *arrow.Schema
		for rec, err := range in {
			if err == nil && (conv == nil || rec.Schema() != from) {
				from = rec.Schema()
				conv, err = NewConverter(from, to, &pool)
			}
			var out arrow.RecordBatch
			if err == nil {
				out, err = conv.Convert(rec)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			more := yield(out, nil)
			out.Release()
			if !more {
				return
			}
		}
	}
}

// Converter changes batches of one schema into batches of another. It serves one goroutine.
type Converter struct {
	to    *arrow.Schema
	pool  *Pool
	casts []cast // nil: the column passes as it is
}

// cast makes a new array out of arr.
type cast func(arr arrow.Array, pool *Pool) (arrow.Array, error)

// NewConverter knows the conversions that lose nothing: anything to utf8 (in [AppendText]'s
// form), integers to wider integers and to decimals with room for them, decimals to wider ones, float32 to float64, and
// lists whose elements it can convert. It refuses any other pair with a fault that names the column.
func NewConverter(from, to *arrow.Schema, pool *Pool) (*Converter, error) {
	if from.NumFields() != to.NumFields() {
		return nil, fault.New(fault.Internal, "batch.convert", "",
			"a batch of %d columns for a table of %d", from.NumFields(), to.NumFields())
	}
	c := &Converter{to: to, pool: pool, casts: make([]cast, to.NumFields())}
	for i, want := range to.Fields() {
		have := from.Field(i)
		f, ok := castFor(have.Type, want.Type)
		if !ok {
			return nil, fault.New(fault.Internal, "batch.convert", "",
				"column %s: no conversion from %s to %s", want.Name, have.Type, want.Type)
		}
		c.casts[i] = f
	}
	return c, nil
}

// Convert returns rec in the new schema; the caller releases it. A null in a column that the new schema calls NOT NULL is a fault here,
// with its name: later it would be a refused insert, or a zero where the destination has no nulls.
func (c *Converter) Convert(rec arrow.RecordBatch) (arrow.RecordBatch, error) {
	cols := make([]arrow.Array, 0, len(c.casts))
	defer func() {
		for _, col := range cols {
			col.Release()
		}
	}()
	for i, f := range c.casts {
		col := rec.Column(i)
		name := c.to.Field(i).Name
		if !c.to.Field(i).Nullable && col.NullN() > 0 {
			return nil, fault.New(fault.Source, "batch.null",
				"read the column as text or leave it out",
				"column %s is declared NOT NULL but %d of %d values arrived as null", name, col.NullN(), col.Len())
		}
		if f == nil {
			col.Retain()
			cols = append(cols, col)
			continue
		}
		out, err := f(col, c.pool)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", name, err)
		}
		cols = append(cols, out)
	}
	return array.NewRecordBatch(c.to, cols, rec.NumRows()), nil
}

// castFor finds the conversion; nil with true where none is needed.
func castFor(from, to arrow.DataType) (cast, bool) {
	if arrow.TypeEqual(from, to) {
		return nil, true
	}
	switch to := to.(type) {
	case *arrow.StringType:
		return toText, true
	case *arrow.Float64Type:
		if from.ID() == arrow.FLOAT32 {
			return toFloat64, true
		}
	case *arrow.Decimal128Type, *arrow.Decimal256Type:
		return castToDecimal(from, to.(arrow.DecimalType))
	case *arrow.ListType:
		if list, ok := from.(*arrow.ListType); ok {
			elem, ok := castFor(list.Elem(), to.Elem())
			return castList(to, elem), ok
		}
	}
	return castToInteger(from, to)
}

// build runs append for each value of arr that is not null, into a new column of type to.
func build(arr arrow.Array, to arrow.DataType, pool *Pool, appendValue func(c *Column, i int)) (arrow.Array, error) {
	c, err := newColumn(to, pool, arr.Len())
	if err != nil {
		return nil, err
	}
	defer c.release()
	for i := range arr.Len() {
		if arr.IsNull(i) {
			c.Null()
			continue
		}
		appendValue(c, i)
	}
	d, err := c.take()
	if err != nil {
		return nil, err
	}
	defer d.Release()
	return array.MakeFromData(d), nil
}

func toText(arr arrow.Array, pool *Pool) (arrow.Array, error) {
	return build(arr, arrow.BinaryTypes.String, pool, func(c *Column, i int) {
		c.SetBuf(AppendText(c.Buf(), arr, i))
	})
}

// castList keeps the lists and converts their elements. A nil elem means that only the element's name or nullability changes.
func castList(to *arrow.ListType, elem cast) cast {
	return func(arr arrow.Array, pool *Pool) (arrow.Array, error) {
		old := arr.Data()
		child := array.MakeFromData(old.Children()[0])
		defer child.Release()
		if elem != nil {
			converted, err := elem(child, pool)
			if err != nil {
				return nil, err
			}
			defer converted.Release()
			child = converted
		}
		d := array.NewData(to, old.Len(), old.Buffers(), []arrow.ArrayData{child.Data()}, old.NullN(), old.Offset())
		defer d.Release()
		return array.MakeFromData(d), nil
	}
}
