package format

import (
	"io"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/kitamae/kitamae/batch"
)

// WriteCSV writes a header and one record a row, as RFC 4180 has it except that lines
// end with a line feed alone. Values have the text form of [batch.AppendText]. A null is an
// empty field, empty text is "". Text is quoted where it holds a comma, a quote or a line break. It returns how many
// rows it wrote; a stream without batches leaves a header.
func WriteCSV(w io.Writer, schema *arrow.Schema, rows batch.Stream) (int64, error) {
	var head []byte
	for k, f := range schema.Fields() {
		if k > 0 {
			head = append(head, ',')
		}
		head = appendCSV(head, f.Name)
	}
	head = append(head, '\n')
	return writeRows(w, head, rows, func(arr arrow.Array, _ int) appender { return csvAppender(arr) }, appendRecord)
}

func appendRecord(dst []byte, cells []cell, i int) []byte {
	for k := range cells {
		if k > 0 {
			dst = append(dst, ',')
		}
		c := &cells[k]
		if c.nulls && c.arr.IsNull(i) {
			continue
		}
		dst = c.append(dst, i)
	}
	return append(dst, '\n')
}

func csvAppender(arr arrow.Array) appender {
	switch a := arr.(type) {
	case *array.String:
		return func(dst []byte, i int) []byte { return appendCSV(dst, a.Value(i)) }
	case *array.Binary: // an empty value is \x: never taken for a null
		return plain(a)
	case array.ListLike:
		return func(dst []byte, i int) []byte {
			from := len(dst)
			dst = batch.AppendText(dst, a, i)
			if !mustQuote(string(dst[from:])) {
				return dst
			}
			return appendCSV(dst[:from], string(dst[from:])) // a copy: lists are not the hot path
		}
	}
	return plain(arr)
}

// appendCSV appends text, quoted where it must be.
func appendCSV(dst []byte, s string) []byte {
	if !mustQuote(s) {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for {
		q := strings.IndexByte(s, '"')
		if q < 0 {
			dst = append(dst, s...)
			return append(dst, '"')
		}
		dst = append(dst, s[:q+1]...)
		dst = append(dst, '"')
		s = s[q+1:]
	}
}

// vectorBytes is the length from which four vectorised searches beat one loop.
const vectorBytes = 24

func mustQuote(s string) bool {
	if s == "" {
		return true
	}
	if len(s) >= vectorBytes {
		return strings.IndexByte(s, ',') >= 0 || strings.IndexByte(s, '"') >= 0 ||
			strings.IndexByte(s, '\n') >= 0 || strings.IndexByte(s, '\r') >= 0
	}
	for i := range len(s) {
		switch s[i] {
		case ',', '"', '\n', '\r':
			return true
		}
	}
	return false
}
