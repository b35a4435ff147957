package sqlite

import (
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/kitamae/kitamae/batch"
)

// decoder puts one column's values into an Arrow column. It never guesses: a value that
// the column's type can't hold is refused.
type decoder struct {
	typ    arrow.Type
	target declared // precision and scale of a decimal
	zoned  bool
	strict bool // a boolean that must be 0 or 1
	max    int  // bytes one value may have
}

// refusal is why a value can't be decoded.
type refusal int

const (
	accepted refusal = iota
	misfit           // the survey that chose the type did not see such a value
	tooLarge
)

// decode reads column i of the current row into out.
func (d *decoder) decode(s *stmt, i int, out *batch.Column) refusal {
	class := s.class(i)
	if class == null {
		out.Null()
		return accepted
	}
	switch d.typ {
	case arrow.INT64:
		if class != integer {
			return misfit
		}
		out.Uint64(uint64(s.integer(i)))
	case arrow.FLOAT64:
		v, ok := s.float(i, class)
		if !ok {
			return misfit
		}
		out.Uint64(math.Float64bits(v))
	case arrow.STRING, arrow.BINARY:
		return d.bytes(s, i, class, out)
	case arrow.BOOL:
		if class != integer {
			return misfit
		}
		v := s.integer(i)
		if d.strict && v != 0 && v != 1 {
			return misfit
		}
		out.Bool(v != 0)
	case arrow.DATE32:
		days, ok := int32(0), false
		if class == text {
			days, ok = parseDate(s.text(i))
		}
		if !ok {
			return misfit
		}
		out.Uint32(uint32(days))
	case arrow.TIMESTAMP:
		if class != text {
			return misfit
		}
		t, ok := parseTimestamp(s.text(i))
		if !ok || (t.zone != "") != d.zoned {
			return misfit
		}
		out.Uint64(uint64(t.micros))
	case arrow.DECIMAL128:
		v, ok := s.decimal(i, class, d.target)
		if !ok {
			return misfit
		}
		out.Decimal128(v.HighBits(), v.LowBits())
	default:
		return misfit
	}
	return accepted
}

// bytes decodes into text or bytes. Numbers are written in decimal and a blob among
// texts as SQLite's own literal, X'0AFF'.
func (d *decoder) bytes(s *stmt, i int, class class, out *batch.Column) refusal {
	switch class {
	case integer:
		out.SetBuf(strconv.AppendInt(out.Buf(), s.integer(i), 10))
	case real:
		out.SetBuf(appendReal(out.Buf(), s.real(i)))
	case text:
		v := s.text(i)
		switch {
		case len(v) > d.max:
			return tooLarge
		case d.typ == arrow.STRING && !utf8.Valid(v):
			return misfit
		}
		out.Value(v)
	default:
		v := s.blob(i)
		switch {
		case len(v) > d.max:
			return tooLarge
		case d.typ == arrow.BINARY:
			out.Value(v)
		default:
			out.SetBuf(appendBlob(out.Buf(), v))
		}
	}
	return accepted
}

// float is a real, or an integer that a float64 equals.
func (s *stmt) float(i int, class class) (float64, bool) {
	switch class {
	case real:
		return s.real(i), true
	case integer:
		v := s.integer(i)
		return float64(v), exact(v)
	}
	return 0, false
}

// exact says whether a float64 equals v.
func exact(v int64) bool {
	const whole = 1 << 53
	if v >= -whole && v <= whole {
		return true
	}
	f := float64(v)
	return f < math.MaxInt64 && int64(f) == v // float64(MaxInt64) is 2^63, which no int64 is
}

// decimal is a number as a decimal of the declared precision and scale, if it is one: a
// real is the decimal number that is written shortest among those that round to it.
func (s *stmt) decimal(i int, class class, d declared) (decimal128.Num, bool) {
	switch class {
	case integer:
		v := decimal128.FromI64(s.integer(i))
		if !v.FitsInPrecision(d.precision - d.scale) {
			return v, v == decimal128.Num{}
		}
		return v.IncreaseScaleBy(d.scale), true
	case real:
		return decimalOf(s.real(i), d)
	}
	return decimal128.Num{}, false
}

// maxShort is the largest number of 15 digits: two decimals that short never round to the same float64.
const maxShort = 999_999_999_999_999

func decimalOf(v float64, d declared) (decimal128.Num, bool) {
	if d.scale <= 15 {
		power := powersOf10[d.scale]
		scaled := math.RoundToEven(v * power)
		if math.Abs(scaled) <= maxShort && scaled/power == v {
			n := decimal128.FromI64(int64(scaled))
			return n, n.FitsInPrecision(d.precision)
		}
	}
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return decimal128.Num{}, false
	}
	var buf [400]byte // -1.8e308 and its like, written out
	digits := strconv.AppendFloat(buf[:0], math.Abs(v), 'f', -1, 64)
	n, fraction, point := decimal128.Num{}, int32(0), false
	ten := decimal128.FromI64(10)
	for _, c := range digits {
		if c == '.' {
			point = true
			continue
		}
		if point {
			fraction++
		}
		if !n.FitsInPrecision(37) {
			return n, false
		}
		n = n.Mul(ten).Add(decimal128.FromI64(int64(c - '0')))
	}
	if fraction > d.scale || !n.FitsInPrecision(d.precision-d.scale+fraction) {
		return n, false
	}
	n = n.IncreaseScaleBy(d.scale - fraction)
	if v < 0 {
		n = n.Negate()
	}
	return n, true
}

var powersOf10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// appendReal writes the shortest decimal that reads back as v, and so that it looks like a real.
func appendReal(b []byte, v float64) []byte {
	if math.IsInf(v, 0) {
		if v < 0 {
			b = append(b, '-')
		}
		return append(b, "Inf"...)
	}
	start := len(b)
	b = strconv.AppendFloat(b, v, 'g', -1, 64)
	for _, c := range b[start:] {
		if c == '.' || c == 'e' {
			return b
		}
	}
	return append(b, '.', '0')
}

const upperHex = "0123456789ABCDEF"

func appendBlob(b, v []byte) []byte {
	b = append(b, "X'"...)
	for _, c := range v {
		b = append(b, upperHex[c>>4], upperHex[c&15])
	}
	return append(b, '\'')
}
