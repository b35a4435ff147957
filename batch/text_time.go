package batch

import (
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
)

const secondsPerDay = 86_400

// AppendDate appends days since 1970-01-01 as an ISO date in the proleptic Gregorian
// calendar. Years past 9999 have as many digits as they need, without a plus, and years before
// 0000 (which is 1 BC) a minus: 12345-01-01, -0043-03-15. PostgreSQL, DuckDB and people read the former, ISO
// 8601 and DuckDB the latter.
func AppendDate(dst []byte, days int64) []byte {
	year, month, day := civil(days)
	if year < 0 {
		dst = append(dst, '-')
		year = -year
	}
	for limit := int64(1000); limit > 1 && year < limit; limit /= 10 {
		dst = append(dst, '0')
	}
	dst = strconv.AppendInt(dst, year, 10)
	dst = append(dst, '-')
	dst = append2(dst, month)
	dst = append(dst, '-')
	return append2(dst, day)
}

// AppendTimestamp appends a time since 1970-01-01T00:00:00 as ISO 8601, with a T and a
// fraction only where there is one. With zoned it is an instant and ends in Z; without it is what a clock
// on a wall showed.
func AppendTimestamp(dst []byte, v int64, unit arrow.TimeUnit, zoned bool) []byte {
	sec, nanos := split(v, unit)
	days := floorDiv(sec, secondsPerDay)
	dst = AppendDate(dst, days)
	dst = append(dst, 'T')
	dst = appendClock(dst, sec-days*secondsPerDay, nanos)
	if zoned {
		dst = append(dst, 'Z')
	}
	return dst
}

// AppendTime appends a time of day as HH:MM:SS with a fraction only where there is one. 24:00:00 is one.
func AppendTime(dst []byte, v int64, unit arrow.TimeUnit) []byte {
	sec, nanos := split(v, unit)
	return appendClock(dst, sec, nanos)
}

// AppendDuration appends a length of time as [-]HH:MM:SS[.ffffff]: hours have at least two digits and no
// upper bound.
func AppendDuration(dst []byte, v int64, unit arrow.TimeUnit) []byte {
	sec, nanos := split(v, unit)
	if sec < 0 {
		dst = append(dst, '-')
		sec = -sec
		if nanos != 0 { // split rounds down: -0.25 s is second -1 and 0.75
			sec, nanos = sec-1, 1e9-nanos
		}
	}
	return appendClock(dst, sec, nanos)
}

// AppendInterval appends a calendar interval as an ISO 8601 duration, such as
// P1Y2M3DT4H5M6.789S. Each part has its own sign; nothing at all is PT0S.
func AppendInterval(dst []byte, v arrow.MonthDayNanoInterval) []byte {
	dst = append(dst, 'P')
	dst = appendPart(dst, int64(v.Months/12), 'Y')
	dst = appendPart(dst, int64(v.Months%12), 'M')
	dst = appendPart(dst, int64(v.Days), 'D')
	sec, nanos := v.Nanoseconds/1e9, v.Nanoseconds%1e9 // both rounded to zero: same sign
	if v.Nanoseconds == 0 {
		if v.Months == 0 && v.Days == 0 {
			return append(dst, "T0S"...)
		}
		return dst
	}
	dst = append(dst, 'T')
	dst = appendPart(dst, sec/3600, 'H')
	dst = appendPart(dst, sec/60%60, 'M')
	sec %= 60
	if sec == 0 && nanos == 0 {
		return dst
	}
	if sec < 0 || nanos < 0 {
		dst = append(dst, '-')
		sec, nanos = -sec, -nanos
	}
	dst = strconv.AppendInt(dst, sec, 10)
	dst = appendFraction(dst, nanos)
	return append(dst, 'S')
}

func appendPart(dst []byte, v int64, unit byte) []byte {
	if v == 0 {
		return dst
	}
	return append(strconv.AppendInt(dst, v, 10), unit)
}

// split makes whole seconds, rounded down, and the nanoseconds after them.
func split(v int64, unit arrow.TimeUnit) (sec, nanos int64) {
	per, scale := int64(1), int64(1e9)
	switch unit {
	case arrow.Millisecond:
		per, scale = 1e3, 1e6
	case arrow.Microsecond:
		per, scale = 1e6, 1e3
	case arrow.Nanosecond:
		per, scale = 1e9, 1
	}
	sec = floorDiv(v, per)
	return sec, (v - sec*per) * scale
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func appendClock(dst []byte, sec, nanos int64) []byte {
	if h := sec / 3600; h < 100 {
		dst = append2(dst, h)
	} else {
		dst = strconv.AppendInt(dst, h, 10)
	}
	dst = append(dst, ':')
	dst = append2(dst, sec/60%60)
	dst = append(dst, ':')
	dst = append2(dst, sec%60)
	return appendFraction(dst, nanos)
}

// appendFraction appends nanoseconds as .f without trailing zeros, nothing for none.
func appendFraction(dst []byte, nanos int64) []byte {
	if nanos == 0 {
		return dst
	}
	digits := 9
	for nanos%10 == 0 {
		nanos /= 10
		digits--
	}
	dst = append(dst, ".000000000"[:digits+1]...)
	for i := len(dst) - 1; nanos != 0; i-- {
		dst[i] = byte('0' + nanos%10)
		nanos /= 10
	}
	return dst
}

func append2(dst []byte, v int64) []byte {
	return append(dst, byte('0'+v/10), byte('0'+v%10))
}

// civil turns days since 1970-01-01 into a date. It counts in years that begin in
// March, so that a leap day comes last, and in eras of 400 years, which all have the same days.
func civil(days int64) (year, month, day int64) {
	const perEra, toEpoch = 146_097, 719_468 // days from 0000-03-01 to 1970-01-01
	era := floorDiv(days+toEpoch, perEra)
	d := days + toEpoch - era*perEra
	y := (d - d/1460 + d/36_524 - d/146_096) / 365
	d -= 365*y + y/4 - y/100
	m := (5*d + 2) / 153
	day = d - (153*m+2)/5 + 1
	year, month = y+era*400, m+3
	if month > 12 {
		year, month = year+1, month-12
	}
	return year, month, day
}
