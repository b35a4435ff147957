package bigquery

import (
	"math"
	"math/big"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
)

// TestExactly: values come back as the column's own type has them, or not at all.
func TestExactly(t *testing.T) {
	rat := func(s string) *big.Rat {
		r, ok := new(big.Rat).SetString(s)
		if !ok {
			t.Fatalf("%s is no number", s)
		}
		return r
	}
	micros := func(tz string) arrow.DataType { return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: tz} }
	decimal := func(p, s int32) arrow.DataType { return &arrow.Decimal128Type{Precision: p, Scale: s} }
	date := civil.Date{Year: 1, Month: 1, Day: 1}
	clock := civil.Time{Hour: 23, Minute: 59, Second: 59, Nanosecond: 999_999_000}
	for _, tc := range []struct {
		typ   arrow.DataType
		value bq.Value
		want  string // "" for refused
	}{
		{arrow.PrimitiveTypes.Int64, int64(math.MinInt64), "-9223372036854775808"},
		{arrow.PrimitiveTypes.Int8, int64(-128), "-128"}, {arrow.PrimitiveTypes.Int8, int64(128), ""},
		{arrow.PrimitiveTypes.Uint8, int64(255), "255"}, {arrow.PrimitiveTypes.Uint8, int64(-1), ""},
		{arrow.PrimitiveTypes.Int16, int64(-32768), "-32768"}, {arrow.PrimitiveTypes.Int16, int64(32768), ""},
		{arrow.PrimitiveTypes.Uint16, int64(65535), "65535"}, {arrow.PrimitiveTypes.Uint16, int64(65536), ""},
		{arrow.PrimitiveTypes.Int32, int64(math.MinInt32), "-2147483648"}, {arrow.PrimitiveTypes.Int32, int64(math.MaxInt32 + 1), ""},
		{arrow.PrimitiveTypes.Uint32, int64(math.MaxUint32), "4294967295"}, {arrow.PrimitiveTypes.Uint32, int64(math.MaxUint32 + 1), ""},
		{arrow.PrimitiveTypes.Uint64, int64(-1), ""}, {arrow.BinaryTypes.String, int64(1), ""},
		{decimal(38, 9), rat("-99999999999999999999999999999.999999999"), "-99999999999999999999999999999.999999999"},
		{decimal(38, 38), rat("0.00000000000000000000000000000000000001"), "0.00000000000000000000000000000000000001"},
		{decimal(20, 0), rat("18446744073709551615"), "18446744073709551615"},
		{decimal(5, 2), rat("1.5"), "1.50"}, {decimal(5, 2), rat("1.005"), ""}, {decimal(5, 2), rat("1000"), ""}, {arrow.PrimitiveTypes.Int64, rat("1"), ""},
		{arrow.FixedWidthTypes.Boolean, true, "true"}, {arrow.FixedWidthTypes.Boolean, "true", ""},
		{arrow.BinaryTypes.String, "日本\x00😀", "日本\x00😀"}, {arrow.BinaryTypes.String, []byte("a"), ""},
		{arrow.BinaryTypes.Binary, []byte("\x00\xff"), `\x00ff`}, {arrow.BinaryTypes.Binary, "a", ""},
		{arrow.FixedWidthTypes.Date32, date, "0001-01-01"}, {micros(""), date, ""},
		{arrow.FixedWidthTypes.Time64us, clock, "23:59:59.999999"},
		{micros(""), civil.DateTime{Date: date, Time: clock}, "0001-01-01T23:59:59.999999"},
		{micros("UTC"), time.UnixMicro(-1).UTC(), "1969-12-31T23:59:59.999999Z"},
		{arrow.FixedWidthTypes.Date32, time.UnixMicro(-1), ""},
		{arrow.PrimitiveTypes.Float64, 1.5, ""},
	} {
		b, err := batch.NewBuilder(arrow.NewSchema([]arrow.Field{batch.Field("v", tc.typ, true, "", "", "")}, nil), &batch.Pool{}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		ok := exactly(b.Columns[0], tc.typ, nil) && exactly(b.Columns[0], tc.typ, tc.value)
		if ok != (tc.want != "") {
			t.Errorf("%v as %s: %v", tc.value, tc.typ, ok)
		}
		if ok {
			rec, err := b.Batch()
			if err != nil {
				t.Fatal(err)
			}
			if got := string(batch.AppendText(nil, rec.Column(0), 1)); got != tc.want || !rec.Column(0).IsNull(0) {
				t.Errorf("%v as %s: %q, want %q", tc.value, tc.typ, got, tc.want)
			}
			rec.Release()
		}
		b.Release()
	}
}

// TestUnreadable: what would not come back to the last bit is merged.
func TestUnreadable(t *testing.T) {
	for _, tc := range []struct {
		name string
		live *bq.FieldSchema
		ok   bool
	}{
		{"as planned", &bq.FieldSchema{Name: "名", Type: "STRING"}, true},
		{"another type", &bq.FieldSchema{Name: "名", Type: "BYTES"}, false},
		{"repeated", &bq.FieldSchema{Name: "名", Type: "STRING", Repeated: true}, false},
		{"policy tags", &bq.FieldSchema{Name: "名", Type: "STRING", PolicyTags: &bq.PolicyTagList{Names: []string{"secret"}}}, false},
		{"without case", &bq.FieldSchema{Name: "名", Type: "STRING", Collation: "und:ci"}, false},
	} {
		live := bq.Schema{{Name: "id", Type: "INTEGER"}, {Name: "at", Type: "TIMESTAMP"}, tc.live}
		if why := unreadable(mergePlan("id"), live); (why == "") != tc.ok {
			t.Errorf("%s: %q", tc.name, why)
		}
	}
	fine := bq.Schema{{Name: "id", Type: "INTEGER"}, {Name: "at", Type: "TIMESTAMP", TimestampPrecision: 12}, {Name: "名", Type: "STRING"}}
	if why := unreadable(mergePlan("id"), fine); why == "" {
		t.Error("picoseconds come back")
	}
	for _, native := range []string{"FLOAT64", "JSON", "GEOGRAPHY", "INTERVAL"} {
		plan := mergePlan("id")
		plan.Columns[2].Native = native
		if why := unreadable(plan, bq.Schema{{Name: "id", Type: "INTEGER"}, {Name: "at", Type: "TIMESTAMP"}, {Name: "名", Type: apiType(native)}}); why == "" {
			t.Errorf("%s comes back", native)
		}
	}
}

func TestEgress(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0.00 USD", 1: "0.000001 USD", 1_000_000: "0.00012 USD", 1_000_000_000: "0.12 USD", 64 << 20: "0.008054 USD"} {
		if got := egress(bytes).String(); got != want {
			t.Errorf("%d bytes cost %s, want %s", bytes, got, want)
		}
	}
}
