package postgres

import (
	"fmt"
	"hash/fnv"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
)

// The mapping back: every type of the contract has a PostgreSQL type of the same values, except that
//
//   - whole numbers of 8 bits, and unsigned ones, take the next wider type; 64 unsigned bits numeric(20,0);
//   - MySQL's TIME, a duration of up to 838 hours, becomes interval;
//   - lists of lists become text;
//   - text with a NUL character has no place: a fault names table, column and row.

// target is how a column of an Arrow type is held.
type target struct {
	native string // as format_type prints it
	oid    uint32
	how    how // reads it back
	as     arrow.DataType
	kind   string
	note   string
}

// targetFor finds a column's type.
func targetFor(t arrow.DataType, kind string) target {
	same := func(native string, oid uint32, o op) target {
		return target{native: native, oid: oid, as: t, kind: kind, how: how{Type: t, Kind: kind, Op: o, OID: oid}}
	}
	switch t := t.(type) {
	case *arrow.ListType:
		elem := targetFor(t.Elem(), kind)
		if _, nested := elem.as.(*arrow.ListType); !nested && arrayOIDs[elem.oid] != 0 {
			out := same(elem.native+"[]", arrayOIDs[elem.oid], opList)
			out.as, out.how.Elem = arrow.ListOf(elem.as), &elem.how
			out.how.Type = out.as
			if elem.note != "" {
				out.note = "a list of " + elem.note
			}
			return out
		}
		return target{native: "text", oid: oidText, as: stringType, note: "text: PostgreSQL has no such list", how: how{Type: stringType, Op: opText, OID: oidText}}
	case arrow.DecimalType:
		o := opDecimal128
		if t.ID() == arrow.DECIMAL256 {
			o = opDecimal256
		}
		return same(fmt.Sprintf("numeric(%d,%d)", t.GetPrecision(), t.GetScale()), oidNumeric, o)
	case *arrow.TimestampType:
		if t.TimeZone != "" {
			return same("timestamp with time zone", oidTimestampTZ, opTimestamp)
		}
		return same("timestamp without time zone", oidTimestamp, opTimestamp)
	}
	switch t.ID() {
	case arrow.BOOL:
		return same("boolean", oidBool, opBool)
	case arrow.INT8, arrow.UINT8:
		return same("smallint", oidInt2, opNarrow8)
	case arrow.INT16:
		return same("smallint", oidInt2, op16)
	case arrow.UINT16:
		return same("integer", oidInt4, opNarrow16)
	case arrow.INT32:
		return same("integer", oidInt4, op32)
	case arrow.UINT32:
		return same("bigint", oidInt8, opNarrow32)
	case arrow.INT64:
		return same("bigint", oidInt8, op64)
	case arrow.UINT64:
		out := targetFor(&arrow.Decimal128Type{Precision: 20}, kind)
		out.note = "numeric(20,0): PostgreSQL's bigint is signed"
		return out
	case arrow.FLOAT32:
		return same("real", oidFloat4, op32)
	case arrow.FLOAT64:
		return same("double precision", oidFloat8, op64)
	case arrow.BINARY:
		return same("bytea", oidBytea, opBytes)
	case arrow.DATE32:
		return same("date", oidDate, opDate)
	case arrow.TIME64:
		return same("time without time zone", oidTime, opTime)
	case arrow.DURATION:
		out := same("interval", oidInterval, opDuration)
		out.note = "interval: PostgreSQL's time ends at 24 hours"
		return out
	case arrow.INTERVAL_MONTH_DAY_NANO:
		return same("interval", oidInterval, opInterval)
	}
	switch kind {
	case batch.KindJSON:
		return same("json", oidJSON, opText)
	case batch.KindUUID:
		return same("uuid", oidUUID, opUUID)
	case batch.KindDecimal:
		return same("numeric", oidNumeric, opNumeric)
	}
	return same("text", oidText, opText)
}

// arrayOIDs are the array types by their elements'.
var arrayOIDs = map[uint32]uint32{
	oidBool: 1000, oidBytea: 1001, oidInt2: 1005, oidInt4: 1007, oidInt8: 1016, oidText: oidTextArray, oidFloat4: 1021, oidFloat8: 1022,
	oidTimestamp: 1115, oidDate: 1182, oidTime: 1183, oidTimestampTZ: 1185, oidInterval: 1187, oidNumeric: 1231, oidUUID: 2951, oidJSON: 199,
}

// systemColumns are names every table has taken already.
var systemColumns = []string{"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}

// targetColumns plans the columns of a table.
func targetColumns(schema *arrow.Schema) []connector.ColumnPlan {
	plans := make([]connector.ColumnPlan, schema.NumFields())
	taken := map[string]bool{}
	for _, name := range systemColumns {
		taken[name] = true
	}
	for i, f := range schema.Fields() {
		to := targetFor(f.Type, batch.Meta(f, batch.KindKey))
		p := connector.ColumnPlan{
			From: f.Name, Name: freeName(f.Name, taken), Type: connector.Type{DataType: to.as}, Kind: to.kind, Native: to.native,
			Nullable: f.Nullable, Comment: batch.Meta(f, batch.CommentKey), Source: batch.Meta(f, batch.NativeKey), Note: to.note,
		}
		if p.Name != f.Name {
			if p.Note != "" {
				p.Note = "; " + p.Note
			}
			p.Note = fmt.Sprintf("named %s, as PostgreSQL's names end at %d bytes and some are its own%s", p.Name, maxName, p.Note)
		}
		plans[i] = p
	}
	return plans
}

// freeName is a name PostgreSQL takes as it is and that no other column has.
func freeName(name string, taken map[string]bool) string {
	if name == "" {
		name = "column"
	}
	free := shortName(name)
	for i := 2; taken[free]; i++ {
		free = shortName(fmt.Sprintf("%s_%d", name, i))
	}
	taken[free] = true
	return free
}

// maxName is how many bytes a name may have; PostgreSQL cuts off the rest without a word.
const maxName = 63

// shortName is name, or its beginning and a hash of it.
func shortName(name string) string {
	if len(name) <= maxName {
		return name
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	end := maxName - 9
	for !utf8.RuneStart(name[end]) {
		end--
	}
	return fmt.Sprintf("%s_%08x", name[:end], h.Sum32())
}
