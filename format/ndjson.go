package format

import (
	"encoding/base64"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/kitamae/kitamae/batch"
)

// WriteNDJSON writes one JSON object a row, with every column in order. Integers and
// floats are numbers with all their digits (only JavaScript and old versions of jq round those beyond 2^53);
// decimals are strings, as nearly every reader would make floats of numbers; NaN and the infinities are
// strings; binary is base64; dates, times and the rest are strings of [batch.AppendText]'s form; lists are
// arrays. A null is written as null. It returns how many rows it wrote.
func WriteNDJSON(w io.Writer, schema *arrow.Schema, rows batch.Stream) (int64, error) {
	return WriteNDJSONAs(w, schema, rows, nil)
}

// WriteNDJSONAs is [WriteNDJSON] for a reader who wants some columns otherwise. own is asked for each column of each batch; what it returns
// appends value i, which is not null, as one JSON value without a line feed. Where it returns nil, or is nil, the column is written as by
// WriteNDJSON.
func WriteNDJSONAs(w io.Writer, schema *arrow.Schema, rows batch.Stream, own func(column int, arr arrow.Array) func(dst []byte, i int) []byte) (int64, error) {
	keys := jsonKeys(schema)
	bind := func(arr arrow.Array, k int) appender {
		if own != nil {
			if a := own(k, arr); a != nil {
				return a
			}
		}
		return jsonAppender(arr)
	}
	return writeRows(w, nil, rows, bind,
		func(dst []byte, cells []cell, i int) []byte {
			for k := range cells {
				dst = append(dst, keys[k]...)
				c := &cells[k]
				if c.nulls && c.arr.IsNull(i) {
					dst = append(dst, "null"...)
					continue
				}
				dst = c.append(dst, i)
			}
			return append(dst, '}', '\n')
		})
}

// jsonKeys are what stands before each value: {"a": for the first, ,"b": for the others.
func jsonKeys(schema *arrow.Schema) [][]byte {
	keys := make([][]byte, schema.NumFields())
	for k, f := range schema.Fields() {
		open := byte(',')
		if k == 0 {
			open = '{'
		}
		keys[k] = append(batch.AppendJSONString([]byte{open}, f.Name), ':')
	}
	return keys
}

func jsonAppender(arr arrow.Array) appender {
	switch a := arr.(type) {
	case *array.String:
		return func(dst []byte, i int) []byte { return batch.AppendJSONString(dst, a.Value(i)) }
	case *array.Binary:
		return func(dst []byte, i int) []byte {
			dst = base64.StdEncoding.AppendEncode(append(dst, '"'), a.Value(i))
			return append(dst, '"')
		}
	case *array.Float32, *array.Float64:
		return func(dst []byte, i int) []byte { return batch.AppendJSON(dst, arr, i) }
	case array.ListLike:
		return jsonList(a)
	}
	switch arr.DataType().ID() {
	case arrow.BOOL, arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
		return plain(arr)
	}
	return func(dst []byte, i int) []byte { // decimals, dates, times, intervals: no character of theirs needs an escape
		dst = batch.AppendText(append(dst, '"'), arr, i)
		return append(dst, '"')
	}
}

func jsonList(a array.ListLike) appender {
	values := a.ListValues()
	elem := jsonAppender(values)
	return func(dst []byte, i int) []byte {
		from, to := a.ValueOffsets(i)
		dst = append(dst, '[')
		for k := from; k < to; k++ {
			if k > from {
				dst = append(dst, ',')
			}
			if values.IsNull(int(k)) {
				dst = append(dst, "null"...)
				continue
			}
			dst = elem(dst, int(k))
		}
		return append(dst, ']')
	}
}
