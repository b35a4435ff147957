package digest

import (
	"bytes"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/kitamae/kitamae/batch"
)

// equal compares value i of a with value k of b, which have the same type: bit by bit,
// but all NaNs are one. It is for the few rows of a sample, not for every row.
func equal(a arrow.Array, i int, b arrow.Array, k int) bool {
	if a.IsNull(i) || b.IsNull(k) {
		return a.IsNull(i) && b.IsNull(k)
	}
	switch a := a.(type) {
	case *array.Float32:
		return floatBits(float64(a.Value(i))) == floatBits(float64(b.(*array.Float32).Value(k)))
	case *array.Float64:
		return floatBits(a.Value(i)) == floatBits(b.(*array.Float64).Value(k))
	case *array.String:
		return a.Value(i) == b.(*array.String).Value(k)
	case *array.Binary:
		return bytes.Equal(a.Value(i), b.(*array.Binary).Value(k))
	case *array.List:
		return equalLists(a, i, b.(*array.List), k)
	}
	// The text form is exact for every other type of the contract.
	return bytes.Equal(batch.AppendText(nil, a, i), batch.AppendText(nil, b, k))
}

func equalLists(a *array.List, i int, b *array.List, k int) bool {
	aFrom, aTo := a.ValueOffsets(i)
	bFrom, bTo := b.ValueOffsets(k)
	if aTo-aFrom != bTo-bFrom {
		return false
	}
	for n := range int(aTo - aFrom) {
		if !equal(a.ListValues(), int(aFrom)+n, b.ListValues(), int(bFrom)+n) {
			return false
		}
	}
	return true
}
