// Package format writes record batches as CSV, NDJSON and Arrow IPC files and reads them
// back, value by value, in a given schema. Compression is package codec's matter (Arrow
// compresses inside its own format), storage the caller's.
package format

import (
	"io"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/kitamae/kitamae/batch"
)

// chunkBytes is how much text is collected before it is handed on.
const chunkBytes = 256 << 10

// appender appends value i of one column of one batch. It is made once a batch, so that
// the type is looked at once a batch and not once a value.
type appender func(dst []byte, i int) []byte

// cell is one column of a batch while its rows are written.
type cell struct {
	arr    arrow.Array
	nulls  bool
	append appender
}

// writeRows writes what row appends for each row of the stream, after head. It returns how many rows there were.
func writeRows(w io.Writer, head []byte, rows batch.Stream, bind func(arrow.Array, int) appender,
	row func(dst []byte, cells []cell, i int) []byte,
) (int64, error) {
	var n int64
	buf := append(make([]byte, 0, chunkBytes+chunkBytes/4), head...)
	var cells []cell
	for rec, err := range rows {
		if err != nil {
			return n, err
		}
		cells = cells[:0]
		for k, arr := range rec.Columns() {
			cells = append(cells, cell{arr: arr, nulls: arr.NullN() > 0, append: bind(arr, k)})
		}
		for i := range int(rec.NumRows()) {
			buf = row(buf, cells, i)
			if len(buf) >= chunkBytes {
				if _, err := w.Write(buf); err != nil {
					return n, err
				}
				buf = buf[:0]
			}
		}
		n += rec.NumRows()
	}
	_, err := w.Write(buf)
	return n, err
}

// plain binds the canonical text form of a column, for types whose text needs no quotes
// anywhere. The commonest types skip batch.AppendText's look at the type.
func plain(arr arrow.Array) appender {
	switch a := arr.(type) {
	case *array.Int64:
		values := a.Int64Values()
		return func(dst []byte, i int) []byte { return strconv.AppendInt(dst, values[i], 10) }
	case *array.Int32:
		values := a.Int32Values()
		return func(dst []byte, i int) []byte { return strconv.AppendInt(dst, int64(values[i]), 10) }
	case *array.Date32:
		values := a.Date32Values()
		return func(dst []byte, i int) []byte { return batch.AppendDate(dst, int64(values[i])) }
	case *array.Decimal128:
		values, scale := a.Values(), a.DataType().(*arrow.Decimal128Type).Scale
		return func(dst []byte, i int) []byte { return batch.AppendDecimal128(dst, values[i], scale) }
	case *array.Timestamp:
		values, t := a.TimestampValues(), a.DataType().(*arrow.TimestampType)
		return func(dst []byte, i int) []byte {
			return batch.AppendTimestamp(dst, int64(values[i]), t.Unit, t.TimeZone != "")
		}
	}
	return func(dst []byte, i int) []byte { return batch.AppendText(dst, arr, i) }
}
