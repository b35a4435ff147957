package batch

import (
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
)

// AppendDecimal128 appends v × 10^-scale exactly, with all digits of the scale: 1.50 stays
// 1.50. It allocates nothing beyond dst.
func AppendDecimal128(dst []byte, v decimal128.Num, scale int32) []byte {
	lo, hi := v.LowBits(), uint64(v.HighBits())
	negative := v.HighBits() < 0
	if negative {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	var digits [maxDigits]byte
	i := maxDigits
	for hi != 0 {
		var rem uint64
		top := hi % chunk
		hi /= chunk
		lo, rem = bits.Div64(top, lo, chunk)
		i = putChunk(&digits, i, rem)
	}
	return appendDigits(dst, trim(putLast(&digits, i, lo)), scale, negative)
}

// AppendDecimal256 appends v × 10^-scale exactly, as [AppendDecimal128] does.
func AppendDecimal256(dst []byte, v decimal256.Num, scale int32) []byte {
	w := v.Array() // least significant word first
	negative := w[3]>>63 == 1
	if negative {
		var borrow uint64
		for k := range w {
			w[k], borrow = bits.Sub64(0, w[k], borrow)
		}
	}
	var digits [maxDigits]byte
	i := maxDigits
	for w[1]|w[2]|w[3] != 0 {
		var rem uint64
		for k := 3; k >= 0; k-- {
			w[k], rem = bits.Div64(rem, w[k], chunk)
		}
		i = putChunk(&digits, i, rem)
	}
	return appendDigits(dst, trim(putLast(&digits, i, w[0])), scale, negative)
}

// Digits are made in chunks of 19, the most a 64-bit word holds. 80 are enough for 2^255.
const (
	chunk       = 1e19
	chunkDigits = 19
	maxDigits   = 80 + chunkDigits
)

// putChunk writes exactly 19 digits of v before position i.
func putChunk(digits *[maxDigits]byte, i int, v uint64) int {
	for range chunkDigits {
		i--
		digits[i] = byte('0' + v%10)
		v /= 10
	}
	return i
}

// putLast writes the leading digits and returns all of them.
func putLast(digits *[maxDigits]byte, i int, v uint64) []byte {
	for v != 0 {
		i--
		digits[i] = byte('0' + v%10)
		v /= 10
	}
	return digits[i:]
}

// trim drops leading zeros: a chunk is written whole even where the number ends in it.
func trim(digits []byte) []byte {
	for len(digits) > 0 && digits[0] == '0' {
		digits = digits[1:]
	}
	return digits
}

// appendDigits puts sign and point around the digits of a number; no digits mean zero.
func appendDigits(dst, digits []byte, scale int32, negative bool) []byte {
	if negative {
		dst = append(dst, '-')
	}
	if scale <= 0 {
		if len(digits) == 0 {
			return append(dst, '0')
		}
		dst = append(dst, digits...)
		for ; scale < 0; scale++ {
			dst = append(dst, '0')
		}
		return dst
	}
	whole := len(digits) - int(scale)
	if whole <= 0 {
		dst = append(dst, '0', '.')
		for ; whole < 0; whole++ {
			dst = append(dst, '0')
		}
		return append(dst, digits...)
	}
	dst = append(dst, digits[:whole]...)
	dst = append(dst, '.')
	return append(dst, digits[whole:]...)
}
