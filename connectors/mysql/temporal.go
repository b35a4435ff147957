package mysql

import (
	"encoding/binary"
	"fmt"
)

const microsPerDay = 24 * 3600 * 1e6

// daysBefore is how many days of a common year precede a month, 1 to 12; [13] is all of them.
var daysBefore = [14]int16{0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365}

// daysFromCivil counts the days from 1970-01-01 in the proleptic Gregorian calendar. It
// refuses days that no month has, which a server allows in some modes (February 31st).
func daysFromCivil(year, month, day int) (int32, bool) {
	if month < 1 || month > 12 || day < 1 || year > 9999 {
		return 0, false
	}
	leap := year&3 == 0 && (year%100 != 0 || year%400 == 0)
	before, length := int(daysBefore[month]), int(daysBefore[month+1]-daysBefore[month])
	if leap {
		if month == 2 {
			length++
		} else if month > 2 {
			before++
		}
	}
	if day > length {
		return 0, false
	}
	days := -719162 + before + day - 1
	if year == 0 {
		return int32(days - 366), true
	}
	y := year - 1
	return int32(days + 365*y + y/4 - y/100 + y/400), true
}

// parseTime reads a binary TIME into microseconds.
func parseTime(v []byte) (int64, error) {
	switch len(v) {
	case 0:
		return 0, nil
	case 8, 12:
	default:
		return 0, fmt.Errorf("%w: time of %d bytes", errMalformed, len(v))
	}
	days := int64(binary.LittleEndian.Uint32(v[1:]))
	if days > 1000 { // the type ends at 34 days and 22:59:59.999999
		return 0, fmt.Errorf("%w: time of %d days", errMalformed, days)
	}
	micros := days*microsPerDay + (int64(v[5])*3600+int64(v[6])*60+int64(v[7]))*1e6
	if len(v) == 12 {
		micros += int64(binary.LittleEndian.Uint32(v[8:]))
	}
	if v[0] != 0 {
		micros = -micros
	}
	return micros, nil
}
