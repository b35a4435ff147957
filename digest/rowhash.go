package digest

import (
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/zeebo/xxh3"

	"github.com/kitamae/kitamae/batch"
)

// rowHasher hashes whole rows column by column: each row has two 64-bit lanes that
// every column's value is folded into with keys of the column's own, so that swapped columns and values
// in other rows are seen. What is hashed is the logical value: offsets, slices, the bytes under nulls and
// the division into batches do not matter.
type rowHasher struct {
	columns []int
	lanes   []lane
	h1, h2  []uint64
}

func newRowHasher(schema *arrow.Schema, columns []int) *rowHasher {
	h := &rowHasher{columns: columns}
	for at, col := range columns {
		h.lanes = append(h.lanes, newLane(schema.Field(col).Type, at+1))
	}
	return h
}

// rows returns both lanes of every row; they are overwritten by the next call.
func (h *rowHasher) rows(rec arrow.RecordBatch) (h1, h2 []uint64) {
	n := int(rec.NumRows())
	h.h1, h.h2 = zeroed(h.h1, n), zeroed(h.h2, n)
	for k, col := range h.columns {
		h.lanes[k].fold(rec.Column(col), h.h1, h.h2)
	}
	return h.h1, h.h2
}

// zeroed is s with n zeros.
func zeroed(s []uint64, n int) []uint64 {
	if cap(s) < n {
		return make([]uint64, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// lane folds the values of one column into the rows' hashes.
type lane interface {
	fold(a arrow.Array, h1, h2 []uint64)
}

// keys are a column's: one multiplier for values and one for nulls, in each lane.
type keys struct{ k1, k2, null1, null2 uint64 }

// laneKeys are odd numbers with about as many ones as zeros, digits of pi and the square root of two.
var laneKeys = [4]uint64{0x243f6a8885a308d3, 0x13198a2e03707345, 0xb504f333f9de6485, 0x97d839bc4e2b6a6d}

// keysAt derives a column's keys from its position.
func keysAt(position int) keys {
	var k [4]uint64
	for i := range k {
		k[i] = mix(laneKeys[i]+uint64(position)*0x9e3779b97f4a7c15, 0xd6e8feb86659fd93) | 1
	}
	return keys{k[0], k[1], k[2], k[3]}
}

// mix multiplies to 128 bits and folds the halves: every bit of a reaches every bit of the result.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func mix4(w [4]uint64) uint64 {
	h := mix(w[0]^laneKeys[0], laneKeys[1])
	h = mix(h^w[1], laneKeys[2])
	h = mix(h^w[2], laneKeys[3])
	return mix(h^w[3], laneKeys[0])
}

// one folds a 64-bit value. The second lane sees it turned around, so that the lanes
// can't fail together.
func (k *keys) one(h1, h2 *uint64, v uint64) {
	*h1 = mix(*h1^v^k.null1, k.k1)
	*h2 = mix(*h2^bits.RotateLeft64(v, 32)^k.null2, k.k2)
}

// two folds a 128-bit value.
func (k *keys) two(h1, h2 *uint64, lo, hi uint64) {
	*h1 = mix(*h1^lo^k.null1, k.k1^hi)
	*h2 = mix(*h2^bits.RotateLeft64(lo, 32)^k.null2, k.k2^bits.RotateLeft64(hi, 32))
}

func (k *keys) nulls(h1, h2 []uint64) {
	for i := range h1 {
		h1[i] = mix(h1[i]^k.k1, k.null1)
		h2[i] = mix(h2[i]^k.k2, k.null2)
	}
}

func newLane(t arrow.DataType, position int) lane {
	k := keysAt(position)
	switch t.ID() {
	case arrow.INT8:
		return &intLane[int8]{k}
	case arrow.INT16:
		return &intLane[int16]{k}
	case arrow.INT32, arrow.DATE32, arrow.TIME32:
		return &intLane[int32]{k}
	case arrow.INT64, arrow.DATE64, arrow.TIME64, arrow.TIMESTAMP, arrow.DURATION:
		return &intLane[int64]{k}
	case arrow.UINT8:
		return &intLane[uint8]{k}
	case arrow.UINT16:
		return &intLane[uint16]{k}
	case arrow.UINT32:
		return &intLane[uint32]{k}
	case arrow.UINT64:
		return &intLane[uint64]{k}
	case arrow.FLOAT32:
		return &floatLane[float32]{k}
	case arrow.FLOAT64:
		return &floatLane[float64]{k}
	case arrow.BOOL:
		return &boolLane{k}
	case arrow.DECIMAL128:
		return &decimalLane{k}
	case arrow.DECIMAL256:
		return &bigDecimalLane{k}
	case arrow.INTERVAL_MONTH_DAY_NANO:
		return &intervalLane{k}
	case arrow.STRING, arrow.BINARY:
		return &textLane{k}
	case arrow.LIST:
		return &listLane{keys: k, child: newLane(t.(*arrow.ListType).Elem(), position)}
	}
	return &anyLane{keys: k}
}

type intLane[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64] struct{ keys }

func (l *intLane[T]) fold(a arrow.Array, h1, h2 []uint64) {
	values := arrow.GetValues[T](a.Data(), 1)
	eachRun(a, func(from, to int) {
		v, r1, r2 := values[from:to], h1[from:to], h2[from:to]
		for i := range v {
			l.one(&r1[i], &r2[i], uint64(v[i]))
		}
	}, func(from, to int) { l.nulls(h1[from:to], h2[from:to]) })
}

type floatLane[T float32 | float64] struct{ keys }

func (l *floatLane[T]) fold(a arrow.Array, h1, h2 []uint64) {
	values := arrow.GetValues[T](a.Data(), 1)
	eachRun(a, func(from, to int) {
		for i := from; i < to; i++ {
			l.one(&h1[i], &h2[i], floatBits(float64(values[i])))
		}
	}, func(from, to int) { l.nulls(h1[from:to], h2[from:to]) })
}

type boolLane struct{ keys }

func (l *boolLane) fold(a arrow.Array, h1, h2 []uint64) {
	values := a.(*array.Boolean)
	eachRun(a, func(from, to int) {
		for i := from; i < to; i++ {
			var v uint64
			if values.Value(i) {
				v = 1
			}
			l.one(&h1[i], &h2[i], v)
		}
	}, func(from, to int) { l.nulls(h1[from:to], h2[from:to]) })
}

type decimalLane struct{ keys }

func (l *decimalLane) fold(a arrow.Array, h1, h2 []uint64) {
	values := arrow.GetValues[decimal128.Num](a.Data(), 1)
	eachRun(a, func(from, to int) {
		for i := from; i < to; i++ {
			l.two(&h1[i], &h2[i], values[i].LowBits(), uint64(values[i].HighBits()))
		}
	}, func(from, to int) { l.nulls(h1[from:to], h2[from:to]) })
}

type bigDecimalLane struct{ keys }

func (l *bigDecimalLane) fold(a arrow.Array, h1, h2 []uint64) {
	values := arrow.GetValues[decimal256.Num](a.Data(), 1)
	eachRun(a, func(from, to int) {
		for i := from; i < to; i++ {
			w := values[i].Array()
			l.two(&h1[i], &h2[i], w[0], w[1])
			l.two(&h1[i], &h2[i], w[2], w[3])
		}
	}, func(from, to int) { l.nulls(h1[from:to], h2[from:to]) })
}

type intervalLane struct{ keys }

func (l *intervalLane) fold(a arrow.Array, h1, h2 []uint64) {
	values := arrow.GetValues[arrow.MonthDayNanoInterval](a.Data(), 1)
	eachRun(a, func(from, to int) {
		for i := from; i < to; i++ {
			v := values[i]
			l.two(&h1[i], &h2[i], uint64(v.Nanoseconds), uint64(uint32(v.Months))<<32|uint64(uint32(v.Days)))
		}
	}, func(from, to int) { l.nulls(h1[from:to], h2[from:to]) })
}

type textLane struct{ keys }

func (l *textLane) fold(a arrow.Array, h1, h2 []uint64) {
	offsets, data := textOf(a)
	eachRun(a, func(from, to int) {
		start := offsets[from]
		for i := from; i < to; i++ {
			end := offsets[i+1]
			v := xxh3.Hash128(data[start:end])
			start = end
			h1[i] = mix(h1[i]^v.Lo, l.k1)
			h2[i] = mix(h2[i]^v.Hi, l.k2)
		}
	}, func(from, to int) { l.nulls(h1[from:to], h2[from:to]) })
}

// listLane hashes all elements at once, then chains each list's own with their number.
type listLane struct {
	keys
	child  lane
	h1, h2 []uint64
}

func (l *listLane) fold(a arrow.Array, h1, h2 []uint64) {
	list := a.(*array.List)
	if list.NullN() == list.Len() {
		l.nulls(h1, h2)
		return
	}
	offsets := arrow.GetOffsets[int32](a.Data(), 1)
	first, last := offsets[0], offsets[len(offsets)-1]
	elems := array.NewSlice(list.ListValues(), int64(first), int64(last))
	defer elems.Release()
	l.h1, l.h2 = zeroed(l.h1, elems.Len()), zeroed(l.h2, elems.Len())
	l.child.fold(elems, l.h1, l.h2)
	eachRun(a, func(from, to int) {
		for i := from; i < to; i++ {
			l.one(&h1[i], &h2[i], uint64(offsets[i+1]-offsets[i]))
			for k := offsets[i] - first; k < offsets[i+1]-first; k++ {
				h1[i] = mix(h1[i]^l.h1[k], l.k1)
				h2[i] = mix(h2[i]^l.h2[k], l.k2)
			}
		}
	}, func(from, to int) { l.nulls(h1[from:to], h2[from:to]) })
}

// anyLane hashes the text form of types the contract does not have.
type anyLane struct {
	keys
	buf []byte
}

func (l *anyLane) fold(a arrow.Array, h1, h2 []uint64) {
	eachRun(a, func(from, to int) {
		for i := from; i < to; i++ {
			l.buf = batch.AppendText(l.buf[:0], a, i)
			v := xxh3.Hash128(l.buf)
			h1[i] = mix(h1[i]^v.Lo, l.k1)
			h2[i] = mix(h2[i]^v.Hi, l.k2)
		}
	}, func(from, to int) { l.nulls(h1[from:to], h2[from:to]) })
}
