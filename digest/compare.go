package digest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"

	"github.com/kitamae/kitamae/batch"
)

// Difference is one thing in which two digests are not the same.
type Difference struct {
	// Column is "" where the difference is about whole rows.
	Column string `json:"column,omitempty"`
	Text   string `json:"text"`
}

func (d Difference) String() string {
	if d.Column == "" {
		return d.Text
	}
	return "column " + d.Column + ": " + d.Text
}

// Compare lists in what got, read back, is not what was written; nothing means they are the
// same as far as both levels go. Texts show numbers and dates, never text or binary values: reports are kept.
func Compare(want, got Digest) []Difference {
	var diffs []Difference
	add := func(column, format string, args ...any) {
		diffs = append(diffs, Difference{column, fmt.Sprintf(format, args...)})
	}
	if want.Rows != got.Rows {
		add("", "%d rows written, %d staged", want.Rows, got.Rows)
	}
	switch {
	case len(want.Columns) == len(got.Columns):
	case want.Rows == 0 && got.Rows == 0, len(want.Columns) == 0, len(got.Columns) == 0:
		return diffs // one side is the digest of nothing, or of level None
	default:
		add("", "%d columns written, %d staged", len(want.Columns), len(got.Columns))
		return diffs
	}
	for i := range want.Columns {
		if text := differ(want.Columns[i], got.Columns[i]); text != "" {
			add(want.Columns[i].Name, "%s", text)
		}
	}
	if len(diffs) == 0 && want.Hash != nil && got.Hash != nil && *want.Hash != *got.Hash {
		add("", "every column has the values that were written, but some stand in other rows")
	}
	return diffs
}

// differ says in what a column differs, the plainest thing first.
func differ(want, got ColumnDigest) string {
	typ := want.typ
	if typ == nil {
		typ = got.typ
	}
	switch {
	case want.Name != got.Name:
		return fmt.Sprintf("column %s stands in its place", got.Name)
	case want.Nulls != got.Nulls:
		return fmt.Sprintf("%d nulls written, %d staged", want.Nulls, got.Nulls)
	case want.Bytes != got.Bytes:
		return fmt.Sprintf("%d %s written, %d staged", want.Bytes, unitOf(typ), got.Bytes)
	case !bytes.Equal(want.Min, got.Min):
		return "least value differs" + showBoth(typ, want.Min, got.Min)
	case !bytes.Equal(want.Max, got.Max):
		return "greatest value differs" + showBoth(typ, want.Max, got.Max)
	case want.Sum != got.Sum:
		return "sum differs"
	case want.Hash != got.Hash:
		return "some values differ"
	}
	return ""
}

func unitOf(typ arrow.DataType) string {
	if _, ok := typ.(arrow.ListLikeType); ok {
		return "elements"
	}
	return "bytes"
}

func showBoth(typ arrow.DataType, want, got []byte) string {
	w, ok1 := show(typ, want)
	g, ok2 := show(typ, got)
	if !ok1 || !ok2 {
		return ""
	}
	return fmt.Sprintf(": %s written, %s staged", w, g)
}

// show prints an extreme for people, if its type is known and it says nothing private.
func show(typ arrow.DataType, b []byte) (string, bool) {
	if typ == nil || len(b) == 0 {
		return "", false
	}
	switch t := typ.(type) {
	case *arrow.Decimal128Type:
		v := decimal128.New(int64(binary.BigEndian.Uint64(b)^signBit), binary.BigEndian.Uint64(b[8:]))
		return string(batch.AppendDecimal128(nil, v, t.Scale)), true
	case *arrow.Decimal256Type:
		v := decimal256.New(binary.BigEndian.Uint64(b)^signBit, binary.BigEndian.Uint64(b[8:]),
			binary.BigEndian.Uint64(b[16:]), binary.BigEndian.Uint64(b[24:]))
		return string(batch.AppendDecimal256(nil, v, t.Scale)), true
	}
	if len(b) != 8 {
		return "", false
	}
	word := binary.BigEndian.Uint64(b)
	signed := int64(word ^ signBit)
	switch t := typ.(type) {
	case *arrow.Float32Type, *arrow.Float64Type:
		return fmt.Sprint(math.Float64frombits(fromOrder(word))), true
	case *arrow.Date32Type:
		return string(batch.AppendDate(nil, signed)), true
	case *arrow.TimestampType:
		return string(batch.AppendTimestamp(nil, signed, t.Unit, t.TimeZone != "")), true
	case *arrow.Time64Type:
		return string(batch.AppendTime(nil, signed, t.Unit)), true
	case *arrow.DurationType:
		return string(batch.AppendDuration(nil, signed, t.Unit)), true
	}
	switch {
	case arrow.IsUnsignedInteger(typ.ID()):
		return fmt.Sprint(word), true
	case arrow.IsSignedInteger(typ.ID()):
		return fmt.Sprint(signed), true
	}
	return "", false
}
