package postgres

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// OIDs of the types kitamae reads in binary, as every PostgreSQL numbers them.
const (
	oidBool        = 16
	oidBytea       = 17
	oidChar        = 18
	oidName        = 19
	oidInt8        = 20
	oidInt2        = 21
	oidInt2Vector  = 22
	oidInt4        = 23
	oidText        = 25
	oidOID         = 26
	oidOIDVector   = 30
	oidJSON        = 114
	oidFloat4      = 700
	oidFloat8      = 701
	oidTextArray   = 1009
	oidBPChar      = 1042
	oidVarchar     = 1043
	oidDate        = 1082
	oidTime        = 1083
	oidTimestamp   = 1114
	oidTimestampTZ = 1184
	oidInterval    = 1186
	oidBit         = 1560
	oidVarbit      = 1562
	oidNumeric     = 1700
	oidUUID        = 2950
	oidJSONB       = 3802
)

// pgType is one row of pg_type.
type pgType struct {
	OID      uint32
	Name     string
	Schema   string
	Class    string // typtype: b base, d domain, e enum, r range, m multirange, p pseudo
	Base     uint32 // of a domain
	BaseMod  int32
	Elem     uint32
	Category string
	Length   int16
	Dims     int32 // of a domain over an array
}

// catalog is pg_type by OID, without the composite types.
type catalog map[uint32]pgType

// how says how one column is selected and decoded.
type how struct {
	Type arrow.DataType
	Kind string
	// Cast changes the value at the server before it is sent; Geometry is the schema of ST_AsBinary.
	Cast     cast
	Geometry string
	Op       op
	// OID is the type the server must announce, 0 where any will do.
	OID  uint32
	Elem *how // of a list
	Note string
}

// cast is what is selected in place of the column itself.
type cast uint8

const (
	asIs     cast = iota
	asText        // ::text
	asTexts       // ::text[]
	asWKB         // ST_AsBinary
	asNonNil      // <> 0
	asAnyBit      // has a bit that is set
)

var (
	stringType = arrow.BinaryTypes.String
	binaryType = arrow.BinaryTypes.Binary
	timestamp  = &arrow.TimestampType{Unit: arrow.Microsecond}
	instant    = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
)

// text reads a type in the server's own text form.
func text(kind, note string) how {
	return how{Type: stringType, Kind: kind, Cast: asText, Op: opText, OID: oidText, Note: note}
}

// resolve says how to read a column of type oid with the modifier mod and dims declared dimensions.
func (c catalog) resolve(oid uint32, mod int32, dims int) how {
	t, ok := c[oid]
	for ok && t.Class == "d" {
		oid, dims = t.Base, max(dims, int(t.Dims))
		if t.BaseMod >= 0 {
			mod = t.BaseMod
		}
		t, ok = c[oid]
	}
	if h, ok := builtin(oid, mod); ok {
		h.OID = oid
		if h.Cast == asText {
			h.OID = oidText
		}
		return h
	}
	switch {
	case !ok: // composite
		return text("", "")
	case t.Class == "e":
		return how{Type: stringType, Kind: batch.KindEnum, Op: opText, OID: oid}
	case t.Class == "r", t.Class == "m":
		return text("", "")
	case t.Category == "A" && t.Elem != 0 && t.Length == -1 && oid != oidInt2Vector && oid != oidOIDVector:
		return c.array(oid, t.Elem, mod, dims)
	case t.Name == "citext":
		return how{Type: stringType, Op: opText, OID: oid}
	case t.Name == "geometry", t.Name == "geography":
		return how{Type: binaryType, Kind: batch.KindGeometry, Cast: asWKB, Geometry: t.Schema, Op: opBytes, OID: oidBytea}
	case t.Schema == "pg_catalog", t.Name == "hstore", t.Name == "ltree":
		return text("", "")
	}
	return text(batch.KindUnknown, fmt.Sprintf("type %s.%s is not known and comes as the server's text", t.Schema, t.Name))
}

// array reads a one-dimensional array as a list. Elements without a binary form come as texts.
func (c catalog) array(oid, elem uint32, mod int32, dims int) how {
	if dims > 1 {
		return text("", fmt.Sprintf("an array of %d dimensions comes as the server's text", dims))
	}
	e := c.resolve(elem, mod, 0)
	if e.Cast != asIs || e.Elem != nil {
		e = how{Type: stringType, Op: opText, OID: oidText}
		return how{Type: arrow.ListOf(stringType), Cast: asTexts, Op: opList, OID: oidTextArray, Elem: &e}
	}
	e.OID = elem // a domain's elements carry the domain's OID
	return how{Type: arrow.ListOf(e.Type), Op: opList, OID: oid, Elem: &e}
}

// builtin maps the types every PostgreSQL has and kitamae knows by number.
func builtin(oid uint32, mod int32) (how, bool) {
	switch oid {
	case oidBool:
		return how{Type: arrow.FixedWidthTypes.Boolean, Op: opBool}, true
	case oidInt2:
		return how{Type: arrow.PrimitiveTypes.Int16, Op: op16}, true
	case oidInt4:
		return how{Type: arrow.PrimitiveTypes.Int32, Op: op32}, true
	case oidInt8:
		return how{Type: arrow.PrimitiveTypes.Int64, Op: op64}, true
	case oidOID:
		return how{Type: arrow.PrimitiveTypes.Uint32, Op: op32}, true
	case oidFloat4:
		return how{Type: arrow.PrimitiveTypes.Float32, Op: op32}, true
	case oidFloat8:
		return how{Type: arrow.PrimitiveTypes.Float64, Op: op64}, true
	case oidNumeric:
		return numeric(mod), true
	case oidText, oidVarchar, oidBPChar, oidName:
		return how{Type: stringType, Op: opText}, true
	case oidChar:
		return text("", ""), true
	case oidBytea:
		return how{Type: binaryType, Op: opBytes}, true
	case oidDate:
		return how{Type: arrow.FixedWidthTypes.Date32, Op: opDate}, true
	case oidTimestamp:
		return how{Type: timestamp, Op: opTimestamp}, true
	case oidTimestampTZ:
		return how{Type: instant, Op: opTimestamp}, true
	case oidTime:
		return how{Type: arrow.FixedWidthTypes.Time64us, Op: opTime}, true
	case oidInterval:
		return how{Type: arrow.FixedWidthTypes.MonthDayNanoInterval, Op: opInterval}, true
	case oidUUID:
		return how{Type: stringType, Kind: batch.KindUUID, Op: opUUID}, true
	case oidJSON:
		return how{Type: stringType, Kind: batch.KindJSON, Op: opText}, true
	case oidJSONB:
		return how{Type: stringType, Kind: batch.KindJSON, Op: opJSONB}, true
	case oidBit, oidVarbit:
		return text(batch.KindBit, ""), true
	}
	return how{}, false
}

// numeric maps numeric(p,s), whose modifier packs p and a scale of 11 signed bits.
func numeric(mod int32) how {
	if mod >= 4 {
		precision := (mod - 4) >> 16 & 0xffff
		scale := ((mod-4)&0x7ff ^ 0x400) - 0x400
		switch {
		case scale < 0 || scale > precision:
		case precision <= 38:
			return how{Type: &arrow.Decimal128Type{Precision: precision, Scale: scale}, Op: opDecimal128}
		case precision <= 76:
			return how{Type: &arrow.Decimal256Type{Precision: precision, Scale: scale}, Op: opDecimal256}
		}
	}
	return how{Type: stringType, Kind: batch.KindDecimal, Op: opNumeric}
}

// becomesNull says whether some values of the type have no Arrow form and are read as
// null (infinite dates, NaN): such a column may hold nulls though the source's never does.
func (h how) becomesNull() bool {
	switch h.Op {
	case opDate, opTimestamp, opInterval, opDecimal128, opDecimal256:
		return true
	}
	return false
}

// wanted changes how a column is read to the type the config asks for: boolean or text.
func (h how) wanted(col connector.Column) (how, error) {
	want := col.Type.DataType
	switch {
	case want == nil || arrow.TypeEqual(want, h.Type):
		return h, nil
	case want.ID() == arrow.BOOL:
		b := how{Type: want, Op: opBool, OID: oidBool, Cast: asNonNil}
		switch h.Type.ID() {
		case arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT32:
			return b, nil
		}
		if h.Kind == batch.KindBit {
			b.Cast = asAnyBit
			return b, nil
		}
	case want.ID() == arrow.STRING:
		return text(col.Kind, ""), nil
	}
	return h, fault.New(fault.Config, "postgres.column_type", "take the type out of the column's settings, or use `text`",
		"column %s is %s, which can't be read as %s", col.Name, col.Native, col.Type)
}

// expr is what to select for the column.
func (h how) expr(name string) string {
	q := ident(name)
	switch h.Cast {
	case asText:
		return q + "::pg_catalog.text"
	case asTexts:
		return q + "::pg_catalog.text[]"
	case asWKB:
		return ident(h.Geometry, "st_asbinary") + "(" + q + ")"
	case asNonNil:
		return "(" + q + " <> 0)"
	case asAnyBit:
		return "(pg_catalog.strpos(" + q + "::pg_catalog.text, '1') > 0)"
	}
	return q
}
