package sqlite

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
)

// form is a declared type that SQLite does not know but applications rely on. It is
// honoured when every value of the column has it without loss.
type form int

const (
	plainForm form = iota // the storage class says it all
	dateForm
	timestampForm
	booleanForm
	decimalForm
	jsonForm
)

// declared is a column's declared type, taken apart.
type declared struct {
	form             form
	precision, scale int32 // of a decimal
}

var decimalType = regexp.MustCompile(`^(?:DECIMAL|NUMERIC|DEC|NUMBER)\s*\(\s*(\d{1,4})\s*(?:,\s*(\d{1,4})\s*)?\)$`)

func parseDeclared(native string) declared {
	t := strings.ToUpper(strings.TrimSpace(native))
	base, _, _ := strings.Cut(t, "(")
	base, _, _ = strings.Cut(base, " ")
	switch base {
	case "DATE":
		return declared{form: dateForm}
	case "DATETIME", "TIMESTAMP", "TIMESTAMPTZ", "DATETIME2", "DATETIMEOFFSET":
		return declared{form: timestampForm}
	case "BOOLEAN", "BOOL":
		return declared{form: booleanForm}
	case "JSON":
		return declared{form: jsonForm}
	}
	if m := decimalType.FindStringSubmatch(t); m != nil {
		p, _ := strconv.Atoi(m[1])
		s, _ := strconv.Atoi(m[2]) // absent: 0
		if p >= 1 && p <= 38 && s <= p {
			return declared{form: decimalForm, precision: int32(p), scale: int32(s)}
		}
	}
	return declared{}
}

// arrow is the type and kind of a column whose values all have the form; zoned says that its timestamps name an offset.
func (d declared) arrow(zoned bool) (arrow.DataType, string) {
	switch d.form {
	case dateForm:
		return arrow.FixedWidthTypes.Date32, ""
	case timestampForm:
		if zoned {
			return arrow.FixedWidthTypes.Timestamp_us, ""
		}
		return &arrow.TimestampType{Unit: arrow.Microsecond}, ""
	case booleanForm:
		return arrow.FixedWidthTypes.Boolean, ""
	case decimalForm:
		return &arrow.Decimal128Type{Precision: d.precision, Scale: d.scale}, ""
	}
	return arrow.BinaryTypes.String, batch.KindJSON
}

// affinity is the type of a column that holds nothing yet, by SQLite's own rules for
// declared types; names SQLite only knows as "numeric", such as STRING or UUID, are text.
func affinity(native string) arrow.DataType {
	t := strings.ToUpper(native)
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(t, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("INT"):
		return arrow.PrimitiveTypes.Int64
	case has("CHAR", "CLOB", "TEXT"):
		return arrow.BinaryTypes.String
	case has("BLOB"):
		return arrow.BinaryTypes.Binary
	case has("REAL", "FLOA", "DOUB", "NUMERIC", "DECIMAL", "NUMBER"): //nolint:misspell // SQLite's own rule looks for DOUB
		return arrow.PrimitiveTypes.Float64
	}
	return arrow.BinaryTypes.String
}

// census is what a survey found in one column.
type census struct {
	nulls, integers, reals, texts, blobs int64
	bytes                                int64
	inexact                              int64  // integers no float64 equals
	invalid                              int64  // texts that are not UTF-8
	misfits                              int64  // values without the declared form
	zoned                                int64  // timestamps that name an offset
	first                                moment // the first timestamp
	uneven                               bool   // timestamps written in different ways, so that different texts may be one instant
}

func (c *census) values() int64 { return c.integers + c.reals + c.texts + c.blobs }

// resolve decides a column's type from its survey. Every value the survey saw is
// held by the type without loss. A key column must also keep different values different.
func resolve(col *connector.Column, c *census, key bool) {
	d := parseDeclared(col.Native)
	if d.form != plainForm {
		misfits := c.misfits
		if d.form == timestampForm && misfits == 0 && c.zoned > 0 && c.zoned < c.texts {
			misfits = min(c.zoned, c.texts-c.zoned)
			col.Notes = append(col.Notes, fmt.Sprintf("declared %s, but %d values name a UTC offset and %d don't", col.Native, c.zoned, c.texts-c.zoned))
		} else if misfits > 0 {
			col.Notes = append(col.Notes, fmt.Sprintf("declared %s, but %d of %d values can't be read as that without loss", col.Native, misfits, c.values()))
		}
		if d.form == timestampForm && key && c.uneven {
			misfits = 1
			col.Notes = append(col.Notes, fmt.Sprintf("declared %s, but a key written in several ways: kept as it is, so that different keys stay different", col.Native))
		}
		if misfits == 0 {
			col.Type.DataType, col.Kind = d.arrow(c.zoned > 0)
			return
		}
	}
	col.Type.DataType = c.storage(col)
}

// storage is the type by storage classes alone.
func (c *census) storage(col *connector.Column) arrow.DataType {
	switch c.values() {
	case 0:
		return affinity(col.Native)
	case c.integers:
		return arrow.PrimitiveTypes.Int64
	case c.integers + c.reals:
		if c.inexact == 0 {
			return arrow.PrimitiveTypes.Float64
		}
	case c.blobs:
		return arrow.BinaryTypes.Binary
	}
	if c.invalid > 0 {
		col.Notes = append(col.Notes, fmt.Sprintf("%d of %d texts are not UTF-8: the column arrives as bytes", c.invalid, c.texts))
	}
	if c.mixed() {
		var parts []string
		for _, p := range []struct {
			n    int64
			name string
		}{{c.integers, "integer"}, {c.reals, "real"}, {c.texts, "text"}, {c.blobs, "blob"}} {
			if p.n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", p.n, p.name))
			}
		}
		col.Notes = append(col.Notes, "mixed types ("+strings.Join(parts, ", ")+"): the column arrives as text")
	}
	if c.invalid > 0 {
		return arrow.BinaryTypes.Binary
	}
	return arrow.BinaryTypes.String
}

// mixed says whether values of different classes become text, so that different values may become equal.
func (c *census) mixed() bool {
	n := c.values()
	return n != c.integers && n != c.texts && n != c.blobs && (n != c.integers+c.reals || c.inexact > 0)
}
