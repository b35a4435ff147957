package digest

import (
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
)

// eachRun calls valid and null for the runs of values and of nulls, in order and without gaps.
// Going by runs keeps the null test out of the inner loops. Either may be nil.
func eachRun(a arrow.Array, valid, null func(from, to int)) {
	n := a.Len()
	switch a.NullN() {
	case 0:
		call(valid, 0, n)
		return
	case n:
		call(null, 0, n)
		return
	}
	bitmap, offset := a.NullBitmapBytes(), a.Data().Offset()
	for i := 0; i < n; {
		end := runEnd(bitmap, offset, i, n, ^uint64(0))
		call(valid, i, end)
		i = runEnd(bitmap, offset, end, n, 0)
		call(null, end, i)
	}
}

func call(f func(from, to int), from, to int) {
	if f != nil && from < to {
		f(from, to)
	}
}

// runEnd finds the first bit at or after from that differs from same (all ones or zeros), n at most.
func runEnd(bitmap []byte, offset, from, n int, same uint64) int {
	for i := from; i < n; i += 64 {
		if w := load64(bitmap, offset+i) ^ same; w != 0 {
			return min(i+bits.TrailingZeros64(w), n)
		}
	}
	return n
}

// load64 reads the 64 bits that start at bit p; those past the end are zero.
func load64(bitmap []byte, p int) uint64 {
	b, shift := bitmap[p>>3:], uint(p&7)
	if len(b) > 8 {
		return binary.LittleEndian.Uint64(b)>>shift | uint64(b[8])<<(64-shift)
	}
	var w uint64
	for k := min(len(b), 8) - 1; k >= 0; k-- {
		w = w<<8 | uint64(b[k])
	}
	return w >> shift
}
