package batch

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// loan is what a column knows of a buffer it has from the pool. A buffer starts with as much room as
// the last two batches needed (two, as every row group ends with a smaller one), the first with what was guessed. One
// that must grow all the same is left to append, which keeps the decoders' loops free of calls: it is the garbage
// collector's then. Were it given to the pool, the pool would grow by one buffer with each partition.
type loan struct {
	last int // bytes the batch before needed
	cap  int // of the buffer that the pool lent
}

// A loan is between these. A batch of one huge value says nothing about the next.
const (
	leastRoom = 4 << 10
	mostRoom  = 16 << 20
)

// take borrows an empty buffer in place of one that held size bytes.
func (l *loan) take(pool *Pool, size int) []byte {
	size = min(max(size, leastRoom), mostRoom)
	buf := pool.Allocate(max(size, l.last))[:0]
	l.last, l.cap = size, cap(buf)
	return buf
}

// wrap makes Arrow's buffer, which goes back to where it came from.
func (l *loan) wrap(pool *Pool, buf []byte) *memory.Buffer {
	if cap(buf) != l.cap {
		return memory.NewBufferBytes(buf)
	}
	return memory.NewBufferWithAllocator(buf, pool)
}

// end gives the buffer back.
func (l *loan) end(pool *Pool, buf []byte) {
	if cap(buf) == l.cap {
		pool.Free(buf)
	}
}

// guessedText is how long texts are thought to be before there are any.
const guessedText = 16

// guess is about how many bytes a value of type t takes, its offset left out.
func guess(t arrow.DataType) int {
	switch t := t.(type) {
	case *arrow.StringType, *arrow.BinaryType:
		return guessedText
	case arrow.FixedWidthDataType:
		return (t.BitWidth() + 7) / 8
	}
	return 0
}
