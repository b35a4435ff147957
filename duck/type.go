package duck

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
)

var sqlTypes = map[arrow.Type]string{
	arrow.BOOL: "BOOLEAN",
	arrow.INT8: "TINYINT", arrow.INT16: "SMALLINT", arrow.INT32: "INTEGER", arrow.INT64: "BIGINT",
	arrow.UINT8: "UTINYINT", arrow.UINT16: "USMALLINT", arrow.UINT32: "UINTEGER", arrow.UINT64: "UBIGINT",
	arrow.FLOAT32: "FLOAT", arrow.FLOAT64: "DOUBLE",
	arrow.STRING: "VARCHAR", arrow.BINARY: "BLOB",
	arrow.DATE32: "DATE", arrow.TIME64: "TIME",
	arrow.DURATION: "INTERVAL", arrow.INTERVAL_MONTH_DAY_NANO: "INTERVAL",
}

// maxDigits is the most digits a DECIMAL of DuckDB has.
const maxDigits = 38

// SQLType is DuckDB's type for an Arrow type of a kind (batch.Kind…, or ""). ok is false for what DuckDB
// can't hold without loss.
func SQLType(t arrow.DataType, kind string) (sql string, ok bool) {
	switch t := t.(type) {
	case *arrow.TimestampType:
		if t.TimeZone != "" {
			return "TIMESTAMPTZ", t.Unit == arrow.Microsecond
		}
		return "TIMESTAMP", t.Unit == arrow.Microsecond
	case *arrow.Decimal128Type:
		return fmt.Sprintf("DECIMAL(%d,%d)", t.Precision, t.Scale), t.Precision <= maxDigits && t.Scale >= 0 && t.Scale <= t.Precision
	case *arrow.ListType:
		elem, ok := SQLType(t.Elem(), "")
		return elem + "[]", ok
	case *arrow.StringType:
		switch kind {
		case batch.KindUUID:
			return "UUID", true
		case batch.KindJSON:
			return "JSON", true
		}
	}
	sql, ok = sqlTypes[t.ID()]
	return sql, ok
}

// ReadExpr is the SQL expression that reads a column of SQLType(t, …), given as SQL,
// so that [DB.Scan] can show it as t.
func ReadExpr(col string, t arrow.DataType) string {
	switch t := t.(type) {
	case *arrow.DurationType:
		return "epoch_us(" + col + ")"
	case *arrow.ListType:
		if inner := ReadExpr("x", t.Elem()); inner != "x" {
			return "list_transform(" + col + ", lambda x: " + inner + ")"
		}
	}
	return col
}

// sameLayout says whether arrays of type have can be shown as want: same bytes, same meaning.
func sameLayout(want, have arrow.DataType) bool {
	if l, ok := want.(*arrow.ListType); ok {
		h, ok := have.(*arrow.ListType)
		return ok && sameLayout(l.Elem(), h.Elem())
	}
	if want.ID() == arrow.DURATION {
		return have.ID() == arrow.INT64 || arrow.TypeEqual(want, have)
	}
	return arrow.TypeEqual(want, normalType(have))
}

// normal is a result's schema in kitamae's words.
func normal(schema *arrow.Schema) *arrow.Schema {
	fields := make([]arrow.Field, schema.NumFields())
	for i, f := range schema.Fields() {
		fields[i] = arrow.Field{Name: f.Name, Type: normalType(f.Type), Nullable: true}
	}
	return arrow.NewSchema(fields, nil)
}

// normalType is DuckDB's Arrow type in kitamae's words: the time zone is called UTC, list elements "item".
func normalType(t arrow.DataType) arrow.DataType {
	switch t := t.(type) {
	case *arrow.TimestampType:
		if t.TimeZone == "Etc/UTC" || t.TimeZone == "UTC" {
			return &arrow.TimestampType{Unit: t.Unit, TimeZone: "UTC"}
		}
	case *arrow.ListType:
		return arrow.ListOf(normalType(t.Elem()))
	}
	return t
}
