package connector

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
)

// Type is an Arrow type that reads and writes itself as text, such as
// "decimal128(10,2)", so that plans are data.
type Type struct{ arrow.DataType }

var simpleTypes = []arrow.DataType{
	arrow.FixedWidthTypes.Boolean,
	arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64,
	arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Uint64,
	arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64,
	arrow.BinaryTypes.String, arrow.BinaryTypes.Binary,
	arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Time64us, arrow.FixedWidthTypes.Duration_us,
	arrow.FixedWidthTypes.MonthDayNanoInterval,
	&arrow.TimestampType{Unit: arrow.Microsecond},
	&arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"},
}

// String is the type's name.
func (t Type) String() string {
	switch d := t.DataType.(type) {
	case nil:
		return ""
	case arrow.DecimalType:
		return fmt.Sprintf("%s(%d,%d)", d.Name(), d.GetPrecision(), d.GetScale())
	case *arrow.ListType:
		return "list<" + Type{d.Elem()}.String() + ">"
	}
	return t.DataType.String()
}

// MarshalJSON writes the type's name.
func (t Type) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (t *Type) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	parsed, err := ParseType(s)
	*t = parsed
	return err
}

// ParseType reads a type's name. It knows the types sources produce, not all of Arrow's.
func ParseType(s string) (Type, error) {
	for _, d := range simpleTypes {
		if d.String() == s {
			return Type{d}, nil
		}
	}
	if elem, ok := strings.CutPrefix(s, "list<"); ok && strings.HasSuffix(elem, ">") {
		t, err := ParseType(strings.TrimSuffix(elem, ">"))
		if err != nil {
			return Type{}, err
		}
		return Type{arrow.ListOf(t.DataType)}, nil
	}
	name, args, ok := strings.Cut(strings.TrimSuffix(s, ")"), "(")
	p, scale, ok2 := strings.Cut(args, ",")
	prec, err1 := strconv.ParseInt(p, 10, 32)
	sc, err2 := strconv.ParseInt(scale, 10, 32)
	if ok && ok2 && err1 == nil && err2 == nil {
		switch name {
		case "decimal", "decimal128":
			return Type{&arrow.Decimal128Type{Precision: int32(prec), Scale: int32(sc)}}, nil
		case "decimal256":
			return Type{&arrow.Decimal256Type{Precision: int32(prec), Scale: int32(sc)}}, nil
		}
	}
	return Type{}, fmt.Errorf("unknown type %q", s)
}
