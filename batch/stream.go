// Package batch holds kitamae's one currency, a pulled stream of Arrow record
// batches, and the small tools around it: fast column builders, type names, conversion.
// It knows no connector.
package batch

import (
	"iter"

	"github.com/apache/arrow-go/v18/arrow"
)

// Stream is pulled by ranging over it. A batch is borrowed: it is valid until the
// loop body returns, and whoever wants it longer calls Retain. After an error nothing
// more comes. A stream is ranged over once.
type Stream = iter.Seq2[arrow.RecordBatch, error]

// Fail is the stream that only says err.
func Fail(err error) Stream {
	return func(yield func(arrow.RecordBatch, error) bool) { yield(nil, err) }
}

// Of is the stream of recs, which stay the caller's.
func Of(recs ...arrow.RecordBatch) Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for _, rec := range recs {
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// Size is how many bytes rec's values take in memory.
func Size(rec arrow.RecordBatch) int64 {
	var n uint64
	for _, col := range rec.Columns() {
		n += col.Data().SizeInBytes()
	}
	return int64(n)
}
