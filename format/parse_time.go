package format

import (
	"bytes"
	"math"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
)

const (
	microsPerSecond = 1_000_000
	secondsPerDay   = 86_400
)

// timeParser reads what batch's AppendDate, AppendTimestamp, AppendTime, AppendDuration
// and AppendInterval write, in the contract's units; nil for other types.
func timeParser(t arrow.DataType) parser {
	switch t := t.(type) {
	case *arrow.Date32Type:
		return func(c *batch.Column, text []byte) error {
			days, rest, ok := parseDate(text)
			if !ok || len(rest) > 0 || days != int64(int32(days)) {
				return notA("date", text)
			}
			c.Uint32(uint32(days))
			return nil
		}
	case *arrow.TimestampType:
		if t.Unit == arrow.Microsecond {
			return timestampParser(t.TimeZone != "")
		}
	case *arrow.Time64Type:
		if t.Unit == arrow.Microsecond {
			return clockParser("time", false)
		}
	case *arrow.DurationType:
		if t.Unit == arrow.Microsecond {
			return clockParser("duration", true)
		}
	case *arrow.MonthDayNanoIntervalType:
		return parseInterval
	}
	return nil
}

func timestampParser(zoned bool) parser {
	return func(c *batch.Column, text []byte) error {
		rest, z := bytes.CutSuffix(text, []byte("Z"))
		days, rest, ok := parseDate(rest)
		if !ok || z != zoned || len(rest) == 0 || rest[0] != 'T' {
			return notA("timestamp", text)
		}
		sec, micros, ok := parseClock(rest[1:])
		if !ok {
			return notA("timestamp", text)
		}
		c.Uint64(uint64((days*secondsPerDay+sec)*microsPerSecond + micros)) // at both ends of int64 the sum wraps back
		return nil
	}
}

func clockParser(what string, signed bool) parser {
	return func(c *batch.Column, text []byte) error {
		rest, negative := text, false
		if signed {
			rest, negative = bytes.CutPrefix(text, []byte("-"))
		}
		sec, micros, ok := parseClock(rest)
		if !ok {
			return notA(what, text)
		}
		v := uint64(sec)*microsPerSecond + uint64(micros)
		if negative {
			v = -v
		}
		c.Uint64(v)
		return nil
	}
}

// parseDate reads [-]Y-MM-DD and returns days since 1970 and what follows.
func parseDate(text []byte) (days int64, rest []byte, ok bool) {
	text, negative := bytes.CutPrefix(text, []byte("-"))
	year, text, ok := number(text)
	if !ok || len(text) < 6 || text[0] != '-' || text[3] != '-' {
		return 0, nil, false
	}
	month, _, ok1 := number(text[1:3])
	day, _, ok2 := number(text[4:6])
	if !ok1 || !ok2 || month < 1 || month > 12 || day < 1 || day > 31 {
		return 0, nil, false
	}
	if negative {
		year = -year
	}
	return daysSince1970(year, month, day), text[6:], true
}

// daysSince1970 counts in years that begin in March and in eras of 400 years, so that a leap day comes last.
func daysSince1970(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := year / 400
	if year < 0 {
		era = (year - 399) / 400
	}
	y := year - era*400
	d := (153*(month-3)+2)/5 + day - 1
	return era*146_097 + y*365 + y/4 - y/100 + d - 719_468
}

// parseClock reads H:MM:SS[.f], with at most six digits behind the point.
func parseClock(text []byte) (sec, micros int64, ok bool) {
	h, text, ok := number(text)
	if !ok || len(text) < 6 || text[0] != ':' || text[3] != ':' {
		return 0, 0, false
	}
	m, _, ok1 := number(text[1:3])
	s, _, ok2 := number(text[4:6])
	if !ok1 || !ok2 || m > 59 || s > 59 {
		return 0, 0, false
	}
	if text = text[6:]; len(text) > 0 {
		nanos, rest, ok := fraction(text)
		if !ok || len(rest) > 0 || nanos%1000 != 0 {
			return 0, 0, false
		}
		micros = nanos / 1000
	}
	return h*3600 + m*60 + s, micros, true
}

// fraction reads .f as nanoseconds, and returns what follows.
func fraction(text []byte) (nanos int64, rest []byte, ok bool) {
	if len(text) < 2 || text[0] != '.' {
		return 0, nil, false
	}
	v, rest, ok := number(text[1:])
	digits := len(text) - 1 - len(rest)
	if !ok || digits > 9 {
		return 0, nil, false
	}
	for ; digits < 9; digits++ {
		v *= 10
	}
	return v, rest, true
}

// number reads the digits text starts with.
func number(text []byte) (v int64, rest []byte, ok bool) {
	i := 0
	for ; i < len(text) && text[i]-'0' <= 9; i++ {
		if v > (math.MaxInt64-9)/10 {
			return 0, nil, false
		}
		v = v*10 + int64(text[i]-'0')
	}
	return v, text[i:], i > 0
}

// parseInterval reads an ISO 8601 duration in which every part has its own sign.
func parseInterval(c *batch.Column, text []byte) error {
	var months, days, nanos int64
	rest, ok := bytes.CutPrefix(text, []byte("P"))
	clock := false
	for len(rest) > 0 && ok {
		if rest[0] == 'T' && !clock {
			clock, rest = true, rest[1:]
			continue
		}
		var v, frac int64
		var negative bool
		rest, negative = bytes.CutPrefix(rest, []byte("-"))
		if v, rest, ok = number(rest); !ok {
			break
		}
		if len(rest) > 0 && rest[0] == '.' {
			if frac, rest, ok = fraction(rest); !ok {
				break
			}
		}
		if negative {
			v, frac = -v, -frac
		}
		if len(rest) == 0 {
			ok = false
			break
		}
		switch unit := rest[0]; {
		case unit == 'Y' && !clock:
			months += v * 12
		case unit == 'M' && !clock:
			months += v
		case unit == 'D' && !clock:
			days += v
		case unit == 'H' && clock:
			nanos += v * 3600e9
		case unit == 'M' && clock:
			nanos += v * 60e9
		case unit == 'S' && clock:
			nanos += v*1e9 + frac
		default:
			ok = false
		}
		rest = rest[1:]
	}
	if !ok || months != int64(int32(months)) || days != int64(int32(days)) {
		return notA("interval", text)
	}
	c.Interval(int32(months), int32(days), nanos)
	return nil
}
