package postgres

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
)

// errNull says that a value has no Arrow form and is null there: infinite dates, NaN and the like.
var errNull = errors.New("null")

// appendParsed parses the server's text form of a value. It shares no code with the decoder: the sample is
// there to find the decoder's mistakes.
func appendParsed(b array.Builder, t arrow.DataType, text string) error {
	err := parsed(b, t, text)
	switch {
	case errors.Is(err, errNull):
		b.AppendNull()
	case err != nil:
		return fmt.Errorf("text of %s: %w", t, err)
	}
	return nil
}

func parsed(b array.Builder, t arrow.DataType, text string) (err error) {
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(text == "t")
	case *array.Int16Builder:
		return number10(text, 16, b.Append)
	case *array.Int32Builder:
		return number10(text, 32, b.Append)
	case *array.Int64Builder:
		return number10(text, 64, b.Append)
	case *array.Uint32Builder:
		return number10(text, 64, b.Append)
	case *array.Float32Builder:
		var v float64
		if v, err = strconv.ParseFloat(text, 32); err == nil {
			b.Append(float32(v))
		}
	case *array.Float64Builder:
		var v float64
		if v, err = strconv.ParseFloat(text, 64); err == nil {
			b.Append(v)
		}
	case *array.StringBuilder:
		b.Append(text)
	case *array.BinaryBuilder:
		var v []byte
		if v, err = hex.DecodeString(strings.TrimPrefix(text, `\x`)); err == nil {
			b.Append(v)
		}
	case *array.Decimal128Builder:
		var v *big.Int
		if v, err = unscaled(text, t.(arrow.DecimalType).GetScale()); err == nil {
			b.Append(decimal128.FromBigInt(v))
		}
	case *array.Decimal256Builder:
		var v *big.Int
		if v, err = unscaled(text, t.(arrow.DecimalType).GetScale()); err == nil {
			b.Append(decimal256.FromBigInt(v))
		}
	case *array.Date32Builder:
		var v time.Time
		if v, err = calendar(text); err == nil {
			b.Append(arrow.Date32(v.Unix() / 86400))
		}
	case *array.TimestampBuilder:
		var v int64
		if v, err = micros(text); err == nil {
			b.Append(arrow.Timestamp(v))
		}
	case *array.Time64Builder:
		var v int64
		if v, err = clock(text); err == nil {
			b.Append(arrow.Time64(v))
		}
	case *array.MonthDayNanoIntervalBuilder:
		var v arrow.MonthDayNanoInterval
		if v, err = iso8601(text); err == nil {
			b.Append(v)
		}
	case *array.ListBuilder:
		return elements(b, t.(*arrow.ListType).Elem(), text)
	default:
		return fmt.Errorf("no parser")
	}
	return err
}

func number10[T int16 | int32 | int64 | uint32](text string, bits int, add func(T)) error {
	v, err := strconv.ParseInt(text, 10, bits)
	if err == nil {
		add(T(v))
	}
	return err
}

// unscaled is the digits of a decimal number with scale places after the point.
func unscaled(text string, scale int32) (*big.Int, error) {
	if strings.HasSuffix(text, "NaN") || strings.HasSuffix(text, "Infinity") {
		return nil, errNull
	}
	whole, places, _ := strings.Cut(text, ".")
	if missing := int(scale) - len(places); missing > 0 {
		places += strings.Repeat("0", missing)
	}
	v, ok := new(big.Int).SetString(whole+places, 10)
	if !ok || len(places) != int(scale) {
		return nil, fmt.Errorf("%q is not a number of %d places", text, scale)
	}
	return v, nil
}

// calendar parses a date such as 2024-01-02 or 0044-03-15 BC.
func calendar(text string) (time.Time, error) {
	if strings.HasSuffix(text, "infinity") {
		return time.Time{}, errNull
	}
	text, before := strings.CutSuffix(text, " BC")
	var y, m, d int
	if _, err := fmt.Sscanf(text, "%d-%d-%d", &y, &m, &d); err != nil {
		return time.Time{}, err
	}
	if before {
		y = 1 - y
	}
	return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC), nil
}

// micros parses a timestamp, with or without +00 at its end, into microseconds since 1970.
func micros(text string) (int64, error) {
	if strings.HasSuffix(text, "infinity") {
		return 0, errNull
	}
	text, before := strings.CutSuffix(text, " BC")
	date, rest, _ := strings.Cut(text, " ")
	if before {
		date += " BC"
	}
	day, err := calendar(date)
	if err != nil {
		return 0, err
	}
	us, err := clock(strings.TrimSuffix(rest, "+00"))
	if err != nil {
		return 0, err
	}
	sum := new(big.Int).Mul(big.NewInt(day.Unix()), big.NewInt(1_000_000))
	sum.Add(sum, big.NewInt(us))
	if !sum.IsInt64() {
		return 0, errNull
	}
	return sum.Int64(), nil
}

// clock parses a time of day into microseconds.
func clock(text string) (int64, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return 0, fmt.Errorf("%q is not a time", text)
	}
	h, err1 := strconv.ParseInt(parts[0], 10, 64)
	m, err2 := strconv.ParseInt(parts[1], 10, 64)
	s, err3 := unscaled(parts[2], 6)
	if err := errors.Join(err1, err2, err3); err != nil {
		return 0, err
	}
	return (h*60+m)*60_000_000 + s.Int64(), nil
}

// iso8601 parses an interval such as P1Y2M-3DT4H5M-6.789S; each part has its own sign.
func iso8601(text string) (v arrow.MonthDayNanoInterval, err error) {
	if strings.HasSuffix(text, "infinity") {
		return v, errNull
	}
	rest, ok := strings.CutPrefix(text, "P")
	if !ok {
		return v, fmt.Errorf("%q is not an interval", text)
	}
	var us int64
	inTime := false
	for rest != "" {
		if rest[0] == 'T' {
			inTime, rest = true, rest[1:]
			continue
		}
		end := strings.IndexFunc(rest, func(r rune) bool { return r >= 'A' && r <= 'Z' })
		if end < 1 {
			return v, fmt.Errorf("%q is not an interval", text)
		}
		unit := rest[end]
		n, err := unscaled(rest[:end], 6)
		if err != nil {
			return v, err
		}
		whole := new(big.Int).Quo(n, big.NewInt(1_000_000)).Int64()
		switch {
		case unit == 'S':
			us += n.Int64()
		case unit == 'H':
			us += whole * 3_600_000_000
		case unit == 'M' && inTime:
			us += whole * 60_000_000
		case unit == 'D':
			v.Days += int32(whole)
		case unit == 'M':
			v.Months += int32(whole)
		case unit == 'Y':
			v.Months += int32(whole) * 12
		default:
			return v, fmt.Errorf("%q is not an interval", text)
		}
		rest = rest[end+1:]
	}
	if us > maxMicros || us < math.MinInt64/1000 {
		return v, errNull
	}
	v.Nanoseconds = us * 1000
	return v, nil
}

// elements parses an array of one dimension such as {1,NULL,"a \"b\""}, with or without its bounds in front.
func elements(b *array.ListBuilder, elem arrow.DataType, text string) error {
	if strings.HasPrefix(text, "[") {
		_, text, _ = strings.Cut(text, "=")
	}
	inner, ok1 := strings.CutPrefix(text, "{")
	inner, ok2 := strings.CutSuffix(inner, "}")
	if !ok1 || !ok2 || strings.HasPrefix(inner, "{") {
		return fmt.Errorf("%q is not an array of one dimension", text)
	}
	b.Append(true)
	for inner != "" {
		value, quoted, rest := element(inner)
		if !quoted && strings.EqualFold(value, "NULL") {
			b.ValueBuilder().AppendNull()
		} else if err := appendParsed(b.ValueBuilder(), elem, value); err != nil {
			return err
		}
		inner = rest
	}
	return nil
}

// element takes the first element off a list of them.
func element(s string) (value string, quoted bool, rest string) {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			out.WriteByte(s[i])
		case c == '"':
			quoted = !quoted
			if !quoted {
				return out.String(), true, strings.TrimPrefix(s[i+1:], ",")
			}
		case c == ',' && !quoted:
			return out.String(), false, s[i+1:]
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), quoted, ""
}
