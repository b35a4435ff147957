package postgres

import (
	"encoding/binary"
	"math"
)

// PostgreSQL counts days and microseconds from 2000-01-01.
const (
	daysTo2000   = 10957
	microsTo2000 = daysTo2000 * 86400 * 1_000_000
)

func (f *field) date(days int32) {
	if days == math.MaxInt32 || days == math.MinInt32 {
		f.null(fateInfinity)
		return
	}
	if days > math.MaxInt32-daysTo2000 {
		f.null(fateRange)
		return
	}
	f.col.Uint32(uint32(days + daysTo2000))
}

func (f *field) timestamp(micros int64) {
	switch {
	case micros == math.MaxInt64 || micros == math.MinInt64:
		f.null(fateInfinity)
	case micros > math.MaxInt64-microsTo2000:
		f.null(fateRange)
	default:
		f.col.Uint64(uint64(micros + microsTo2000))
	}
}

func (f *field) interval(v []byte) {
	micros := int64(binary.BigEndian.Uint64(v))
	days, months := int32(binary.BigEndian.Uint32(v[8:])), int32(binary.BigEndian.Uint32(v[12:]))
	switch {
	case micros == math.MaxInt64 && days == math.MaxInt32 && months == math.MaxInt32,
		micros == math.MinInt64 && days == math.MinInt32 && months == math.MinInt32:
		f.null(fateInfinity) // PostgreSQL 17 and newer
	case micros > math.MaxInt64/1000 || micros < math.MinInt64/1000:
		f.null(fateInterval)
	default:
		f.col.Interval(months, days, micros*1000)
	}
}
