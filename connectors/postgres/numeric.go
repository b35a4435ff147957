package postgres

import (
	"encoding/binary"
	"math/bits"
)

// PostgreSQL sends a numeric as a header of four 16-bit words (how many digits, weight of
// the first, sign, digits to show after the point) and digits in base 10000.
const (
	numericHeader   = 8
	numericNegative = 0x4000
	numericNaN      = 0xC000
	numericInf      = 0xD000
	numericNegInf   = 0xF000
)

var pow10 = [...]uint64{1, 10, 100, 1000, 10000}

// number is a numeric as it came.
type number struct {
	digits []byte // two bytes each, big endian
	n      int    // how many digits
	weight int    // of the first digit, in powers of 10000
	sign   uint16
	scale  int // digits to show after the point
}

// parseNumber checks the frame, not the digits.
func parseNumber(v []byte) (number, bool) {
	if len(v) < numericHeader {
		return number{}, false
	}
	n := number{
		digits: v[numericHeader:],
		n:      int(binary.BigEndian.Uint16(v)),
		weight: int(int16(binary.BigEndian.Uint16(v[2:]))),
		sign:   binary.BigEndian.Uint16(v[4:]),
		scale:  int(binary.BigEndian.Uint16(v[6:]) & 0x3fff),
	}
	return n, len(n.digits) == 2*n.n
}

// digit is the i-th digit; those past the end are 0.
func (n *number) digit(i int) uint64 {
	if i < 0 || i >= n.n {
		return 0
	}
	return uint64(binary.BigEndian.Uint16(n.digits[2*i:]))
}

// groups says how many whole digits and how many decimal places of one more make up the number at scale.
func (n *number) groups(scale int) (whole, rest int) {
	return n.weight + 1 + scale/4, scale % 4
}

// exact says that nothing but zeros follows the digits used, and that all are digits.
func (n *number) exact(whole, rest int) bool {
	for i := range n.n {
		d := n.digit(i)
		switch {
		case d > 9999:
			return false
		case i < whole:
		case i == whole && rest > 0:
			if d%pow10[4-rest] != 0 {
				return false
			}
		case d != 0:
			return false
		}
	}
	return true
}

// unscaled64 is the number of digits and weight times 10^scale where that surely fits 64 bits: at most four
// whole digits, which are 16 decimal places, and three more. It refuses digits beyond scale.
func unscaled64(digits []byte, weight, scale int) (uint64, bool) {
	whole, rest := weight+1+scale>>2, scale&3
	if uint(whole) > 4 || len(digits) > 2*whole+2 {
		return 0, false
	}
	var v uint64
	for ; whole > 0 && len(digits) >= 2; whole-- {
		d := uint64(binary.BigEndian.Uint16(digits))
		if d > 9999 {
			return 0, false
		}
		v = v*10000 + d
		digits = digits[2:]
	}
	for ; whole > 0; whole-- {
		v *= 10000
	}
	var last uint32
	if len(digits) >= 2 {
		last = uint32(binary.BigEndian.Uint16(digits))
	}
	if last > 9999 {
		return 0, false
	}
	var kept, lost uint32
	switch rest { // dividing by constants is cheap
	case 0:
		return v, last == 0
	case 1:
		v, kept, lost = v*10, last/1000, last%1000
	case 2:
		v, kept, lost = v*100, last/100, last%100
	default:
		v, kept, lost = v*1000, last/10, last%10
	}
	return v + uint64(kept), lost == 0
}

// big is the number times 10^scale in 256 bits, least significant word first. It refuses
// numbers that don't fit or have more digits after the point than scale.
func (n *number) big(scale int) (w [4]uint64, ok bool) {
	whole, rest := n.groups(scale)
	if whole > 21 || !n.exact(whole, rest) { // 21 digits are 84 decimal places, more than any that fits
		return w, false
	}
	for i := range whole {
		if !mulAdd(&w, 10000, n.digit(i)) {
			return w, false
		}
	}
	last := uint64(0)
	if whole >= 0 {
		last = n.digit(whole) / pow10[4-rest]
	}
	return w, mulAdd(&w, pow10[rest], last) && w[3]>>63 == 0
}

// mulAdd makes w into w*m+a and says whether it still fits.
func mulAdd(w *[4]uint64, m, a uint64) bool {
	carry := a
	for i := range w {
		hi, lo := bits.Mul64(w[i], m)
		var c uint64
		w[i], c = bits.Add64(lo, carry, 0)
		carry = hi + c
	}
	return carry == 0
}

// negate is the two's complement of w.
func negate(w [4]uint64) [4]uint64 {
	carry := uint64(1)
	for i := range w {
		w[i], carry = bits.Add64(^w[i], 0, carry)
	}
	return w
}

// below says whether w < 10^precision.
func below(w [4]uint64, precision int) bool {
	limit := [4]uint64{1}
	for range precision {
		if !mulAdd(&limit, 10, 0) {
			return true
		}
	}
	for i := 3; i >= 0; i-- {
		if w[i] != limit[i] {
			return w[i] < limit[i]
		}
	}
	return false
}

// appendText appends the number as PostgreSQL prints it. ok is false for what no server sends.
func (n *number) appendText(b []byte) (_ []byte, ok bool) {
	switch n.sign {
	case numericNaN:
		return append(b, "NaN"...), true
	case numericInf:
		return append(b, "Infinity"...), true
	case numericNegInf:
		return append(b, "-Infinity"...), true
	case numericNegative:
		b = append(b, '-')
	case 0:
	default:
		return b, false
	}
	for i := range n.n {
		if n.digit(i) > 9999 {
			return b, false
		}
	}
	if n.weight < 0 {
		b = append(b, '0')
	}
	for i := 0; i <= n.weight; i++ {
		b = appendDigit(b, n.digit(i), i == 0)
	}
	if n.scale == 0 {
		return b, true
	}
	b = append(b, '.')
	end := len(b) + n.scale
	for i := n.weight + 1; len(b) < end; i++ {
		b = appendDigit(b, n.digit(i), false)
	}
	return b[:end], true
}

// appendDigit appends one base-10000 digit, all four places unless it is the first.
func appendDigit(b []byte, d uint64, first bool) []byte {
	places := 4
	if first {
		for places = 1; places < 4 && d >= pow10[places]; places++ {
		}
	}
	for p := places - 1; p >= 0; p-- {
		b = append(b, byte('0'+d/pow10[p]%10))
	}
	return b
}
