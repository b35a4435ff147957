package postgres

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/big"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/fault"
)

// copyHeader begins a binary COPY, copyTrailer ends it.
const (
	copyHeader  = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	copyTrailer = "\xff\xff"
)

// valueEncoder appends a value that is not null in PostgreSQL's binary form, without its length. It returns why it can't, "" when it can.
type valueEncoder func(b []byte, row int) (_ []byte, wrong string)

// encoding is one column of a batch being encoded.
type encoding struct {
	name string
	arr  arrow.Array
	put  valueEncoder
	free bool // has no nulls
}

// rowEncoder turns batches into the rows of a binary COPY. It serves one goroutine.
type rowEncoder struct {
	table   string
	names   []string
	targets []target
	rows    int64
	size    int64 // bytes sent
}

// batch appends all rows of rec.
func (e *rowEncoder) batch(b []byte, rec arrow.RecordBatch) ([]byte, error) {
	cols := make([]encoding, rec.NumCols())
	for i, arr := range rec.Columns() {
		cols[i] = encoding{name: e.names[i], arr: arr, put: bind(arr, e.targets[i]), free: arr.NullN() == 0}
		if cols[i].put == nil {
			return b, fault.New(fault.Internal, "postgres.encode", "", "table %s column %s: no way to write %s", e.table, e.names[i], arr.DataType())
		}
	}
	for row := range int(rec.NumRows()) {
		b = binary.BigEndian.AppendUint16(b, uint16(len(cols)))
		for i := range cols {
			c := &cols[i]
			if !c.free && c.arr.IsNull(row) {
				b = append(b, 0xff, 0xff, 0xff, 0xff)
				continue
			}
			at := len(b)
			b = append(b, 0, 0, 0, 0)
			var wrong string
			if b, wrong = c.put(b, row); wrong != "" {
				return b, fault.New(fault.Destination, "postgres.value", "leave the column out, or set its type to text where that helps: columns: {types: {"+c.name+": text}}",
					"table %s column %s, row %d of this partition: %s", e.table, c.name, e.rows+int64(row)+1, wrong)
			}
			binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
		}
	}
	e.rows += rec.NumRows()
	return b, nil
}

// microseconds and days from 1970 to 2000, where PostgreSQL's time begins.
const (
	epochMicros = 946_684_800_000_000
	epochDays   = 10_957
)

func put16(b []byte, v uint16) ([]byte, string) { return binary.BigEndian.AppendUint16(b, v), "" }
func put32(b []byte, v uint32) ([]byte, string) { return binary.BigEndian.AppendUint32(b, v), "" }
func put64(b []byte, v uint64) ([]byte, string) { return binary.BigEndian.AppendUint64(b, v), "" }

// bind ties an array to the way its values are written.
func bind(arr arrow.Array, to target) valueEncoder {
	switch a := arr.(type) {
	case *array.Boolean:
		return func(b []byte, row int) ([]byte, string) {
			if a.Value(row) {
				return append(b, 1), ""
			}
			return append(b, 0), ""
		}
	case *array.Int8:
		return func(b []byte, row int) ([]byte, string) { return put16(b, uint16(int16(a.Value(row)))) }
	case *array.Uint8:
		return func(b []byte, row int) ([]byte, string) { return put16(b, uint16(a.Value(row))) }
	case *array.Int16:
		return func(b []byte, row int) ([]byte, string) { return put16(b, uint16(a.Value(row))) }
	case *array.Uint16:
		return func(b []byte, row int) ([]byte, string) { return put32(b, uint32(a.Value(row))) }
	case *array.Int32:
		return func(b []byte, row int) ([]byte, string) { return put32(b, uint32(a.Value(row))) }
	case *array.Uint32:
		return func(b []byte, row int) ([]byte, string) { return put64(b, uint64(a.Value(row))) }
	case *array.Int64:
		return func(b []byte, row int) ([]byte, string) { return put64(b, uint64(a.Value(row))) }
	case *array.Float32:
		return func(b []byte, row int) ([]byte, string) { return put32(b, math.Float32bits(a.Value(row))) }
	case *array.Float64:
		return func(b []byte, row int) ([]byte, string) { return put64(b, math.Float64bits(a.Value(row))) }
	case *array.Binary:
		return func(b []byte, row int) ([]byte, string) { return append(b, a.Value(row)...), "" }
	case *array.Date32:
		return func(b []byte, row int) ([]byte, string) { return put32(b, uint32(int32(a.Value(row))-epochDays)) }
	case *array.Time64:
		return func(b []byte, row int) ([]byte, string) { return put64(b, uint64(a.Value(row))) }
	case *array.Timestamp:
		return func(b []byte, row int) ([]byte, string) { return put64(b, uint64(int64(a.Value(row))-epochMicros)) }
	case *array.Duration:
		return func(b []byte, row int) ([]byte, string) {
			b, _ = put64(b, uint64(a.Value(row)))
			return put64(b, 0)
		}
	case *array.MonthDayNanoInterval:
		return func(b []byte, row int) ([]byte, string) {
			v := a.Value(row)
			if v.Nanoseconds%1000 != 0 {
				return b, "an interval has nanoseconds, PostgreSQL's microseconds"
			}
			b, _ = put64(b, uint64(v.Nanoseconds/1000))
			b, _ = put32(b, uint32(v.Days))
			return put32(b, uint32(v.Months))
		}
	case *array.Decimal128:
		scale := int(a.DataType().(arrow.DecimalType).GetScale())
		return func(b []byte, row int) ([]byte, string) {
			v := a.Value(row)
			if hi, lo := v.HighBits(), v.LowBits(); hi == int64(lo)>>63 && lo != 1<<63 {
				return appendNumeric64(b, int64(lo), scale), ""
			}
			return appendNumeric(b, v.BigInt(), scale), ""
		}
	case *array.Decimal256:
		scale := int(a.DataType().(arrow.DecimalType).GetScale())
		return func(b []byte, row int) ([]byte, string) {
			return appendNumeric(b, a.Value(row).BigInt(), scale), ""
		}
	case *array.String:
		return bindText(a, to)
	case *array.List:
		return bindList(a, to)
	}
	return nil
}

// bindText writes text as what it stands for.
func bindText(a *array.String, to target) valueEncoder {
	switch to.kind {
	case batch.KindUUID:
		return func(b []byte, row int) ([]byte, string) { return putUUID(b, a.Value(row)) }
	case batch.KindDecimal:
		return func(b []byte, row int) ([]byte, string) { return putNumberText(b, a.Value(row)) }
	}
	return func(b []byte, row int) ([]byte, string) {
		v := a.Value(row)
		if strings.IndexByte(v, 0) >= 0 {
			return b, "a text holds the NUL character, which PostgreSQL's text can't"
		}
		return append(b, v...), ""
	}
}

// bindList writes an array of one dimension.
func bindList(a *array.List, to target) valueEncoder {
	values := a.ListValues()
	elem := target{kind: to.kind}
	put := bind(values, elem)
	if put == nil {
		return nil
	}
	return func(b []byte, row int) ([]byte, string) {
		from, end := a.ValueOffsets(row)
		if from == end {
			b, _ = put64(b, 0)
			return put32(b, to.how.Elem.OID)
		}
		nulls := uint32(0)
		if values.NullN() > 0 {
			nulls = 1
		}
		b, _ = put32(b, 1)
		b, _ = put32(b, nulls)
		b, _ = put32(b, to.how.Elem.OID)
		b, _ = put32(b, uint32(end-from))
		b, _ = put32(b, 1)
		for i := from; i < end; i++ {
			if values.IsNull(int(i)) {
				b = append(b, 0xff, 0xff, 0xff, 0xff)
				continue
			}
			at := len(b)
			b = append(b, 0, 0, 0, 0)
			var wrong string
			if b, wrong = put(b, int(i)); wrong != "" {
				return b, wrong
			}
			binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
		}
		return b, ""
	}
}

// putUUID takes the canonical form only: another would come back changed.
func putUUID(b []byte, s string) ([]byte, string) {
	at := len(b)
	for i := 0; i < len(s); i++ {
		if s[i] == '-' {
			continue
		}
		hi := strings.IndexByte(hexDigits, s[i])
		lo := -1
		if i++; i < len(s) {
			lo = strings.IndexByte(hexDigits, s[i])
		}
		if hi < 0 || lo < 0 {
			return b, "not a UUID in lower case"
		}
		b = append(b, byte(hi<<4|lo))
	}
	if len(b)-at != 16 || !bytes.Equal(appendUUID(nil, b[at:]), []byte(s)) {
		return b, "not a UUID in lower case"
	}
	return b, ""
}

// putNumberText writes a number of any precision from its digits.
func putNumberText(b []byte, s string) ([]byte, string) {
	special := map[string]uint16{"NaN": numericNaN, "Infinity": numericInf, "-Infinity": numericNegInf}
	if sign, ok := special[s]; ok {
		return append(b, 0, 0, 0, 0, byte(sign>>8), byte(sign), 0, 0), ""
	}
	whole, part, _ := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	digits := whole + part
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return b, "not a number of digits"
	}
	v, ok := new(big.Int).SetString(digits, 10)
	if !ok || len(whole) > 131_072 || len(part) > 16_383 {
		return b, "a number beyond numeric's digits"
	}
	if s[0] == '-' {
		v.Neg(v)
	}
	return appendNumeric(b, v, len(part)), ""
}

// appendNumeric64 appends v / 10^scale.
func appendNumeric64(b []byte, v int64, scale int) []byte {
	sign := uint16(0)
	u := uint64(v)
	if v < 0 {
		sign, u = numericNegative, -u
	}
	// the last group of four decimal places may be short
	var groups [8]uint16
	n, weight := 0, -(scale+3)/4
	if rest := scale % 4; rest > 0 && u > 0 {
		groups[0] = uint16(u % pow10[rest] * pow10[4-rest])
		u /= pow10[rest]
		n = 1
	}
	for ; u > 0; u /= 10_000 {
		groups[n] = uint16(u % 10_000)
		n++
	}
	return appendGroups(b, groups[:n], weight, sign, scale)
}

// appendNumeric appends v / 10^scale for any v.
func appendNumeric(b []byte, v *big.Int, scale int) []byte {
	sign := uint16(0)
	u := new(big.Int).Abs(v)
	if v.Sign() < 0 {
		sign = numericNegative
	}
	if rest := scale % 4; rest > 0 {
		u.Mul(u, big.NewInt(int64(pow10[4-rest])))
	}
	text := u.Text(10)
	if u.Sign() == 0 {
		text = ""
	}
	groups := make([]uint16, 0, len(text)/4+1)
	for len(text) > 0 {
		cut := max(len(text)-4, 0)
		g := uint16(0)
		for _, c := range []byte(text[cut:]) {
			g = g*10 + uint16(c-'0')
		}
		groups = append(groups, g)
		text = text[:cut]
	}
	return appendGroups(b, groups, -(scale+3)/4, sign, scale)
}

// appendGroups writes groups of four digits, the least first, of which the first has the given weight; zeros at both ends are left out.
func appendGroups(b []byte, groups []uint16, weight int, sign uint16, scale int) []byte {
	for len(groups) > 0 && groups[0] == 0 {
		groups, weight = groups[1:], weight+1
	}
	for len(groups) > 0 && groups[len(groups)-1] == 0 {
		groups = groups[:len(groups)-1]
	}
	if len(groups) == 0 {
		weight, sign = 0, 0
	} else {
		weight += len(groups) - 1
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(groups)))
	b = binary.BigEndian.AppendUint16(b, uint16(int16(weight)))
	b = binary.BigEndian.AppendUint16(b, sign)
	b = binary.BigEndian.AppendUint16(b, uint16(scale))
	for i := len(groups) - 1; i >= 0; i-- {
		b = binary.BigEndian.AppendUint16(b, groups[i])
	}
	return b
}
