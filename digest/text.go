package digest

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/zeebo/xxh3"
)

// keepBytes is how much of the least and greatest text is kept. The order of prefixes is
// the order of texts, so the least prefix is the prefix of the least text, however rows are divided.
const keepBytes = 64

// textSum is for utf8 and binary. Nearly all values are ruled out as extremes by their
// key (see textKey), with a test that is as good as never true.
type textSum struct {
	seen         bool
	min, max     []byte
	below, above uint64 // keys less than below, or greater than above, want a closer look
	bytes        int64
	hash         uint64
}

func (s *textSum) add(a arrow.Array) {
	offsets, data := textOf(a)
	eachRun(a, func(from, to int) { s.run(offsets[from:to+1], data) }, nil)
}

// textOf are the offsets of a's values and the bytes they point into.
func textOf(a arrow.Array) (offsets []int32, data []byte) {
	bufs := a.Data().Buffers()
	if bufs[1] == nil || bufs[1].Len() == 0 {
		return make([]int32, a.Len()+1), nil
	}
	if bufs[2] != nil {
		data = bufs[2].Bytes()
	}
	return arrow.GetOffsets[int32](a.Data(), 1), data
}

func (s *textSum) run(offsets []int32, data []byte) {
	start := offsets[0]
	s.bytes += int64(offsets[len(offsets)-1] - start)
	if !s.seen {
		s.seen = true
		v := data[start:offsets[1]]
		s.setMin(v, textKey(head(data, start, len(v)), len(v)))
		s.setMax(v, textKey(head(data, start, len(v)), len(v)))
	}
	hash, below, above := s.hash, s.below, s.above
	for _, end := range offsets[1:] {
		length := int(end - start)
		first := head(data, start, length)
		if length <= 8 {
			hash += mix(first^laneKeys[0], laneKeys[1]^uint64(length))
		} else {
			hash += hashText(data[start:end])
		}
		if key := textKey(first, length); key < below || key > above {
			s.look(data[start:end], key)
			below, above = s.below, s.above
		}
		start = end
	}
	s.hash = hash
}

// hashText hashes nine bytes or more. Up to a few dozen, this is faster than a call of xxh3.
func hashText(v []byte) uint64 {
	n := len(v)
	if n > 64 {
		return xxh3.Hash(v)
	}
	h := uint64(n)
	last := v[n-8:]
	for len(v) > 16 {
		h = mix(binary.LittleEndian.Uint64(v)^h^laneKeys[0], binary.LittleEndian.Uint64(v[8:])^laneKeys[1])
		v = v[16:]
	}
	if len(v) > 8 {
		h = mix(binary.LittleEndian.Uint64(v)^h, laneKeys[2])
	}
	return mix(binary.LittleEndian.Uint64(last)^h^laneKeys[3], laneKeys[1])
}

// look decides about a value whose key is at or beyond an extreme's.
func (s *textSum) look(v []byte, key uint64) {
	cut := v[:min(len(v), keepBytes)]
	if key < s.below && bytes.Compare(cut, s.min) < 0 {
		s.setMin(v, key)
	}
	if key > s.above && bytes.Compare(cut, s.max) > 0 {
		s.setMax(v, key)
	}
}

func (s *textSum) setMin(v []byte, key uint64) {
	s.min = append(s.min[:0], v[:min(len(v), keepBytes)]...)
	s.below = key
	if key&0xff == longText && key != math.MaxUint64 {
		s.below++ // others of the same key may be less
	}
}

func (s *textSum) setMax(v []byte, key uint64) {
	s.max = append(s.max[:0], v[:min(len(v), keepBytes)]...)
	s.above = key
	if key&0xff == longText {
		s.above--
	}
}

// longText is the last byte of the keys of values longer than their key.
const longText = 8

// textKey makes a number that sorts as values do: their first seven bytes and their length,
// at most 8. Only values of eight bytes or more can share a key without being the same.
func textKey(first uint64, length int) uint64 {
	return first&^0xff | uint64(min(length, longText))
}

// head is the first eight bytes of the value at start as a big-endian number, zeros after its end.
func head(data []byte, start int32, length int) uint64 {
	if b := data[start:]; len(b) >= 8 { // one load; bytes of the next value are shifted out
		return binary.BigEndian.Uint64(b) &^ (^uint64(0) >> (8 * uint(min(length, 8))))
	}
	var word uint64
	for i, c := range data[start : int(start)+length] {
		word |= uint64(c) << (56 - 8*i)
	}
	return word
}

func (s *textSum) result(c *ColumnDigest) {
	c.Bytes, c.Hash = s.bytes, s.hash
	if s.seen {
		c.Min, c.Max = bytes.Clone(s.min), bytes.Clone(s.max)
	}
}
