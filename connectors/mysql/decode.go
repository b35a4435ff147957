package mysql

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/kitamae/kitamae/batch"
)

// code says how one column's values lie in a binary row and what they become. It is chosen
// once for each column of an answer; see [pick].
type code byte

// The codes. Widths come first, so that fixed ones need no length.
const (
	asByte  code = iota // int8, uint8
	asTwo               // int16, uint16, year
	asFour              // int32, uint32, float32
	asEight             // int64, uint64, float64
	boolByte
	boolTwo
	boolFour
	boolEight
	asDate
	asDateTime
	asTime
	asText
	asBytes
	asGeometry
	asBit
	boolBit
	asDecimal128
	asDecimal256
)

// cell is one column of an answer: where its values go and what was met on the way.
type cell struct {
	code  code
	key   bool // part of the table's key
	scale int32
	col   *batch.Column
	name  string
	// typeName is the Arrow type's, for messages.
	typeName string
	// Values that could not be kept, by what became of them; see [cell.changed].
	zeroDates, impossibleDates, badText int64
}

// What becomes of values that no Arrow type can hold.
const (
	zeroDateNull       = "zero date, now null"
	impossibleDateNull = "impossible date, now null"
	badTextReplaced    = "invalid UTF-8, replaced by U+FFFD"
)

// changed adds what the cell counted to into, by column.
func (c *cell) changed(into map[string]map[string]int64) {
	for what, n := range map[string]int64{zeroDateNull: c.zeroDates, impossibleDateNull: c.impossibleDates, badTextReplaced: c.badText} {
		if n > 0 {
			if into[c.name] == nil {
				into[c.name] = map[string]int64{}
			}
			into[c.name][what] += n
		}
	}
}

// rowDecoder takes binary rows apart. It serves one reading.
type rowDecoder struct {
	cells    []cell
	table    string
	maxValue int // bytes
}

// errShort is a row that ends before its last value.
var errShort = fmt.Errorf("%w: row cut short", errMalformed)

// row appends the values of one binary row, as many as there are cells. p aliases the
// socket's buffer and is not kept. After an error the columns hold a torn row and are
// not used any more.
func (d *rowDecoder) row(p []byte) error {
	i := 1 + (len(d.cells)+9)/8
	if len(p) < i {
		return errShort
	}
	nulls := p[1:i]
	some := anySet(nulls)
	for k := range d.cells {
		c := &d.cells[k]
		if bit := uint(k) + 2; some && nulls[bit>>3]>>(bit&7)&1 == 1 {
			c.col.Null()
			continue
		}
		switch c.code {
		case asFour:
			if len(p)-i < 4 {
				return errShort
			}
			c.col.Uint32(binary.LittleEndian.Uint32(p[i:]))
			i += 4
		case asEight:
			if len(p)-i < 8 {
				return errShort
			}
			c.col.Uint64(binary.LittleEndian.Uint64(p[i:]))
			i += 8
		case asByte:
			if i >= len(p) {
				return errShort
			}
			c.col.Uint8(p[i])
			i++
		case asTwo:
			if len(p)-i < 2 {
				return errShort
			}
			c.col.Uint16(binary.LittleEndian.Uint16(p[i:]))
			i += 2
		case boolByte, boolTwo, boolFour, boolEight:
			size := 1 << (c.code - boolByte)
			if len(p)-i < size {
				return errShort
			}
			c.col.Bool(anySet(p[i : i+size]))
			i += size
		default: // a length comes first
			if i >= len(p) {
				return errShort
			}
			n, size := int(p[i]), 1
			if n >= 0xfb {
				var long uint64
				if long, size = lengthOf(p[i:]); size == 0 || long > math.MaxInt32 {
					return errShort
				}
				n = int(long)
			}
			i += size
			if n > len(p)-i {
				return errShort
			}
			if n > d.maxValue {
				return d.tooLarge(p, k, n)
			}
			v := p[i : i+n]
			i += n
			// The commonest cases stand here: a call a value would cost as much as the work.
			switch {
			case c.code == asText && utf8.Valid(v):
				c.col.Value(v)
				continue
			case c.code == asDecimal128:
				if hi, lo, ok := parseDecimal128(v, int(c.scale)); ok {
					c.col.Decimal128(hi, lo)
					continue
				}
			case c.code == asDate && n == 4:
				if days, ok := daysFromCivil(int(v[0])|int(v[1])<<8, int(v[2]), int(v[3])); ok {
					c.col.Uint32(uint32(days))
					continue
				}
			}
			if err := c.sized(v); err != nil {
				return fmt.Errorf("column %s: %w", c.name, err)
			}
		}
	}
	if i != len(p) {
		return fmt.Errorf("%w: %d bytes behind the last value of a row", errMalformed, len(p)-i)
	}
	return nil
}

// sized appends a value that came with its length.
func (c *cell) sized(v []byte) error {
	switch c.code {
	case asText:
		if !utf8.Valid(v) {
			c.badText++
			v = bytes.ToValidUTF8(v, []byte("\uFFFD"))
		}
		c.col.Value(v)
	case asDecimal128:
		hi, lo, ok := parseDecimal128(v, int(c.scale))
		if !ok {
			return fmt.Errorf("%w: %q is no decimal with %d places", errMalformed, clip(v), c.scale)
		}
		c.col.Decimal128(hi, lo)
	case asDate:
		days, _, err := c.instant(v)
		if err != nil || days == math.MinInt32 {
			return err
		}
		c.col.Uint32(uint32(days))
	case asDateTime:
		days, micros, err := c.instant(v)
		if err != nil || days == math.MinInt32 {
			return err
		}
		c.col.Uint64(uint64(int64(days)*microsPerDay + micros))
	case asBytes:
		c.col.Value(v)
	case asTime:
		micros, err := parseTime(v)
		if err != nil {
			return err
		}
		c.col.Uint64(uint64(micros))
	case asDecimal256:
		words, ok := parseDecimal256(v, int(c.scale))
		if !ok {
			return fmt.Errorf("%w: %q is no decimal with %d places", errMalformed, clip(v), c.scale)
		}
		c.col.Decimal256(words)
	case asGeometry:
		if len(v) < 4 {
			return fmt.Errorf("%w: geometry of %d bytes", errMalformed, len(v))
		}
		c.col.Value(v[4:]) // behind the SRID
	case asBit:
		if len(v) > 8 {
			return fmt.Errorf("%w: bit value of %d bytes", errMalformed, len(v))
		}
		var bits uint64
		for _, b := range v {
			bits = bits<<8 | uint64(b)
		}
		c.col.Uint64(bits)
	case boolBit:
		c.col.Bool(anySet(v))
	default:
		return fmt.Errorf("no decoder %d", c.code)
	}
	return nil
}

// instant reads a date or datetime. For one that is none it appends a null, counts it and returns
// math.MinInt32 days.
func (c *cell) instant(v []byte) (days int32, micros int64, err error) {
	switch len(v) {
	case 0, 4, 7, 11:
	default:
		return 0, 0, fmt.Errorf("%w: date of %d bytes", errMalformed, len(v))
	}
	var year, month, day int
	if len(v) >= 4 {
		year, month, day = int(binary.LittleEndian.Uint16(v)), int(v[2]), int(v[3])
	}
	if month == 0 || day == 0 {
		c.zeroDates++
		c.col.Null()
		return math.MinInt32, 0, nil
	}
	if len(v) >= 7 {
		if v[4] > 23 || v[5] > 59 || v[6] > 59 {
			return 0, 0, fmt.Errorf("%w: time of day %d:%d:%d", errMalformed, v[4], v[5], v[6])
		}
		micros = (int64(v[4])*3600 + int64(v[5])*60 + int64(v[6])) * 1e6
	}
	if len(v) == 11 {
		micros += int64(binary.LittleEndian.Uint32(v[7:]))
	}
	days, ok := daysFromCivil(year, month, day)
	if !ok {
		c.impossibleDates++
		c.col.Null()
		return math.MinInt32, 0, nil
	}
	return days, micros, nil
}

func anySet(v []byte) bool {
	for _, b := range v {
		if b != 0 {
			return true
		}
	}
	return false
}

// clip keeps what an error quotes short.
func clip(v []byte) []byte { return v[:min(len(v), 80)] }
