package sqlite

// moment is a timestamp as SQLite applications write it.
type moment struct {
	micros int64  // since 1970-01-01 00:00:00, in UTC where a zone is named
	zone   string // what the text says: "Z", "+09:00" or ""
	shape  int    // two texts of one shape and different bytes are different moments
}

const (
	microsPerSecond = 1_000_000
	secondsPerDay   = 86_400
)

// parseDate reads YYYY-MM-DD, years 0001 to 9999, into days since 1970.
func parseDate(b []byte) (int32, bool) {
	if len(b) != 10 || b[4] != '-' || b[7] != '-' {
		return 0, false
	}
	y1, ok1 := two(b[0:])
	y2, ok2 := two(b[2:])
	m, ok3 := two(b[5:])
	d, ok4 := two(b[8:])
	y := y1*100 + y2
	if !ok1 || !ok2 || !ok3 || !ok4 || y < 1 || m < 1 || m > 12 || d < 1 || d > daysIn(y, m) {
		return 0, false
	}
	return days(y, m, d), true
}

// two reads two digits.
func two(b []byte) (int, bool) {
	hi, lo := b[0]-'0', b[1]-'0'
	return int(hi)*10 + int(lo), hi <= 9 && lo <= 9
}

func daysIn(y, m int) int {
	switch {
	case m == 2 && y%4 == 0 && (y%100 != 0 || y%400 == 0):
		return 29
	case m == 2:
		return 28
	case m == 4 || m == 6 || m == 9 || m == 11:
		return 30
	}
	return 31
}

// days counts from 1970-01-01 in the proleptic Gregorian calendar: years start in
// March, so that the leap day is the last of its year.
func days(y, m, d int) int32 {
	if m <= 2 {
		y--
		m += 12
	}
	era, yoe := y/400, y%400
	doy := (153*(m-3)+2)/5 + d - 1
	return int32(era*146_097 + yoe*365 + yoe/4 - yoe/100 + doy - 719_468)
}

// parseTimestamp reads YYYY-MM-DD, a space or T, HH:MM[:SS[.fraction]], and optionally Z or ±HH:MM.
// A fraction finer than a microsecond is refused unless the rest is zeros.
func parseTimestamp(b []byte) (moment, bool) {
	var t moment
	if len(b) < 16 || (b[10] != ' ' && b[10] != 'T') || b[13] != ':' {
		return t, false
	}
	day, ok := parseDate(b[:10])
	h, ok1 := two(b[11:])
	m, ok2 := two(b[14:])
	if !ok || !ok1 || !ok2 || h > 23 || m > 59 {
		return t, false
	}
	seconds := int64(h*3600 + m*60)
	micros, rest := int64(0), b[16:]
	if len(rest) >= 3 && rest[0] == ':' {
		s, ok := two(rest[1:])
		if !ok || s > 59 {
			return t, false
		}
		seconds += int64(s)
		rest = rest[3:]
		if len(rest) >= 2 && rest[0] == '.' {
			n := 0
			if micros, n = fraction(rest[1:]); n < 1 {
				return t, false
			}
			rest = rest[1+n:]
		}
	}
	offset, ok := zone(rest)
	if !ok {
		return t, false
	}
	t.zone = zoneName(rest)
	t.shape = len(b)<<8 | int(b[10])
	t.micros = (int64(day)*secondsPerDay+seconds-offset)*microsPerSecond + micros
	return t, true
}

// fraction reads the digits after the point: microseconds and how many digits; none when it is finer than that.
func fraction(b []byte) (micros int64, n int) {
	unit := int64(microsPerSecond)
	for ; n < len(b) && b[n]-'0' <= 9; n++ {
		unit /= 10
		if unit == 0 && b[n] != '0' {
			return 0, 0
		}
		micros += int64(b[n]-'0') * unit
	}
	return micros, n
}

// zone reads Z or ±HH:MM into seconds east of UTC.
func zone(b []byte) (int64, bool) {
	switch {
	case len(b) == 0, len(b) == 1 && b[0] == 'Z':
		return 0, true
	case len(b) != 6 || b[3] != ':' || (b[0] != '+' && b[0] != '-'):
		return 0, false
	}
	h, ok1 := two(b[1:])
	m, ok2 := two(b[4:])
	if !ok1 || !ok2 || h > 23 || m > 59 {
		return 0, false
	}
	offset := int64(h*3600 + m*60)
	if b[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// zoneName is the zone as text, without allocating for the common ones.
func zoneName(b []byte) string {
	switch string(b) {
	case "":
		return ""
	case "Z":
		return "Z"
	case "+00:00":
		return "+00:00"
	case "+09:00":
		return "+09:00"
	}
	return string(b)
}
