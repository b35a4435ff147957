package files

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
)

// The mapping, by format:
//
//   - Parquet holds every type of the contract natively but three, which become text
//     without loss: durations ([-]HH:MM:SS[.ffffff]), calendar intervals (ISO 8601; Parquet's INTERVAL has
//     milliseconds only) and decimals of more than 38 digits. Lists of those are lists of text. UUID and JSON are
//     strings. Column names that differ only by case get a suffix: nearly every reader folds them.
//   - Arrow holds everything natively, under the names of the source.
//   - CSV and NDJSON have no types of their own: values keep their Arrow type in the plan and format/ writes
//     a text form that reads back as exactly that value.

// columns plans the columns of a table.
func (s Spec) columns(schema *arrow.Schema) []connector.ColumnPlan {
	plans := make([]connector.ColumnPlan, schema.NumFields())
	taken := map[string]bool{}
	for i, f := range schema.Fields() {
		p := connector.ColumnPlan{
			From: f.Name, Name: f.Name, Type: connector.Type{DataType: f.Type}, Kind: batch.Meta(f, batch.KindKey),
			Nullable: f.Nullable, Comment: batch.Meta(f, batch.CommentKey), Source: batch.Meta(f, batch.NativeKey),
		}
		if s.Format == parquet {
			p.Name = connector.FreeName(f.Name, taken, strings.ToLower)
			p.Type.DataType = standIn(f.Type)
			if _, ok := f.Type.(*arrow.Decimal256Type); ok {
				p.Kind = batch.KindDecimal
			}
			p.Note = standInNote(f.Type)
			if p.Name != p.From {
				p.Note = joinNotes(fmt.Sprintf("named %s: another column's name differs only by case", p.Name), p.Note)
			}
		}
		p.Native = s.native(p.Type)
		plans[i] = p
	}
	return plans
}

// standIn is the type Parquet holds values of type t as.
func standIn(t arrow.DataType) arrow.DataType {
	switch t := t.(type) {
	case *arrow.DurationType, *arrow.MonthDayNanoIntervalType, *arrow.Decimal256Type:
		return arrow.BinaryTypes.String
	case *arrow.ListType:
		if elem := standIn(t.Elem()); elem != t.Elem() {
			return arrow.ListOf(elem)
		}
	}
	return t
}

func standInNote(t arrow.DataType) string {
	switch t := t.(type) {
	case *arrow.DurationType:
		return "text such as -838:59:59.000001: Parquet has no type for it"
	case *arrow.MonthDayNanoIntervalType:
		return "text such as P1Y2M3DT4H5M6.789S: Parquet has no type that keeps it exactly"
	case *arrow.Decimal256Type:
		return "text: Parquet readers know decimals of at most 38 digits"
	case *arrow.ListType:
		return standInNote(t.Elem())
	}
	return ""
}

func joinNotes(notes ...string) string {
	var kept []string
	for _, n := range notes {
		if n != "" {
			kept = append(kept, n)
		}
	}
	return strings.Join(kept, "; ")
}

// native is the type in the format's own words.
func (s Spec) native(t connector.Type) string {
	switch s.Format {
	case parquet:
		return parquetType(t.DataType)
	case ndjson:
		return jsonType(t.DataType)
	case csv:
		return "text"
	}
	return t.String()
}

// parquetType is Parquet's logical type, or its physical one where it has no other.
func parquetType(t arrow.DataType) string {
	switch t := t.(type) {
	case *arrow.BooleanType:
		return "BOOLEAN"
	case *arrow.Float32Type:
		return "FLOAT"
	case *arrow.Float64Type:
		return "DOUBLE"
	case *arrow.StringType:
		return "STRING"
	case *arrow.BinaryType:
		return "BYTE_ARRAY"
	case *arrow.Date32Type:
		return "DATE"
	case *arrow.Time64Type:
		return "TIME(MICROS)"
	case *arrow.TimestampType:
		if t.TimeZone != "" {
			return "TIMESTAMP(MICROS, UTC)"
		}
		return "TIMESTAMP(MICROS)"
	case *arrow.Decimal128Type:
		return fmt.Sprintf("DECIMAL(%d,%d)", t.Precision, t.Scale)
	case *arrow.ListType:
		return "LIST<" + parquetType(t.Elem()) + ">"
	}
	return strings.ToUpper(t.String()) // INT8 … UINT64
}

// jsonType is what a value is in JSON.
func jsonType(t arrow.DataType) string {
	switch t := t.(type) {
	case *arrow.BooleanType:
		return "boolean"
	case *arrow.ListType:
		return "array of " + jsonType(t.Elem())
	case *arrow.Float32Type, *arrow.Float64Type:
		return "number"
	}
	if arrow.IsInteger(t.ID()) {
		return "number"
	}
	return "string"
}

// change says how a column's type differs from the one before, "" when it doesn't.
func change(from, to connector.ColumnPlan) string {
	a, b := from.Native, to.Native
	if a == b { // text formats call different types the same
		a, b = from.Type.String(), to.Type.String()
	}
	if a == b {
		return ""
	}
	return fmt.Sprintf("column %s: %s -> %s", to.Name, a, b)
}

// changes compares a published table's columns with the planned ones.
func changes(from, to []connector.ColumnPlan) []string {
	before := map[string]connector.ColumnPlan{}
	for _, c := range from {
		before[c.Name] = c
	}
	var lines []string
	for _, c := range to {
		old, ok := before[c.Name]
		if !ok {
			lines = append(lines, fmt.Sprintf("column %s: new", c.Name))
			continue
		}
		delete(before, c.Name)
		if line := change(old, c); line != "" {
			lines = append(lines, line)
		}
	}
	for _, c := range from {
		if _, gone := before[c.Name]; gone {
			lines = append(lines, fmt.Sprintf("column %s: gone", c.Name))
		}
	}
	return lines
}
