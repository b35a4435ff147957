package duckdb

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/duck"
)

// every is one column of each type of the contract with ordinary and extreme values; nil is null.
var every = []struct {
	name, kind string
	typ        arrow.DataType
	native     string
	values     []any
}{
	{"bool", "", arrow.FixedWidthTypes.Boolean, "BOOLEAN", []any{true, false}},
	{"int8", "", arrow.PrimitiveTypes.Int8, "TINYINT", []any{int8(math.MinInt8), int8(math.MaxInt8)}},
	{"int16", "", arrow.PrimitiveTypes.Int16, "SMALLINT", []any{int16(math.MinInt16), int16(math.MaxInt16)}},
	{"int32", "", arrow.PrimitiveTypes.Int32, "INTEGER", []any{int32(math.MinInt32), int32(math.MaxInt32)}},
	{"int64", "", arrow.PrimitiveTypes.Int64, "BIGINT", []any{int64(math.MinInt64), int64(math.MaxInt64), int64(0)}},
	{"uint8", "", arrow.PrimitiveTypes.Uint8, "UTINYINT", []any{uint8(0), uint8(math.MaxUint8)}},
	{"year", batch.KindYear, arrow.PrimitiveTypes.Uint16, "USMALLINT", []any{uint16(0), uint16(math.MaxUint16)}},
	{"uint32", "", arrow.PrimitiveTypes.Uint32, "UINTEGER", []any{uint32(math.MaxUint32)}},
	{"bit", batch.KindBit, arrow.PrimitiveTypes.Uint64, "UBIGINT", []any{uint64(math.MaxUint64), uint64(1) << 63}},
	{"float32", "", arrow.PrimitiveTypes.Float32, "FLOAT", []any{float32(math.Inf(1)), float32(math.Copysign(0, -1)), float32(math.MaxFloat32), float32(math.NaN())}},
	{"float64", "", arrow.PrimitiveTypes.Float64, "DOUBLE", []any{math.Inf(-1), math.Copysign(0, -1), math.MaxFloat64, math.SmallestNonzeroFloat64, math.NaN()}},
	{"dec4", "", &arrow.Decimal128Type{Precision: 4, Scale: 2}, "DECIMAL(4,2)", []any{dec("9999"), dec("-9999"), dec("0")}},
	{"dec9", "", &arrow.Decimal128Type{Precision: 9, Scale: 9}, "DECIMAL(9,9)", []any{dec("999999999"), dec("-1")}},
	{"dec18", "", &arrow.Decimal128Type{Precision: 18, Scale: 0}, "DECIMAL(18,0)", []any{dec("999999999999999999"), dec("-999999999999999999")}},
	{"dec38", "", &arrow.Decimal128Type{Precision: 38, Scale: 10}, "DECIMAL(38,10)", []any{dec(strings.Repeat("9", 38)), dec("-" + strings.Repeat("9", 38))}},
	{"utf8", "", arrow.BinaryTypes.String, "VARCHAR", []any{"", "日本語 🍣 'quoted' \"double\"", "nul\x00inside", strings.Repeat("長", 100_000)}},
	{"binary", "", arrow.BinaryTypes.Binary, "BLOB", []any{[]byte{}, []byte{0, 0xff, 0x80}}},
	{"date", "", arrow.FixedWidthTypes.Date32, "DATE", []any{arrow.Date32(-719_528), arrow.Date32(2_932_896), arrow.Date32(0)}},
	{"time", "", arrow.FixedWidthTypes.Time64us, "TIME", []any{arrow.Time64(0), arrow.Time64(86_399_999_999), arrow.Time64(86_400_000_000)}},
	{"timestamp", "", &arrow.TimestampType{Unit: arrow.Microsecond}, "TIMESTAMP", []any{arrow.Timestamp(-62_135_596_800_000_000), arrow.Timestamp(253_402_300_799_999_999), arrow.Timestamp(math.MaxInt64 - 1)}},
	{"timestamptz", "", &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, "TIMESTAMPTZ", []any{arrow.Timestamp(-62_135_596_800_000_000), arrow.Timestamp(1), arrow.Timestamp(math.MaxInt64 - 1)}},
	{"duration", "", arrow.FixedWidthTypes.Duration_us, "INTERVAL", []any{arrow.Duration(-3_020_399_999_999), arrow.Duration(3_020_399_000_000), arrow.Duration(math.MaxInt64), arrow.Duration(math.MinInt64 + 1)}},
	{"interval", "", arrow.FixedWidthTypes.MonthDayNanoInterval, "INTERVAL", []any{
		arrow.MonthDayNanoInterval{Months: math.MinInt32, Days: math.MaxInt32, Nanoseconds: 9_223_372_036_854_775_000},
		arrow.MonthDayNanoInterval{Months: 14, Days: -3, Nanoseconds: -1000}}},
	{"uuid", batch.KindUUID, arrow.BinaryTypes.String, "UUID", []any{"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"}},
	{"json", batch.KindJSON, arrow.BinaryTypes.String, "JSON", []any{`{"b": 1, "a" :[1.10,null]}`, `"\ud800"`, `not json`, ``, `{"a":1,"a":2}`}},
	{"ints", "", arrow.ListOf(arrow.PrimitiveTypes.Int32), "INTEGER[]", []any{"[]", "[1,null,-2147483648]"}},
	{"decs", "", arrow.ListOf(&arrow.Decimal128Type{Precision: 10, Scale: 2}), "DECIMAL(10,2)[]", []any{`[]`, `["1.50",null]`}},
	{"strings", "", arrow.ListOf(arrow.BinaryTypes.String), "VARCHAR[]", []any{`["","値",null]`}},
	{"stamps", "", arrow.ListOf(&arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}), "TIMESTAMPTZ[]", []any{`[]`, `[null,"2024-02-29T12:00:00.000001Z"]`}},
	{"spans", "", arrow.ListOf(arrow.FixedWidthTypes.Duration_us), "INTERVAL[]", []any{`[]`, `[null]`}},
	{"bytes", "", arrow.ListOf(arrow.BinaryTypes.Binary), "BLOB[]", []any{`["AP8="]`}},
}

func dec(s string) decimal128.Num {
	n, err := decimal128.FromString(s, 38, 0)
	if err != nil {
		panic(err)
	}
	return n
}

// everyRecord has row 0 all null and then as many rows as the longest list of values.
func everyRecord(t testing.TB) arrow.RecordBatch {
	t.Helper()
	var fields []arrow.Field
	rows := 0
	for _, c := range every {
		fields = append(fields, batch.Field(c.name, c.typ, true, c.kind, "native "+c.name, "コメント '"+c.name+"'"))
		rows = max(rows, len(c.values))
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	defer b.Release()
	for i, c := range every {
		b.Field(i).AppendNull()
		for r := range rows {
			if r >= len(c.values) {
				b.Field(i).AppendNull()
				continue
			}
			add(t, b.Field(i), c.values[r])
		}
	}
	rec := b.NewRecordBatch()
	t.Cleanup(rec.Release)
	return rec
}

func add(t testing.TB, b array.Builder, v any) {
	t.Helper()
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(v.(bool))
	case *array.Int8Builder:
		b.Append(v.(int8))
	case *array.Int16Builder:
		b.Append(v.(int16))
	case *array.Int32Builder:
		b.Append(v.(int32))
	case *array.Int64Builder:
		b.Append(v.(int64))
	case *array.Uint8Builder:
		b.Append(v.(uint8))
	case *array.Uint16Builder:
		b.Append(v.(uint16))
	case *array.Uint32Builder:
		b.Append(v.(uint32))
	case *array.Uint64Builder:
		b.Append(v.(uint64))
	case *array.Float32Builder:
		b.Append(v.(float32))
	case *array.Float64Builder:
		b.Append(v.(float64))
	case *array.Decimal128Builder:
		b.Append(v.(decimal128.Num))
	case *array.StringBuilder:
		b.Append(v.(string))
	case *array.BinaryBuilder:
		b.Append(v.([]byte))
	case *array.Date32Builder:
		b.Append(v.(arrow.Date32))
	case *array.Time64Builder:
		b.Append(v.(arrow.Time64))
	case *array.TimestampBuilder:
		b.Append(v.(arrow.Timestamp))
	case *array.DurationBuilder:
		b.Append(v.(arrow.Duration))
	case *array.MonthDayNanoIntervalBuilder:
		b.Append(v.(arrow.MonthDayNanoInterval))
	case *array.ListBuilder:
		if err := b.AppendValueFromString(v.(string)); err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatalf("no value for %T", b)
	}
}

// sameValues compares two columns byte by byte.
func sameValues(t testing.TB, what string, got, want arrow.Array) {
	t.Helper()
	if !arrow.TypeEqual(got.DataType(), want.DataType()) {
		t.Errorf("%s came back as %s, want %s", what, got.DataType(), want.DataType())
		return
	}
	if !array.ApproxEqual(got, want, array.WithNaNsEqual(true), array.WithAbsTolerance(0)) {
		t.Errorf("%s came back as %.300v, want %.300v", what, got, want)
	}
	if g, ok := got.(*array.Float64); ok {
		for i, v := range g.Float64Values() {
			if w := want.(*array.Float64).Value(i); got.IsValid(i) && math.Signbit(v) != math.Signbit(w) && v == v {
				t.Errorf("%s row %d: sign of %v lost", what, i, w)
			}
		}
	}
}

func TestEveryTypeComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kura.duckdb")
	d := openAt(t, path)
	rec := everyRecord(t)
	p := plan(t, d, "every type", rec.Schema())
	for i, c := range every {
		want(t, c.name, p.Columns[i].Native, c.native)
		want(t, c.name+"'s source type", p.Columns[i].Source, "native "+c.name)
	}
	tab := put(t, d, "r1", "every type", rec.Schema(), batch.Of(rec))
	check := func(what string, rows batch.Stream) {
		t.Helper()
		n := int64(0)
		for got, err := range rows {
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			n += got.NumRows()
			for i, col := range got.Columns() {
				sameValues(t, what+" "+got.ColumnName(i), col, rec.Column(i))
			}
		}
		if n != rec.NumRows() {
			t.Errorf("%s: %d rows, want %d", what, n, rec.NumRows())
		}
	}
	check("staged", d.ReadStaged(t.Context(), tab.Stage, tab.Receipts, nil))
	commit(t, d, request("r1", tab))
	db, err := duck.Open(t.Context(), duck.Options{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	schema, exprs, err := projection(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	sql := "SELECT " + strings.Join(exprs, ", ") + " FROM " + table(db, "every type")
	check("published", db.Scan(t.Context(), schema, sql))
	p2 := plan(t, d, "every type", rec.Schema())
	if !p2.Exists || p2.Rows != rec.NumRows() || len(p2.Changes) > 0 {
		t.Errorf("planned again: exists %v, %d rows, changes %q", p2.Exists, p2.Rows, p2.Changes)
	}
}

func TestStandIns(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	big := &arrow.Decimal256Type{Precision: 65, Scale: 30}
	p := plan(t, d, "t", arrow.NewSchema([]arrow.Field{
		{Name: "a", Type: big}, {Name: "b", Type: arrow.ListOf(big)}, {Name: "c", Type: arrow.FixedWidthTypes.Duration_us},
		{Name: "A", Type: arrow.PrimitiveTypes.Int8}, {Name: taskColumn, Type: arrow.PrimitiveTypes.Int8}, {Name: "", Type: arrow.PrimitiveTypes.Int8},
		{Name: "É", Type: arrow.PrimitiveTypes.Int8}, {Name: "é", Type: arrow.PrimitiveTypes.Int8},
	}, nil))
	for i, w := range []struct {
		name, typ, native string
		note              bool
	}{
		{"a", "utf8", "VARCHAR", true}, {"b", "list<utf8>", "VARCHAR[]", true}, {"c", "duration[us]", "INTERVAL", true},
		{"A_2", "int8", "TINYINT", true}, {taskColumn + "_2", "int8", "TINYINT", true}, {"column", "int8", "TINYINT", true},
		{"É", "int8", "TINYINT", false}, {"é", "int8", "TINYINT", false},
	} {
		c := p.Columns[i]
		if c.Name != w.name || c.Type.String() != w.typ || c.Native != w.native || (c.Note != "") != w.note {
			t.Errorf("column %d: %s %s %s %q, want %+v", i, c.Name, c.Type, c.Native, c.Note, w)
		}
	}
	if _, err := d.Stage(t.Context(), connector.StageRequest{Run: "r", Epoch: 1, Plan: p}); err != nil {
		t.Error(err)
	}
}
