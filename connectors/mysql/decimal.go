package mysql

import "math/bits"

// pow10 holds the powers of ten that fit 64 bits.
var pow10 = [20]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}

// parseDecimal128 reads a decimal's text, as in -12.50, into a two's complement number of
// units of 10^-scale. It refuses text with more places than that or more than 38 digits.
func parseDecimal128(v []byte, scale int) (hi int64, lo uint64, ok bool) {
	if len(v) > 19 {
		w, ok := parseDecimal(v, scale, 38)
		return int64(w[1]), w[0], ok
	}
	i, neg := 0, false
	if len(v) > 0 && v[0] == '-' {
		i, neg = 1, true
	}
	if i == len(v) {
		return 0, 0, false
	}
	dot := -1
	for ; i < len(v); i++ {
		digit := v[i] - '0'
		if digit > 9 {
			if v[i] != '.' || dot >= 0 {
				return 0, 0, false
			}
			dot = i
			continue
		}
		lo = lo*10 + uint64(digit)
	}
	places := 0
	if dot >= 0 {
		places = len(v) - 1 - dot
	}
	if places != scale {
		w, ok := parseDecimal(v, scale, 38)
		return int64(w[1]), w[0], ok
	}
	if neg {
		return -int64(b2u(lo != 0)), -lo, true
	}
	return 0, lo, true
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// parseDecimal256 is parseDecimal128 for up to 76 digits, least significant word first.
func parseDecimal256(v []byte, scale int) ([4]uint64, bool) { return parseDecimal(v, scale, 76) }

// parseDecimal reads any decimal of at most maxDigits digits.
func parseDecimal(v []byte, scale, maxDigits int) (w [4]uint64, ok bool) {
	neg := false
	if len(v) > 0 && (v[0] == '-' || v[0] == '+') {
		neg, v = v[0] == '-', v[1:]
	}
	if len(v) == 0 {
		return w, false
	}
	digits, places, seen := 0, -1, false
	chunk, width := uint64(0), 0
	add := func(digit uint64) {
		if digits > 0 || digit > 0 {
			digits++
		}
		chunk, width = chunk*10+digit, width+1
		if width == 18 {
			mulAdd(&w, pow10[width], chunk)
			chunk, width = 0, 0
		}
	}
	for _, b := range v {
		switch {
		case b == '.' && places < 0:
			places = 0
		case b >= '0' && b <= '9':
			seen = true
			if places >= 0 {
				places++
			}
			if digits > maxDigits {
				return w, false
			}
			add(uint64(b - '0'))
		default:
			return w, false
		}
	}
	places = max(places, 0)
	if !seen || places > scale || scale > maxDigits {
		return w, false
	}
	for ; places < scale; places++ {
		add(0)
	}
	mulAdd(&w, pow10[width], chunk)
	if digits > maxDigits {
		return w, false
	}
	if neg {
		carry := uint64(1)
		for k := range w {
			w[k], carry = bits.Add64(^w[k], 0, carry)
		}
	}
	return w, true
}

// mulAdd makes w = w*m + a.
func mulAdd(w *[4]uint64, m, a uint64) {
	for k := range w {
		hi, lo := bits.Mul64(w[k], m)
		var carry uint64
		w[k], carry = bits.Add64(lo, a, 0)
		a = hi + carry
	}
}
