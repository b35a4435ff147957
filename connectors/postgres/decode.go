package postgres

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/fault"
)

// op says how the binary form of a value goes into an Arrow column.
type op uint8

const (
	opBool op = iota
	op16
	op32
	op64
	opText  // UTF-8
	opBytes // anything
	opDecimal128
	opDecimal256
	opNumeric // as text
	opDate
	opTimestamp
	opTime
	opInterval
	opUUID
	opJSONB
	opList
	opNarrow8 // the low 8 of 16 bits, 16 of 32, 32 of 64: what the destination widened
	opNarrow16
	opNarrow32
	opDuration // an interval of nothing but time
)

// fate is what became of a value that could not be kept.
type fate uint8

const (
	fateInfinity fate = iota
	fateNaN
	fateRange
	fateInterval
	fateEncoding
	fateBounds
	fates
)

var fateNames = [fates]string{
	fateInfinity: "infinity, now null",
	fateNaN:      "NaN, now null",
	fateRange:    "beyond the range of microseconds since 1970, now null",
	fateInterval: "interval beyond nanoseconds, now null",
	fateEncoding: "not UTF-8, replaced",
	fateBounds:   "array not starting at 1, bounds dropped",
}

// decoder turns the tuples of one partition into columns. It serves one goroutine.
type decoder struct {
	table   string
	fields  []field
	key     []int // indexes of the key's columns among fields
	max     int   // bytes a value may have
	encoded bool  // text is known to be UTF-8
	scratch []byte
}

// field is one column being decoded.
type field struct {
	col       *batch.Column
	name      string
	op        op
	precision int
	limit     uint64 // 10^precision, where that fits
	scale     int
	elem      *field
	elemOID   uint32
	lost      *[fates]int64
}

func newDecoder(table string, names []string, hows []how, b *batch.Builder) *decoder {
	d := &decoder{table: table, max: math.MaxInt32}
	for i, h := range hows {
		d.fields = append(d.fields, newField(names[i], h, b.Columns[i], new([fates]int64)))
	}
	return d
}

func newField(name string, h how, col *batch.Column, lost *[fates]int64) field {
	f := field{col: col, name: name, op: h.Op, lost: lost}
	if t, ok := h.Type.(arrow.DecimalType); ok {
		f.precision, f.scale = int(t.GetPrecision()), int(t.GetScale())
		f.limit = math.MaxUint64
		if f.precision <= 19 {
			f.limit = 1
			for range f.precision {
				f.limit *= 10
			}
		}
	}
	if h.Elem != nil {
		elem := newField(name, *h.Elem, col.Child(), lost)
		f.elem, f.elemOID = &elem, h.Elem.OID
	}
	return f
}

// row decodes the body of one DataRow message. What it was given is checked: a tuple cut
// short, lengths beyond it or values of another width end in an error.
func (d *decoder) row(p []byte) error {
	if len(p) < 2 || int(binary.BigEndian.Uint16(p)) != len(d.fields) {
		return d.broken("a row has another number of columns than was announced")
	}
	i := 2
	for k := range d.fields {
		if len(p)-i < 4 {
			return d.broken("a row ends before its last column")
		}
		n := int(int32(binary.BigEndian.Uint32(p[i:])))
		i += 4
		f := &d.fields[k]
		if n < 0 {
			if n != -1 {
				return d.broken("column %s has %d bytes", f.name, n)
			}
			f.col.Null()
			continue
		}
		if n > len(p)-i {
			return d.broken("column %s reaches beyond its row", f.name)
		}
		v := p[i : i+n : i+n]
		i += n
		if n > d.max {
			return d.tooLarge(k, n, p)
		}
		switch f.op { // what most tables are made of; the rest, and what has another width, is value's
		case op64:
			if n == 8 {
				f.col.Uint64(binary.BigEndian.Uint64(v))
				continue
			}
		case op32:
			if n == 4 {
				f.col.Uint32(binary.BigEndian.Uint32(v))
				continue
			}
		case opText:
			if d.encoded {
				f.col.Value(v)
				continue
			}
		case opDate:
			if n == 4 {
				f.date(int32(binary.BigEndian.Uint32(v)))
				continue
			}
		case opDecimal128:
			if f.smallDecimal(v) {
				continue
			}
		}
		if err := d.value(f, v); err != nil {
			return err
		}
	}
	if i != len(p) {
		return d.broken("a row is longer than its columns")
	}
	return nil
}

// value appends one value that is not null.
func (d *decoder) value(f *field, v []byte) error {
	switch f.op {
	case opDecimal128, opDecimal256:
		return d.decimal(f, v)
	case opText:
		d.text(f, v)
		return nil
	case opBytes:
		f.col.Value(v)
		return nil
	case opNumeric:
		n, ok := parseNumber(v)
		if ok {
			d.scratch, ok = n.appendText(d.scratch[:0])
		}
		if !ok {
			return d.broken("column %s holds a broken numeric", f.name)
		}
		f.col.Value(d.scratch)
		return nil
	case opJSONB:
		if len(v) == 0 || v[0] != 1 {
			return d.broken("column %s holds jsonb of an unknown version", f.name)
		}
		d.text(f, v[1:])
		return nil
	case opList:
		return d.list(f, v)
	}
	if len(v) != width(f.op) {
		return d.broken("column %s: a value of %d bytes, want %d", f.name, len(v), width(f.op))
	}
	switch f.op {
	case opBool:
		f.col.Bool(v[0] != 0)
	case op16:
		f.col.Uint16(binary.BigEndian.Uint16(v))
	case op32:
		f.col.Uint32(binary.BigEndian.Uint32(v))
	case op64:
		f.col.Uint64(binary.BigEndian.Uint64(v))
	case opDate:
		f.date(int32(binary.BigEndian.Uint32(v)))
	case opTimestamp:
		f.timestamp(int64(binary.BigEndian.Uint64(v)))
	case opTime:
		f.col.Uint64(binary.BigEndian.Uint64(v))
	case opInterval:
		f.interval(v)
	case opNarrow8:
		f.col.Uint8(v[1])
	case opNarrow16:
		f.col.Uint16(binary.BigEndian.Uint16(v[2:]))
	case opNarrow32:
		f.col.Uint32(binary.BigEndian.Uint32(v[4:]))
	case opDuration:
		f.col.Uint64(binary.BigEndian.Uint64(v))
	case opUUID:
		d.scratch = appendUUID(d.scratch[:0], v)
		f.col.Value(d.scratch)
	}
	return nil
}

// width is how many bytes a value of fixed width has.
func width(o op) int {
	switch o {
	case opBool:
		return 1
	case op16, opNarrow8:
		return 2
	case op32, opDate, opNarrow16:
		return 4
	case opInterval, opUUID, opDuration:
		return 16
	}
	return 8
}

func (f *field) null(why fate) {
	f.lost[why]++
	f.col.Null()
}

// text appends text; where the server doesn't vouch for its encoding, it is checked.
func (d *decoder) text(f *field, v []byte) {
	if !d.encoded && !utf8.Valid(v) {
		f.lost[fateEncoding]++
		d.scratch = d.scratch[:0]
		for len(v) > 0 {
			r, n := utf8.DecodeRune(v)
			d.scratch = utf8.AppendRune(d.scratch, r)
			v = v[n:]
		}
		v = d.scratch
	}
	f.col.Value(v)
}

// smallDecimal appends a number that surely fits 64 bits, as most do. It returns false,
// and appends nothing, for all others and for what looks wrong.
func (f *field) smallDecimal(v []byte) bool {
	if len(v) < numericHeader {
		return false
	}
	header := binary.BigEndian.Uint64(v)
	sign := uint16(header >> 16)
	if sign&^numericNegative != 0 || len(v) != numericHeader+2*int(header>>48) {
		return false
	}
	small, ok := unscaled64(v[numericHeader:], int(int16(header>>32)), f.scale)
	if !ok || small >= f.limit {
		return false
	}
	if sign != 0 && small != 0 {
		f.col.Decimal128(-1, -small)
	} else {
		f.col.Decimal128(0, small)
	}
	return true
}

// decimal appends any other number, or what became of it.
func (d *decoder) decimal(f *field, v []byte) error {
	n, ok := parseNumber(v)
	switch {
	case !ok:
		return d.broken("column %s holds a broken numeric", f.name)
	case n.sign == 0 || n.sign == numericNegative:
	case n.sign == numericNaN:
		f.null(fateNaN)
		return nil
	case n.sign == numericInf || n.sign == numericNegInf:
		f.null(fateInfinity)
		return nil
	default:
		return d.broken("column %s holds a broken numeric", f.name)
	}
	w, ok := n.big(f.scale)
	if !ok || !below(w, f.precision) {
		return d.changed("column %s holds a number outside numeric(%d,%d)", f.name, f.precision, f.scale)
	}
	if n.sign == numericNegative {
		w = negate(w)
	}
	if f.op == opDecimal128 {
		f.col.Decimal128(int64(w[1]), w[0])
	} else {
		f.col.Decimal256(w)
	}
	return nil
}

// list appends an array of one dimension: its header says dimensions, whether there are
// nulls, the element's type, and per dimension length and first index.
func (d *decoder) list(f *field, v []byte) error {
	if len(v) < 12 {
		return d.broken("column %s holds a broken array", f.name)
	}
	dims, elem := binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[8:])
	if elem != f.elemOID {
		return d.changed("column %s holds an array of type %d, want %d", f.name, elem, f.elemOID)
	}
	switch {
	case dims == 0:
		f.col.List()
		return nil
	case dims > 1:
		return fault.New(fault.Source, "postgres.array", fmt.Sprintf("read it as the server's text: columns: {%s: {type: text}}", f.name),
			"table %s column %s holds an array of %d dimensions", d.table, f.name, dims)
	case len(v) < 20:
		return d.broken("column %s holds a broken array", f.name)
	}
	count := int(int32(binary.BigEndian.Uint32(v[12:])))
	if int32(binary.BigEndian.Uint32(v[16:])) != 1 {
		f.lost[fateBounds]++
	}
	v = v[20:]
	for ; count > 0; count-- {
		if len(v) < 4 {
			return d.broken("column %s holds a broken array", f.name)
		}
		n := int(int32(binary.BigEndian.Uint32(v)))
		v = v[4:]
		if n == -1 {
			f.elem.col.Null()
			continue
		}
		if n < 0 || n > len(v) {
			return d.broken("column %s holds a broken array", f.name)
		}
		if err := d.value(f.elem, v[:n]); err != nil {
			return err
		}
		v = v[n:]
	}
	if len(v) != 0 || count < 0 {
		return d.broken("column %s holds a broken array", f.name)
	}
	f.col.List()
	return nil
}

const hexDigits = "0123456789abcdef"

// appendUUID appends the 36 characters of 16 bytes.
func appendUUID(b, v []byte) []byte {
	for i, x := range v {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b = append(b, '-')
		}
		b = append(b, hexDigits[x>>4], hexDigits[x&15])
	}
	return b
}

// results are the counts of values that could not be kept.
func (d *decoder) results() map[string]map[string]int64 {
	var all map[string]map[string]int64
	for _, f := range d.fields {
		for why, n := range f.lost {
			if n == 0 {
				continue
			}
			if all == nil {
				all = map[string]map[string]int64{}
			}
			if all[f.name] == nil {
				all[f.name] = map[string]int64{}
			}
			all[f.name][fateNames[why]] += n
		}
	}
	return all
}

func (d *decoder) broken(format string, args ...any) error {
	return fault.New(fault.Source, "postgres.protocol", "if it stays, report it with the server's version and what stands between here and there",
		"table %s: the server sent something broken: "+format, append([]any{d.table}, args...)...)
}

func (d *decoder) changed(format string, args ...any) error {
	return fault.New(fault.Source, "postgres.table_changed", "run again; somebody altered the table meanwhile",
		"table %s: "+format, append([]any{d.table}, args...)...)
}
