package format

import (
	"math/bits"

	"github.com/kitamae/kitamae/batch"
)

// maxUint64Digits is how many decimal digits always fit 64 bits.
const maxUint64Digits = 19

// maxDecimalDigits is how many digits a decimal of 256 bits may have.
const maxDecimalDigits = 76

// decimalParser reads [-]digits[.digits] with exactly scale digits after the point, and
// gives put the scaled number as 256 bits of two's complement, least significant word first.
func decimalParser(scale int32, put func(*batch.Column, [4]uint64)) parser {
	return func(c *batch.Column, text []byte) error {
		digits, negative := text, false
		if len(text) > 0 && text[0] == '-' {
			digits, negative = text[1:], true
		}
		var w [4]uint64
		var part, power uint64 = 0, 1
		n, after := 0, int32(-1)
		for _, d := range digits {
			if d == '.' && after < 0 && n > 0 {
				after = 0
				continue
			}
			if d -= '0'; d > 9 {
				return notA("decimal", text)
			}
			if after >= 0 {
				after++
			}
			part, power = part*10+uint64(d), power*10
			if n++; n%maxUint64Digits == 0 {
				w = mulAdd(w, power, part)
				part, power = 0, 1
			}
		}
		w = mulAdd(w, power, part)
		if n == 0 || n > maxDecimalDigits+1 || max(after, 0) != max(scale, 0) {
			return notA("decimal", text)
		}
		if negative {
			w = negate(w)
		}
		put(c, w)
		return nil
	}
}

// mulAdd is w*m + a.
func mulAdd(w [4]uint64, m, a uint64) [4]uint64 {
	carry := a
	for k := range w {
		hi, lo := bits.Mul64(w[k], m)
		var c uint64
		w[k], c = bits.Add64(lo, carry, 0)
		carry = hi + c
	}
	return w
}

func negate(w [4]uint64) [4]uint64 {
	var borrow uint64
	for k := range w {
		w[k], borrow = bits.Sub64(0, w[k], borrow)
	}
	return w
}
