package format

import (
	"bytes"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
)

// ReadNDJSON reads what [WriteNDJSON] wrote, in the schema it was written with: every
// object has every column, in order. It is a check of what was written and not a reader for anybody's JSON.
// Batches come from pool and hold about batchBytes at most.
func ReadNDJSON(r io.Reader, schema *arrow.Schema, pool *batch.Pool, batchBytes int) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		rd, err := newRowReader(r, schema, pool, batchBytes, jsonForm)
		if err != nil {
			yield(nil, err)
			return
		}
		keys := jsonKeys(schema)
		var scan jsonScanner
		rd.run(yield, func(rd *rowReader, buf []byte) (int, error) {
			end := bytes.IndexByte(buf, '\n') // no line feed stands inside: JSON escapes it
			if end < 0 {
				return 0, errMore
			}
			scan.buf, scan.at = buf[:end], 0
			for k, key := range keys {
				if !scan.skip(key) {
					return 0, fmt.Errorf("column %s is not where it was expected", schema.Field(k).Name)
				}
				if err := scan.value(rd.builder.Columns[k], rd.parsers[k], schema.Field(k).Type); err != nil {
					return 0, fmt.Errorf("column %s: %w", schema.Field(k).Name, err)
				}
			}
			if !scan.skip([]byte("}")) || scan.at != end {
				return 0, fmt.Errorf("text after the last column")
			}
			rd.row = true
			return end + 1, nil
		})
	}
}
