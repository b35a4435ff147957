package bigquery

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/zeebo/xxh3"

	bq "cloud.google.com/go/bigquery"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
)

// The mapping. BigQuery has one integer and one float type, so narrow ones widen without loss. What it has no type for
// becomes text: decimals beyond BIGNUMERIC, durations, intervals and lists (whose arrays know no nulls). A BIGNUMERIC of more than the 38 digits that
// a Parquet file carries is text on its way there.
//
// Everything is NULLABLE, and no key is declared. BigQuery can't add a required column to a table with rows, so that what is required would depend
// on a table's history and not on its source; a column that the source drops would stand in the way of the next load. And BigQuery does not
// check a key but believes it: one that is not unique for a moment would make wrong answers.

// native is the BigQuery type of an Arrow type, the Arrow type that stands for it, and what a reader should know.
func native(f arrow.Field) (bq.FieldType, arrow.DataType, string) {
	text := arrow.BinaryTypes.String
	switch t := f.Type.(type) {
	case *arrow.BooleanType:
		return bq.BooleanFieldType, t, ""
	case *arrow.Uint64Type:
		return bq.NumericFieldType, &arrow.Decimal128Type{Precision: 20}, "NUMERIC: it may exceed INT64"
	case *arrow.Float32Type:
		return bq.FloatFieldType, arrow.PrimitiveTypes.Float64, "64 bits, the same values"
	case *arrow.Float64Type:
		return bq.FloatFieldType, t, ""
	case *arrow.Decimal128Type:
		switch {
		case t.Scale >= 0 && t.Scale <= 9 && t.Precision-t.Scale <= 29:
			return bq.NumericFieldType, t, ""
		case bigNumeric(t):
			return bq.BigNumericFieldType, t, ""
		}
		return bq.StringFieldType, text, beyondNumeric
	case *arrow.Decimal256Type:
		if bigNumeric(t) {
			return bq.BigNumericFieldType, text, ""
		}
		return bq.StringFieldType, text, beyondNumeric
	case *arrow.BinaryType:
		switch {
		case batch.Meta(f, batch.KindKey) != batch.KindGeometry:
			return bq.BytesFieldType, t, ""
		case geographic(batch.Meta(f, batch.NativeKey)):
			return bq.GeographyFieldType, t, "edges are the shortest lines on the globe; BYTES (WKB) if a value is no longitude and latitude"
		}
		return bq.BytesFieldType, t, "WKB: the column is not declared to be in SRID 4326; ST_GEOGFROMWKB makes a GEOGRAPHY of it"
	case *arrow.Date32Type:
		return bq.DateFieldType, t, ""
	case *arrow.Time64Type:
		return bq.TimeFieldType, t, ""
	case *arrow.TimestampType:
		if t.TimeZone == "" {
			return bq.DateTimeFieldType, t, ""
		}
		return bq.TimestampFieldType, t, ""
	case *arrow.DurationType:
		return bq.StringFieldType, text, "text such as -838:59:59.000001: TIME ends at 24 hours"
	case *arrow.MonthDayNanoIntervalType:
		return bq.StringFieldType, text, "text such as P1Y2M3DT4H5M6.789S: intervals can't be loaded"
	case *arrow.ListType:
		return bq.StringFieldType, text, "a list as text: BigQuery's arrays hold no nulls and can't be null"
	case *arrow.StringType:
		if batch.Meta(f, batch.KindKey) == batch.KindJSON {
			return bq.JSONFieldType, t, "STRING if JSON would change a value, as a number of too many digits"
		}
		return bq.StringFieldType, t, ""
	}
	if arrow.IsInteger(f.Type.ID()) {
		return bq.IntegerFieldType, f.Type, ""
	}
	return bq.StringFieldType, text, "text"
}

const beyondNumeric = "text: more digits than BIGNUMERIC has"

// bigNumeric says whether BIGNUMERIC holds all values of a decimal type.
func bigNumeric(t arrow.DecimalType) bool {
	return t.GetScale() >= 0 && t.GetScale() <= 38 && t.GetPrecision()-t.GetScale() <= 38
}

// standard is a type's name in GoogleSQL, which differs from the API's for three.
func standard(t bq.FieldType) string {
	switch t {
	case bq.IntegerFieldType:
		return "INT64"
	case bq.FloatFieldType:
		return "FLOAT64"
	case bq.BooleanFieldType:
		return "BOOL"
	}
	return string(t)
}

// columns plans the columns of a table.
func columns(schema *arrow.Schema) []connector.ColumnPlan {
	plans := make([]connector.ColumnPlan, schema.NumFields())
	taken := map[string]bool{}
	for i, f := range schema.Fields() {
		typ, arrowType, note := native(f)
		name := connector.FreeName(columnName(f.Name), taken, strings.ToLower)
		if name != f.Name {
			note = strings.TrimSuffix(fmt.Sprintf("named %s: BigQuery can't hold the name, or another's differs only by case; %s", name, note), "; ")
		}
		plans[i] = connector.ColumnPlan{
			From: f.Name, Name: name, Type: connector.Type{DataType: arrowType}, Kind: batch.Meta(f, batch.KindKey), Native: standard(typ),
			Source: batch.Meta(f, batch.NativeKey), Nullable: f.Nullable, Comment: batch.Meta(f, batch.CommentKey), Note: note,
		}
	}
	return plans
}

// maxColumnRunes is BigQuery's limit, less room for a suffix.
const maxColumnRunes = 290

// reserved are prefixes that column names may not have, whatever the case.
var reserved = []string{
	"_TABLE_", "_FILE_", "_PARTITION", "_ROW_TIMESTAMP", "__ROOT__", "_COLIDENTIFIER", "_CHANGE_SEQUENCE_NUMBER",
	"_CHANGE_TYPE", "_CHANGE_TIMESTAMP", "_FIELD_",
}

// columnName is a name as BigQuery's flexible column names allow it: letters of all scripts, but not every punctuation mark.
func columnName(name string) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.L, unicode.N, unicode.Pc, unicode.Pd, unicode.M) || strings.ContainsRune("&%=+:'<>#| ", r) {
			return r
		}
		return '_'
	}, name)
	clean = strings.TrimSpace(clean)
	if r := []rune(clean); len(r) > maxColumnRunes {
		clean = string(r[:maxColumnRunes])
	}
	for _, p := range reserved {
		if len(clean) >= len(p) && strings.EqualFold(clean[:len(p)], p) {
			return "c" + clean
		}
	}
	if clean == "" {
		return "_"
	}
	return clean
}

// tableName is a name as BigQuery allows it. A name that had to be changed carries a hash of the original, so that two
// never become one.
func tableName(name string) string {
	clean := strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.Pc, unicode.Pd, unicode.Zs) {
			return r
		}
		return '_'
	}, name))
	const most = 1000 // bytes, of 1024
	if clean == name && len(name) <= most {
		return name
	}
	for len(clean) > most {
		r := []rune(clean)
		clean = string(r[:len(r)-1])
	}
	return fmt.Sprintf("%s_%06x", clean, xxh3.HashString(name)&0xffffff)
}

// quote is a name in GoogleSQL. No name that tableName or columnName returns has a backtick or backslash.
func quote(parts ...string) string { return "`" + strings.Join(parts, "`.`") + "`" }

// fieldsOf is a plan's schema as BigQuery has it, with descriptions and policy tags that are there already kept.
func fieldsOf(plan connector.TablePlan, live bq.Schema) bq.Schema {
	have := byName(live)
	var out bq.Schema
	for _, c := range plan.Columns {
		f := &bq.FieldSchema{Name: c.Name, Type: apiType(c.Native), Description: cut(c.Comment)}
		if old := have[strings.ToLower(c.Name)]; old != nil {
			f.Name, f.PolicyTags, f.DefaultValueExpression = old.Name, old.PolicyTags, old.DefaultValueExpression
			f.Required = old.Required && !c.Nullable // as somebody made it
			if f.Description == "" {
				f.Description = old.Description
			}
		}
		out = append(out, f)
	}
	return out
}

func apiType(standard string) bq.FieldType {
	switch standard {
	case "INT64":
		return bq.IntegerFieldType
	case "FLOAT64":
		return bq.FloatFieldType
	case "BOOL":
		return bq.BooleanFieldType
	}
	return bq.FieldType(standard)
}

func byName(s bq.Schema) map[string]*bq.FieldSchema {
	m := map[string]*bq.FieldSchema{}
	for _, f := range s {
		m[strings.ToLower(f.Name)] = f
	}
	return m
}

// cut keeps a comment within BigQuery's 1,024 characters for descriptions that jobs and tables share.
func cut(comment string) string {
	if r := []rune(comment); len(r) > 1024 {
		return string(r[:1023]) + "…"
	}
	return comment
}
