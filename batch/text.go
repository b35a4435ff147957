package batch

import (
	"encoding/hex"
	"math"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// AppendText appends the canonical text form of value i, the one form that CSV files,
// previews and stand-in columns share: exact decimals, ISO dates and times (Z only on instants), floats with
// as many digits as they need, binary as \x and hex digits, lists as JSON. A null appends
// nothing; callers that must tell it from empty text ask IsNull first. For the contract's types it
// allocates nothing beyond dst.
func AppendText(dst []byte, arr arrow.Array, i int) []byte {
	if arr.IsNull(i) {
		return dst
	}
	switch a := arr.(type) {
	case *array.String:
		return append(dst, a.Value(i)...)
	case *array.LargeString:
		return append(dst, a.Value(i)...)
	case *array.StringView:
		return append(dst, a.Value(i)...)
	case *array.Binary:
		return appendHex(dst, a.Value(i))
	case *array.LargeBinary:
		return appendHex(dst, a.Value(i))
	case *array.FixedSizeBinary:
		return appendHex(dst, a.Value(i))
	case *array.Float32:
		return appendFloat(dst, float64(a.Value(i)), 32)
	case *array.Float64:
		return appendFloat(dst, a.Value(i), 64)
	case array.ListLike, *array.Struct:
		return AppendJSON(dst, arr, i)
	}
	return appendPlain(dst, arr, i)
}

// appendPlain appends what looks the same in text and, up to quotes, in JSON.
func appendPlain(dst []byte, arr arrow.Array, i int) []byte {
	switch a := arr.(type) {
	case *array.Boolean:
		return strconv.AppendBool(dst, a.Value(i))
	case *array.Int8:
		return strconv.AppendInt(dst, int64(a.Value(i)), 10)
	case *array.Int16:
		return strconv.AppendInt(dst, int64(a.Value(i)), 10)
	case *array.Int32:
		return strconv.AppendInt(dst, int64(a.Value(i)), 10)
	case *array.Int64:
		return strconv.AppendInt(dst, a.Value(i), 10)
	case *array.Uint8:
		return strconv.AppendUint(dst, uint64(a.Value(i)), 10)
	case *array.Uint16:
		return strconv.AppendUint(dst, uint64(a.Value(i)), 10)
	case *array.Uint32:
		return strconv.AppendUint(dst, uint64(a.Value(i)), 10)
	case *array.Uint64:
		return strconv.AppendUint(dst, a.Value(i), 10)
	case *array.Decimal128:
		return AppendDecimal128(dst, a.Value(i), a.DataType().(*arrow.Decimal128Type).Scale)
	case *array.Decimal256:
		return AppendDecimal256(dst, a.Value(i), a.DataType().(*arrow.Decimal256Type).Scale)
	case *array.Date32:
		return AppendDate(dst, int64(a.Value(i)))
	case *array.Date64:
		return AppendDate(dst, floorDiv(int64(a.Value(i)), 1000*secondsPerDay))
	case *array.Timestamp:
		t := a.DataType().(*arrow.TimestampType)
		return AppendTimestamp(dst, int64(a.Value(i)), t.Unit, t.TimeZone != "")
	case *array.Time32:
		return AppendTime(dst, int64(a.Value(i)), a.DataType().(*arrow.Time32Type).Unit)
	case *array.Time64:
		return AppendTime(dst, int64(a.Value(i)), a.DataType().(*arrow.Time64Type).Unit)
	case *array.Duration:
		return AppendDuration(dst, int64(a.Value(i)), a.DataType().(*arrow.DurationType).Unit)
	case *array.MonthDayNanoInterval:
		return AppendInterval(dst, a.Value(i))
	}
	return append(dst, arr.ValueStr(i)...) // not of the contract: a query's answer may have it
}

func appendHex(dst, v []byte) []byte {
	return hex.AppendEncode(append(dst, '\\', 'x'), v)
}

// appendFloat appends the shortest text that reads back as the same number, without an
// exponent where people would write none.
func appendFloat(dst []byte, v float64, bitSize int) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, "NaN"...)
	case math.IsInf(v, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(v, -1):
		return append(dst, "-Infinity"...)
	}
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, v, format, -1, bitSize)
}
