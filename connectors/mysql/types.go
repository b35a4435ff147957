package mysql

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
)

// native is a column type in the server's words, taken apart: "decimal(10,2) unsigned".
type native struct {
	base     string // lower case, as in "decimal"
	args     []int  // what stands in parentheses, if it is numbers
	unsigned bool
}

func parseNative(s string) native {
	s = strings.ToLower(strings.TrimSpace(s))
	end := strings.IndexAny(s, "( ")
	if end < 0 {
		return native{base: s}
	}
	n := native{base: s[:end]}
	rest := s[end:]
	if strings.HasPrefix(rest, "(") && n.base != "enum" && n.base != "set" {
		inside, after, _ := strings.Cut(rest[1:], ")")
		for _, arg := range strings.Split(inside, ",") {
			if v, err := strconv.Atoi(strings.TrimSpace(arg)); err == nil {
				n.args = append(n.args, v)
			}
		}
		rest = after
	}
	for _, word := range strings.Fields(rest) {
		n.unsigned = n.unsigned || word == "unsigned" || word == "zerofill"
	}
	return n
}

// arg is the k-th number in parentheses, or def.
func (n native) arg(k, def int) int {
	if k < len(n.args) {
		return n.args[k]
	}
	return def
}

var (
	timestampUTC = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	timestamp    = &arrow.TimestampType{Unit: arrow.Microsecond}
)

// arrowType is the Arrow type that holds every value of the native one without loss, and
// its kind. A type no one knows is text.
func (n native) arrowType() (arrow.DataType, string) {
	signed := func(s, u arrow.DataType) (arrow.DataType, string) {
		if n.unsigned {
			return u, ""
		}
		return s, ""
	}
	p := arrow.PrimitiveTypes
	switch n.base {
	case "tinyint":
		return signed(p.Int8, p.Uint8)
	case "smallint":
		return signed(p.Int16, p.Uint16)
	case "mediumint", "int", "integer":
		return signed(p.Int32, p.Uint32)
	case "bigint":
		return signed(p.Int64, p.Uint64)
	case "float":
		return p.Float32, ""
	case "double", "real":
		return p.Float64, ""
	case "decimal", "numeric":
		precision, scale := int32(n.arg(0, 10)), int32(n.arg(1, 0))
		if precision > 38 {
			return &arrow.Decimal256Type{Precision: precision, Scale: scale}, ""
		}
		return &arrow.Decimal128Type{Precision: precision, Scale: scale}, ""
	case "date":
		return arrow.FixedWidthTypes.Date32, ""
	case "datetime":
		return timestamp, ""
	case "timestamp":
		return timestampUTC, ""
	case "time":
		return arrow.FixedWidthTypes.Duration_us, ""
	case "year":
		return p.Uint16, batch.KindYear
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext", "inet4", "inet6":
		return arrow.BinaryTypes.String, ""
	case "uuid":
		return arrow.BinaryTypes.String, batch.KindUUID
	case "enum":
		return arrow.BinaryTypes.String, batch.KindEnum
	case "set":
		return arrow.BinaryTypes.String, batch.KindSet
	case "json":
		return arrow.BinaryTypes.String, batch.KindJSON
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		return arrow.BinaryTypes.Binary, ""
	case "bit":
		return p.Uint64, batch.KindBit
	case "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection":
		return arrow.BinaryTypes.Binary, batch.KindGeometry
	}
	return arrow.BinaryTypes.String, batch.KindUnknown
}

// dated says whether values may turn out null though the column is not: zero dates.
func (n native) dated() bool {
	return n.base == "date" || n.base == "datetime" || n.base == "timestamp"
}

// floating says whether the server prints fewer digits than the value has.
func (n native) floating() bool {
	return n.base == "float" || n.base == "double" || n.base == "real"
}

// selection says how a column is asked for: by its name, or as the server's text where the
// config wants text or no one knows the type.
func selection(col connector.Column) (string, error) {
	name, n := quoteName(col.Name), parseNative(col.Native)
	natural, kind := n.arrowType()
	same := connector.Type{DataType: natural}.String() == col.Type.String()
	switch {
	case kind == batch.KindUnknown && n.base == "vector" && col.Type.ID() == arrow.STRING:
		return "VECTOR_TO_STRING(" + name + ")", nil
	case kind == batch.KindUnknown && col.Type.ID() == arrow.STRING:
		return "CAST(" + name + " AS CHAR)", nil
	case same:
		return name, nil
	case col.Type.ID() == arrow.BOOL:
		switch n.base {
		case "tinyint", "smallint", "mediumint", "int", "integer", "bigint", "bit", "year":
			return name, nil
		}
	case col.Type.ID() == arrow.STRING && kind == batch.KindBit:
		return "CAST(" + name + "+0 AS CHAR)", nil
	case col.Type.ID() == arrow.STRING && kind == batch.KindGeometry:
		return "ST_AsText(" + name + ")", nil
	case col.Type.ID() == arrow.STRING:
		return "CAST(" + name + " AS CHAR)", nil
	}
	return "", fmt.Errorf("column %s: %s cannot be read as %s", col.Name, col.Native, col.Type)
}

// pick chooses the decoder for values that come as w and become t. It refuses what does
// not fit: the column is then no longer what was planned.
func pick(w wireColumn, t arrow.DataType, geometry bool) (code, error) {
	misfit := fmt.Errorf("column %s is now of wire type %d (unsigned: %v), planned as %s", w.name, w.code, w.unsigned, t)
	width, isInt := map[byte]int{
		mysql.MYSQL_TYPE_TINY: 1, mysql.MYSQL_TYPE_SHORT: 2, mysql.MYSQL_TYPE_YEAR: 2,
		mysql.MYSQL_TYPE_INT24: 4, mysql.MYSQL_TYPE_LONG: 4, mysql.MYSQL_TYPE_LONGLONG: 8,
	}[w.code]
	fixed := map[int]code{1: asByte, 2: asTwo, 4: asFour, 8: asEight}
	is := func(ok bool, c code) (code, error) {
		if !ok {
			return 0, misfit
		}
		return c, nil
	}
	switch t := t.(type) {
	case *arrow.BooleanType:
		if w.code == mysql.MYSQL_TYPE_BIT {
			return boolBit, nil
		}
		return is(isInt, boolByte+map[int]code{1: 0, 2: 1, 4: 2, 8: 3}[width])
	case *arrow.Int8Type, *arrow.Int16Type, *arrow.Int32Type, *arrow.Int64Type:
		return is(isInt && !w.unsigned && width == t.(arrow.FixedWidthDataType).Bytes(), fixed[width])
	case *arrow.Uint8Type, *arrow.Uint16Type, *arrow.Uint32Type:
		return is(isInt && (w.unsigned || w.code == mysql.MYSQL_TYPE_YEAR) && width == t.(arrow.FixedWidthDataType).Bytes(), fixed[width])
	case *arrow.Uint64Type:
		if w.code == mysql.MYSQL_TYPE_BIT {
			return asBit, nil
		}
		return is(w.code == mysql.MYSQL_TYPE_LONGLONG && w.unsigned, asEight)
	case *arrow.Float32Type:
		return is(w.code == mysql.MYSQL_TYPE_FLOAT, asFour)
	case *arrow.Float64Type:
		return is(w.code == mysql.MYSQL_TYPE_DOUBLE, asEight)
	case *arrow.Decimal128Type:
		return is(w.code == mysql.MYSQL_TYPE_NEWDECIMAL, asDecimal128)
	case *arrow.Decimal256Type:
		return is(w.code == mysql.MYSQL_TYPE_NEWDECIMAL, asDecimal256)
	case *arrow.Date32Type:
		return is(w.code == mysql.MYSQL_TYPE_DATE || w.code == mysql.MYSQL_TYPE_NEWDATE, asDate)
	case *arrow.TimestampType:
		return is(w.code == map[bool]byte{true: mysql.MYSQL_TYPE_TIMESTAMP, false: mysql.MYSQL_TYPE_DATETIME}[t.TimeZone != ""], asDateTime)
	case *arrow.DurationType:
		return is(w.code == mysql.MYSQL_TYPE_TIME, asTime)
	case *arrow.StringType:
		return is(stringy(w.code), asText)
	case *arrow.BinaryType:
		if geometry {
			return is(w.code == mysql.MYSQL_TYPE_GEOMETRY, asGeometry)
		}
		return is(stringy(w.code), asBytes)
	}
	return 0, misfit
}

// stringy says whether a wire type's values are bytes behind a length.
func stringy(wire byte) bool {
	switch wire {
	case mysql.MYSQL_TYPE_VARCHAR, mysql.MYSQL_TYPE_JSON, mysql.MYSQL_TYPE_ENUM, mysql.MYSQL_TYPE_SET, mysql.MYSQL_TYPE_TINY_BLOB,
		mysql.MYSQL_TYPE_MEDIUM_BLOB, mysql.MYSQL_TYPE_LONG_BLOB, mysql.MYSQL_TYPE_BLOB, mysql.MYSQL_TYPE_VAR_STRING, mysql.MYSQL_TYPE_STRING:
		return true
	}
	return false
}
