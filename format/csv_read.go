package format

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
)

// ReadCSV reads what [WriteCSV] wrote, in the schema it was written with. Batches come
// from pool and hold about batchBytes at most. A value that is not of its column's type is an error that names line and column.
func ReadCSV(r io.Reader, schema *arrow.Schema, pool *batch.Pool, batchBytes int) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		rd, err := newRowReader(r, schema, pool, batchBytes, textForm)
		if err != nil {
			yield(nil, err)
			return
		}
		rd.run(yield, csvRow(schema))
	}
}

// field is where one field of a record lies in the buffer, without its quotes.
type field struct {
	from, to       int
	quoted, double bool // double: it holds "" that mean "
}

// csvRow makes the function that reads one record. The header is checked against the schema.
func csvRow(schema *arrow.Schema) func(*rowReader, []byte) (int, error) {
	n := schema.NumFields()
	fields := make([]field, 0, n)
	header := false
	return func(rd *rowReader, buf []byte) (int, error) {
		var used int
		var err error
		if fields, used, err = splitRecord(buf, fields[:0]); err != nil {
			return 0, err
		}
		if len(fields) != n {
			return 0, fmt.Errorf("%d fields where %d were expected", len(fields), n)
		}
		if !header {
			header = true
			return used, checkHeader(schema, buf, fields)
		}
		for k, f := range fields {
			c := rd.builder.Columns[k]
			if f.from == f.to && !f.quoted {
				c.Null()
				continue
			}
			text := buf[f.from:f.to]
			if f.double {
				text = undouble(text)
			}
			if err := rd.parsers[k](c, text); err != nil {
				return 0, fmt.Errorf("column %s: %w", schema.Field(k).Name, err)
			}
		}
		rd.row = true
		return used, nil
	}
}

func checkHeader(schema *arrow.Schema, buf []byte, fields []field) error {
	for k, f := range fields {
		text := append([]byte(nil), buf[f.from:f.to]...)
		if name := schema.Field(k).Name; string(undouble(text)) != name {
			return fmt.Errorf("the header says %q where column %q was expected", text, name)
		}
	}
	return nil
}

var errQuote = errors.New("text after a closing quote")

// splitRecord finds the fields of the record buf starts with and how long it is. It
// returns errMore when the record does not end in buf.
func splitRecord(buf []byte, fields []field) ([]field, int, error) {
	i := 0
	for {
		f := field{from: i}
		if i < len(buf) && buf[i] == '"' {
			f.quoted, f.from = true, i+1
			i++
			for {
				q := bytes.IndexByte(buf[i:], '"')
				if q < 0 || i+q+1 >= len(buf) {
					return fields, 0, errMore
				}
				i += q + 1
				if buf[i] != '"' {
					break
				}
				f.double = true
				i++
			}
			f.to = i - 1
		} else {
			for i < len(buf) && buf[i] != ',' && buf[i] != '\n' {
				i++
			}
			f.to = i
		}
		if i >= len(buf) {
			return fields, 0, errMore
		}
		fields = append(fields, f)
		switch buf[i] {
		case ',':
			i++
		case '\n':
			return fields, i + 1, nil
		default:
			return fields, 0, errQuote
		}
	}
}

// undouble makes " of "" in place.
func undouble(text []byte) []byte {
	out := text[:0]
	for i := 0; i < len(text); i++ {
		out = append(out, text[i])
		if text[i] == '"' {
			i++
		}
	}
	return out
}
