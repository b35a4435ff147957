package digest

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
)

// sum collects the aggregates of one column. The type switch is newSum's, once a column;
// add runs a loop made for the type.
type sum interface {
	add(a arrow.Array)
	result(c *ColumnDigest)
}

func newSum(t arrow.DataType) sum {
	switch t.ID() {
	case arrow.INT8:
		return &signedSum[int8]{}
	case arrow.INT16:
		return &signedSum[int16]{}
	case arrow.INT32, arrow.DATE32, arrow.TIME32:
		return &signedSum[int32]{}
	case arrow.INT64, arrow.DATE64, arrow.TIME64, arrow.TIMESTAMP, arrow.DURATION:
		return &signedSum[int64]{}
	case arrow.UINT8:
		return &unsignedSum[uint8]{}
	case arrow.UINT16:
		return &unsignedSum[uint16]{}
	case arrow.UINT32:
		return &unsignedSum[uint32]{}
	case arrow.UINT64:
		return &unsignedSum[uint64]{}
	case arrow.BOOL:
		return &boolSum{}
	case arrow.FLOAT32:
		return &floatSum[float32]{}
	case arrow.FLOAT64:
		return &floatSum[float64]{}
	case arrow.DECIMAL128:
		return &decimalSum{}
	case arrow.DECIMAL256:
		return &bigDecimalSum{}
	case arrow.STRING, arrow.BINARY:
		return &textSum{}
	}
	return &hashSum{lane: newLane(t, 0)}
}

const signBit = 1 << 63

type signedSum[T int8 | int16 | int32 | int64] struct {
	seen     bool
	min, max T
	sum      [2]uint64
}

func (s *signedSum[T]) add(a arrow.Array) {
	values := arrow.GetValues[T](a.Data(), 1)
	eachRun(a, func(from, to int) { s.run(values[from:to]) }, nil)
}

// run sums high and low halves apart, so that nothing carries inside the loop: a batch
// has far less than 2^31 rows.
func (s *signedSum[T]) run(values []T) {
	if !s.seen {
		s.seen, s.min, s.max = true, values[0], values[0]
	}
	least, most := s.min, s.max
	var hi int64
	var lo uint64
	for _, v := range values {
		hi += int64(v) >> 32
		lo += uint64(uint32(v))
		least, most = min(least, v), max(most, v)
	}
	s.min, s.max = least, most
	s.sum = add128(add128(s.sum, [2]uint64{uint64(hi << 32), uint64(hi >> 32)}), [2]uint64{lo, 0})
}

func (s *signedSum[T]) result(c *ColumnDigest) {
	c.Sum = s.sum
	if s.seen {
		c.Min = binary.BigEndian.AppendUint64(nil, uint64(int64(s.min))^signBit)
		c.Max = binary.BigEndian.AppendUint64(nil, uint64(int64(s.max))^signBit)
	}
}

type unsignedSum[T uint8 | uint16 | uint32 | uint64] struct {
	seen     bool
	min, max T
	sum      [2]uint64
}

func (s *unsignedSum[T]) add(a arrow.Array) {
	values := arrow.GetValues[T](a.Data(), 1)
	eachRun(a, func(from, to int) { s.run(values[from:to]) }, nil)
}

func (s *unsignedSum[T]) run(values []T) {
	if !s.seen {
		s.seen, s.min, s.max = true, values[0], values[0]
	}
	least, most := s.min, s.max
	var hi, lo uint64
	for _, v := range values {
		hi += uint64(v) >> 32
		lo += uint64(uint32(v))
		least, most = min(least, v), max(most, v)
	}
	s.min, s.max = least, most
	s.sum = add128(add128(s.sum, [2]uint64{hi << 32, hi >> 32}), [2]uint64{lo, 0})
}

func (s *unsignedSum[T]) result(c *ColumnDigest) {
	c.Sum = s.sum
	if s.seen {
		c.Min = binary.BigEndian.AppendUint64(nil, uint64(s.min))
		c.Max = binary.BigEndian.AppendUint64(nil, uint64(s.max))
	}
}

type boolSum struct{ trues uint64 }

func (s *boolSum) add(a arrow.Array) {
	values := a.(*array.Boolean)
	eachRun(a, func(from, to int) {
		for i := from; i < to; i++ {
			if values.Value(i) {
				s.trues++
			}
		}
	}, nil)
}

func (s *boolSum) result(c *ColumnDigest) { c.Sum[0] = s.trues }

// floatSum keeps extremes in the order of bits (-0 before 0, NaN last) and, in place of a sum, a hash.
type floatSum[T float32 | float64] struct {
	seen     bool
	min, max uint64
	hash     uint64
}

func (s *floatSum[T]) add(a arrow.Array) {
	values := arrow.GetValues[T](a.Data(), 1)
	eachRun(a, func(from, to int) { s.run(values[from:to]) }, nil)
}

func (s *floatSum[T]) run(values []T) {
	if !s.seen {
		s.seen, s.min, s.max = true, math.MaxUint64, 0
	}
	least, most, hash := s.min, s.max, uint64(0)
	for _, v := range values {
		word := floatBits(float64(v))
		hash += mix(word^floatSeed, laneKeys[0])
		key := toOrder(word)
		least, most = min(least, key), max(most, key)
	}
	s.min, s.max, s.hash = least, most, s.hash+hash
}

func (s *floatSum[T]) result(c *ColumnDigest) {
	c.Hash = s.hash
	if s.seen {
		c.Min = binary.BigEndian.AppendUint64(nil, s.min)
		c.Max = binary.BigEndian.AppendUint64(nil, s.max)
	}
}

// floatSeed keeps 0.0 from being a fixed point of mix.
const floatSeed = 0x2545f4914f6cdd1d

// floatBits are v's bits, with one form for all NaNs: what else a NaN's bits hold
// does not outlive a database's text form and carries no meaning there.
func floatBits(v float64) uint64 {
	if v != v {
		return 0x7ff8000000000000
	}
	return math.Float64bits(v)
}

// toOrder turns float bits into a word that sorts as the numbers do; fromOrder turns it back.
func toOrder(b uint64) uint64   { return b ^ (uint64(int64(b)>>63) | signBit) }
func fromOrder(k uint64) uint64 { return k ^ (uint64(int64(^k)>>63) | signBit) }

type decimalSum struct {
	seen           bool
	minHi, maxHi   int64
	minLo, maxLo   uint64
	sumLo, sumHigh uint64
}

func (s *decimalSum) add(a arrow.Array) {
	values := arrow.GetValues[decimal128.Num](a.Data(), 1)
	eachRun(a, func(from, to int) { s.run(values[from:to]) }, nil)
}

func (s *decimalSum) run(values []decimal128.Num) {
	if !s.seen {
		s.seen = true
		s.minHi, s.minLo = values[0].HighBits(), values[0].LowBits()
		s.maxHi, s.maxLo = s.minHi, s.minLo
	}
	sumLo, sumHi := s.sumLo, s.sumHigh
	minHi, minLo, maxHi, maxLo := s.minHi, s.minLo, s.maxHi, s.maxLo
	for i := range values {
		hi, lo := values[i].HighBits(), values[i].LowBits()
		var carry uint64
		sumLo, carry = bits.Add64(sumLo, lo, 0)
		sumHi, _ = bits.Add64(sumHi, uint64(hi), carry)
		if hi < minHi || hi == minHi && lo < minLo {
			minHi, minLo = hi, lo
		}
		if hi > maxHi || hi == maxHi && lo > maxLo {
			maxHi, maxLo = hi, lo
		}
	}
	s.sumLo, s.sumHigh = sumLo, sumHi
	s.minHi, s.minLo, s.maxHi, s.maxLo = minHi, minLo, maxHi, maxLo
}

func (s *decimalSum) result(c *ColumnDigest) {
	c.Sum = [2]uint64{s.sumLo, s.sumHigh}
	if s.seen {
		c.Min = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(s.minHi)^signBit), s.minLo)
		c.Max = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(s.maxHi)^signBit), s.maxLo)
	}
}

// bigDecimalSum also hashes: a sum of the low 128 bits does not see the high ones.
type bigDecimalSum struct {
	seen     bool
	min, max decimal256.Num
	sum      [2]uint64
	hash     uint64
}

func (s *bigDecimalSum) add(a arrow.Array) {
	values := arrow.GetValues[decimal256.Num](a.Data(), 1)
	eachRun(a, func(from, to int) {
		if !s.seen {
			s.seen, s.min, s.max = true, values[from], values[from]
		}
		for _, v := range values[from:to] {
			w := v.Array()
			s.sum = add128(s.sum, [2]uint64{w[0], w[1]})
			s.hash += mix4(w)
			if v.Less(s.min) {
				s.min = v
			}
			if s.max.Less(v) {
				s.max = v
			}
		}
	}, nil)
}

func (s *bigDecimalSum) result(c *ColumnDigest) {
	c.Sum, c.Hash = s.sum, s.hash
	if s.seen {
		c.Min, c.Max = ordered256(s.min), ordered256(s.max)
	}
}

func ordered256(v decimal256.Num) []byte {
	w := v.Array()
	b := binary.BigEndian.AppendUint64(nil, w[3]^signBit)
	for _, word := range []uint64{w[2], w[1], w[0]} {
		b = binary.BigEndian.AppendUint64(b, word)
	}
	return b
}

// hashSum is for types without order or sum: lists, intervals, anything unforeseen.
type hashSum struct {
	lane  lane
	hash  uint64
	elems int64
	h1    []uint64
	h2    []uint64
}

func (s *hashSum) add(a arrow.Array) {
	s.h1, s.h2 = zeroed(s.h1, a.Len()), zeroed(s.h2, a.Len())
	s.lane.fold(a, s.h1, s.h2)
	lists, isList := a.(array.ListLike)
	eachRun(a, func(from, to int) {
		for i := from; i < to; i++ {
			s.hash += s.h1[i]
		}
		if isList {
			for i := from; i < to; i++ {
				start, end := lists.ValueOffsets(i)
				s.elems += end - start
			}
		}
	}, nil)
}

func (s *hashSum) result(c *ColumnDigest) { c.Hash, c.Bytes = s.hash, s.elems }
