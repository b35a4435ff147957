package files

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
)

// everyType has a column of each type of the contract, a row of nulls, and rows of empty, ordinary and extreme values.
func everyType(t testing.TB) arrow.RecordBatch {
	t.Helper()
	dec := &arrow.Decimal128Type{Precision: 38, Scale: 10}
	small := &arrow.Decimal128Type{Precision: 9, Scale: 0}
	mid := &arrow.Decimal128Type{Precision: 18, Scale: 2}
	big := &arrow.Decimal256Type{Precision: 65, Scale: 30}
	ts, tz := &arrow.TimestampType{Unit: arrow.Microsecond}, &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	columns := []struct {
		name, kind string
		typ        arrow.DataType
	}{
		{"bool", "", arrow.FixedWidthTypes.Boolean},
		{"i8", "", arrow.PrimitiveTypes.Int8}, {"i16", "", arrow.PrimitiveTypes.Int16},
		{"i32", "", arrow.PrimitiveTypes.Int32}, {"i64", "", arrow.PrimitiveTypes.Int64},
		{"u8", "", arrow.PrimitiveTypes.Uint8}, {"u16", "", arrow.PrimitiveTypes.Uint16},
		{"u32", "", arrow.PrimitiveTypes.Uint32}, {"u64", batch.KindBit, arrow.PrimitiveTypes.Uint64},
		{"f32", "", arrow.PrimitiveTypes.Float32}, {"f64", "", arrow.PrimitiveTypes.Float64},
		{"dec", "", dec}, {"dec9", "", small}, {"dec18", "", mid}, {"big", "", big},
		{`名前 "x", y`, "", arrow.BinaryTypes.String}, {"json", batch.KindJSON, arrow.BinaryTypes.String},
		{"bin", "", arrow.BinaryTypes.Binary},
		{"date", "", arrow.FixedWidthTypes.Date32}, {"time", "", arrow.FixedWidthTypes.Time64us},
		{"dur", "", arrow.FixedWidthTypes.Duration_us}, {"iv", "", arrow.FixedWidthTypes.MonthDayNanoInterval},
		{"ts", "", ts}, {"tz", "", tz},
		{"ints", "", arrow.ListOf(arrow.PrimitiveTypes.Int64)}, {"texts", "", arrow.ListOf(arrow.BinaryTypes.String)},
		{"decs", "", arrow.ListOf(dec)}, {"tzs", "", arrow.ListOf(tz)}, {"durs", "", arrow.ListOf(arrow.FixedWidthTypes.Duration_us)},
		{"Case", "", arrow.BinaryTypes.String}, {"case", "", arrow.BinaryTypes.String},
	}
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = batch.Field(c.name, c.typ, true, c.kind, "", "")
	}
	b, err := batch.NewBuilder(arrow.NewSchema(fields, nil), &batch.Pool{}, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	for _, c := range b.Columns {
		c.Null()
	}
	for i := range 24 {
		for k, c := range b.Columns {
			appendValue(c, columns[k].typ, i)
		}
	}
	rec, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rec.Release)
	return rec
}

// appendValue appends the i-th of a type's interesting values.
func appendValue(c *batch.Column, t arrow.DataType, i int) {
	ints := []uint64{0, 1, 1 << 63, math.MaxUint64, math.MaxInt64, 0x80, 0x7f, 0x8000, 0x7fff, 0x80000000, 0x7fffffff}
	v := ints[i%len(ints)]
	switch t := t.(type) {
	case *arrow.BooleanType:
		c.Bool(i%2 == 0)
	case *arrow.StringType:
		texts := []string{"", "plain", `"quoted", comma`, "line\nbreak\r\n", "日本語 😀 \\ \t", " null ", strings.Repeat("長い", 3000), "NULL", `{"a":[1,"二"]}`}
		c.Value([]byte(texts[i%len(texts)]))
	case *arrow.BinaryType:
		c.Value([]byte{0, 0xff, '\\', 'x', ','}[:i%6])
	case *arrow.Float32Type:
		c.Uint32(math.Float32bits(float32(floats()[i%len(floats())])))
	case *arrow.Float64Type:
		c.Uint64(math.Float64bits(floats()[i%len(floats())]))
	case *arrow.Decimal128Type:
		most, _ := decimal128.FromString(strings.Repeat("9", int(t.Precision)), t.Precision, 0)
		d := []decimal128.Num{{}, decimal128.FromI64(1), decimal128.FromI64(-12345), most, most.Negate()}[i%5]
		c.Decimal128(d.HighBits(), d.LowBits())
	case *arrow.Decimal256Type:
		most, _ := decimal256.FromString(strings.Repeat("9", 35)+"."+strings.Repeat("9", 30), 65, 30)
		c.Decimal256([]decimal256.Num{{}, decimal256.FromI64(-1), most, most.Negate()}[i%4].Array())
	case *arrow.Date32Type:
		days := []int32{0, -1, 19_000, -719_528, 2_932_896, -719_893, 11_016}
		c.Uint32(uint32(days[i%len(days)]))
	case *arrow.Time64Type:
		c.Uint64([]uint64{0, 1, 86_399_999_999, 86_400_000_000, 43_200_000_000}[i%5])
	case *arrow.TimestampType:
		times := []int64{0, 1, -1, 1_700_000_000_123_456, -62_167_219_200_000_000, 253_402_300_799_999_999, 9_223_371_331_200_000_000, -9_223_372_022_400_000_000 + 43_200_000_000*2}
		c.Uint64(uint64(times[i%len(times)]))
	case *arrow.DurationType:
		c.Uint64(uint64([]int64{0, 1, -1, 3_020_399_000_000, -3_020_399_999_999, math.MaxInt64, math.MinInt64}[i%7]))
	case *arrow.MonthDayNanoIntervalType:
		v := []arrow.MonthDayNanoInterval{{}, {Months: 14, Days: 3, Nanoseconds: 1_500_000_000}, {Months: -14, Days: 3, Nanoseconds: -1},
			{Months: math.MaxInt32, Days: math.MinInt32, Nanoseconds: math.MinInt64}}[i%4]
		c.Interval(v.Months, v.Days, v.Nanoseconds)
	case *arrow.ListType:
		for k := range i % 4 {
			appendValue(c.Child(), t.Elem(), i+k)
		}
		if i%3 == 1 {
			c.Child().Null()
		}
		c.List()
	case arrow.FixedWidthDataType:
		c.Word(t.Bytes(), v)
	}
}

func floats() []float64 {
	return []float64{0, math.Copysign(0, -1), 1.5, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.NaN(), 0.1, 1e21, 123456789}
}

// numbers is a table of one int64 and one text column with rows from..to-1.
func numbers(from, to int) arrow.RecordBatch {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64}, {Name: "text", Type: arrow.BinaryTypes.String, Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.NewGoAllocator(), schema)
	for i := from; i < to; i++ {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		b.Field(1).(*array.StringBuilder).Append(fmt.Sprint("row ", i))
	}
	return b.NewRecordBatch()
}

// lines are a batch's rows as text, in which null is unlike anything else.
func lines(rec arrow.RecordBatch) []string {
	out := make([]string, rec.NumRows())
	for i := range out {
		var cells []string
		for _, c := range rec.Columns() {
			if c.IsNull(i) {
				cells = append(cells, "∅")
				continue
			}
			cells = append(cells, string(batch.AppendText(nil, c, i)))
		}
		out[i] = strings.Join(cells, "|")
	}
	return out
}

// collect reads a stream as sorted lines.
func collect(t testing.TB, rows batch.Stream, schema *arrow.Schema) []string {
	t.Helper()
	var out []string
	for rec, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range schema.Fields() {
			if got := rec.Schema().Field(i); got.Name != f.Name || !arrow.TypeEqual(got.Type, f.Type) {
				t.Fatalf("column %d is %s %s, want %s %s", i, got.Name, got.Type, f.Name, f.Type)
			}
		}
		out = append(out, lines(rec)...)
	}
	slices.Sort(out)
	return out
}

func open(t testing.TB, spec Spec) *dest {
	t.Helper()
	d, err := openDest(context.Background(), spec, connector.Env{MemoryBytes: 96 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d.(*dest)
}

// loaded is one table staged and written.
type loaded struct {
	connector.CommitTable
	schema *arrow.Schema
	want   []string
}

// load plans, stages and writes one table, a task a batch.
func load(t testing.TB, d *dest, run, name string, recs ...arrow.RecordBatch) loaded {
	t.Helper()
	ctx := context.Background()
	plan, err := d.PlanTable(ctx, connector.PlanRequest{Name: name, Schema: recs[0].Schema(), Mode: connector.Replace})
	if err != nil {
		t.Fatal(err)
	}
	st, err := d.Stage(ctx, connector.StageRequest{Run: run, Plan: *plan})
	if err != nil {
		t.Fatal(err)
	}
	l := loaded{CommitTable: connector.CommitTable{Stage: st, Plan: *plan}, schema: plan.Schema()}
	for task, rec := range recs {
		for conv, err := range batch.Convert(batch.Of(rec), l.schema) {
			if err != nil {
				t.Fatal(err)
			}
			r, err := d.Write(ctx, st, task, batch.Of(conv))
			if err != nil {
				t.Fatal(err)
			}
			l.Receipts = append(l.Receipts, r)
			l.want = append(l.want, lines(conv)...)
			l.Evidence.Rows += r.Rows
		}
	}
	l.Evidence.Run, l.Evidence.Table = run, name
	slices.Sort(l.want)
	return l
}

func commitRequest(run string, tables ...loaded) connector.CommitRequest {
	req := connector.CommitRequest{Run: connector.RunRecord{ID: run}}
	for _, t := range tables {
		req.Tables = append(req.Tables, t.CommitTable)
	}
	return req
}

func commit(t testing.TB, d *dest, run string, tables ...loaded) {
	t.Helper()
	out, err := d.Commit(context.Background(), commitRequest(run, tables...))
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range out {
		if !o.Published {
			t.Fatalf("table %d was not published: %s", i, o.Why)
		}
	}
}
