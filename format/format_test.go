package format

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"

	"github.com/kitamae/kitamae/batch"
)

// everyType has a column of each type of the contract, and rows of null, empty, ordinary and extreme values.
func everyType(t testing.TB) arrow.RecordBatch {
	t.Helper()
	dec := &arrow.Decimal128Type{Precision: 38, Scale: 10}
	big := &arrow.Decimal256Type{Precision: 65, Scale: 30}
	col := func(name string, typ arrow.DataType, kind string) arrow.Field {
		return batch.Field(name, typ, true, kind, "", "")
	}
	schema := arrow.NewSchema([]arrow.Field{
		col("bool", arrow.FixedWidthTypes.Boolean, ""),
		col("i8", arrow.PrimitiveTypes.Int8, ""), col("i16", arrow.PrimitiveTypes.Int16, ""),
		col("i32", arrow.PrimitiveTypes.Int32, ""), col("i64", arrow.PrimitiveTypes.Int64, ""),
		col("u8", arrow.PrimitiveTypes.Uint8, ""), col("u16", arrow.PrimitiveTypes.Uint16, ""),
		col("u32", arrow.PrimitiveTypes.Uint32, ""), col("u64", arrow.PrimitiveTypes.Uint64, ""),
		col("f32", arrow.PrimitiveTypes.Float32, ""), col("f64", arrow.PrimitiveTypes.Float64, ""),
		col("dec", dec, ""), col("big", big, ""),
		col(`te"xt, 名前`, arrow.BinaryTypes.String, ""), col("bin", arrow.BinaryTypes.Binary, ""),
		col("date", arrow.FixedWidthTypes.Date32, ""), col("time", arrow.FixedWidthTypes.Time64us, ""),
		col("dur", arrow.FixedWidthTypes.Duration_us, ""), col("iv", arrow.FixedWidthTypes.MonthDayNanoInterval, ""),
		col("ts", &arrow.TimestampType{Unit: arrow.Microsecond}, ""),
		col("tz", &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, ""),
		col("ints", arrow.ListOf(arrow.PrimitiveTypes.Int64), ""), col("texts", arrow.ListOf(arrow.BinaryTypes.String), ""),
		col("bins", arrow.ListOf(arrow.BinaryTypes.Binary), ""), col("decs", arrow.ListOf(dec), ""),
		col("tss", arrow.ListOf(&arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}), ""),
		col("nested", arrow.ListOf(arrow.ListOf(arrow.PrimitiveTypes.Float64)), ""),
	}, nil)
	b, err := batch.NewBuilder(schema, &batch.Pool{}, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	const none = -1
	texts := []string{"", "plain", `"quoted", comma`, "line\nbreak\r\n", "日本語 😀 \\ \t \x01", " null ", strings.Repeat("長い", 3000), "NULL", "\\N"}
	floats := []float64{0, math.Copysign(0, -1), 1.5, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.NaN(), 0.1, 1e21, 123456789}
	maxDec, _ := decimal128.FromString("9999999999999999999999999999.9999999999", 38, 10)
	maxBig, _ := decimal256.FromString(strings.Repeat("9", 35)+"."+strings.Repeat("9", 30), 65, 30)
	decs := []decimal128.Num{{}, decimal128.FromI64(1), decimal128.FromI64(-1), decimal128.FromI64(math.MinInt64), maxDec, maxDec.Negate()}
	bigs := []decimal256.Num{{}, decimal256.FromI64(1), decimal256.FromI64(-5), maxBig, maxBig.Negate()}
	times := []int64{0, 1, -1, 1_700_000_000_123_456, -62_167_219_200_000_000, 253_402_300_799_999_999, math.MaxInt64, math.MinInt64, -62_198_755_200_000_000}
	ivs := []arrow.MonthDayNanoInterval{{}, {Months: 14, Days: 3, Nanoseconds: 1_500_000_000}, {Months: -14, Days: 3, Nanoseconds: -1},
		{Months: math.MaxInt32, Days: math.MinInt32, Nanoseconds: math.MinInt64}, {Months: math.MinInt32, Days: math.MaxInt32, Nanoseconds: math.MaxInt64}}
	ints := []uint64{0, 1, 1 << 63, math.MaxUint64, math.MaxInt64, 1<<63 + 1, 0x80, 0x7f, 0x8000, 0x7fff, 0x80000000, 0x7fffffff}
	for i := none; i < 12; i++ {
		c := b.Columns
		if i == none {
			for _, c := range c {
				c.Null()
			}
			continue
		}
		v, f, ts := ints[i%len(ints)], floats[i%len(floats)], times[i%len(times)]
		text, d, g, iv := texts[i%len(texts)], decs[i%len(decs)], bigs[i%len(bigs)], ivs[i%len(ivs)]
		c[0].Bool(i%2 == 0)
		c[1].Uint8(uint8(v))
		c[2].Uint16(uint16(v))
		c[3].Uint32(uint32(v))
		c[4].Uint64(v)
		c[5].Uint8(uint8(v))
		c[6].Uint16(uint16(v))
		c[7].Uint32(uint32(v))
		c[8].Uint64(v)
		c[9].Uint32(math.Float32bits(float32(f)))
		c[10].Uint64(math.Float64bits(f))
		c[11].Decimal128(d.HighBits(), d.LowBits())
		c[12].Decimal256(g.Array())
		c[13].Value([]byte(text))
		c[14].Value([]byte{0, 0xff, '\\', 'x', ','}[:i%6])
		c[15].Uint32(uint32(v))
		c[16].Uint64(uint64(i) * 7_200_000_001)
		c[17].Uint64(uint64(ts))
		c[18].Interval(iv.Months, iv.Days, iv.Nanoseconds)
		c[19].Uint64(uint64(ts))
		c[20].Uint64(uint64(ts))
		for k := range i % 4 {
			c[21].Child().Uint64(v + uint64(k))
			c[22].Child().Value([]byte(text))
			c[23].Child().Value([]byte{byte(k), 0xfe})
			c[24].Child().Decimal128(d.HighBits(), d.LowBits())
			c[25].Child().Uint64(uint64(ts))
			c[26].Child().Child().Uint64(math.Float64bits(f))
			c[26].Child().Child().Null()
			c[26].Child().List()
		}
		for _, l := range c[21:] {
			if i%3 == 1 {
				l.Child().Null()
			}
			l.List()
		}
	}
	rec, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rec.Release)
	return rec
}

type roundTrip struct {
	name  string
	write func(io.Writer, *arrow.Schema, batch.Stream) (int64, error)
	read  func(io.Reader, *arrow.Schema) batch.Stream
}

func roundTrips() []roundTrip {
	arrowWith := func(c Compression) func(io.Writer, *arrow.Schema, batch.Stream) (int64, error) {
		return func(w io.Writer, s *arrow.Schema, rows batch.Stream) (int64, error) { return WriteArrow(w, s, rows, c) }
	}
	return []roundTrip{
		{"csv", WriteCSV, func(r io.Reader, s *arrow.Schema) batch.Stream { return ReadCSV(r, s, &batch.Pool{}, 1<<20) }},
		{"ndjson", WriteNDJSON, func(r io.Reader, s *arrow.Schema) batch.Stream { return ReadNDJSON(r, s, &batch.Pool{}, 1<<20) }},
		{"arrow", arrowWith(Uncompressed), ReadArrow},
		{"arrow lz4", arrowWith(LZ4), ReadArrow},
		{"arrow zstd", arrowWith(Zstd), ReadArrow},
	}
}

func TestRoundTripEveryType(t *testing.T) {
	rec := everyType(t)
	for _, tc := range roundTrips() {
		t.Run(tc.name, func(t *testing.T) {
			var buf bytes.Buffer
			n, err := tc.write(&buf, rec.Schema(), batch.Of(rec, rec))
			if err != nil {
				t.Fatal(err)
			}
			if n != 2*rec.NumRows() {
				t.Errorf("wrote %d rows, want %d", n, 2*rec.NumRows())
			}
			at := int64(0)
			for got, err := range tc.read(iotestOneKiB{&buf}, rec.Schema()) {
				if err != nil {
					t.Fatal(err)
				}
				for i := range got.NumRows() {
					sameRow(t, rec, int(at%rec.NumRows()), got, int(i))
					at++
				}
			}
			if at != n {
				t.Errorf("read %d rows, want %d", at, n)
			}
		})
	}
}

// iotestOneKiB hands out little at a time, so that rows end in the middle of reads.
type iotestOneKiB struct{ r io.Reader }

func (r iotestOneKiB) Read(p []byte) (int, error) { return r.r.Read(p[:min(len(p), 1<<10)]) }

// sameRow compares text forms and, for floats and nulls, what text can't tell.
func sameRow(t *testing.T, want arrow.RecordBatch, w int, got arrow.RecordBatch, g int) {
	t.Helper()
	for k, f := range want.Schema().Fields() {
		a, b := want.Column(k), got.Column(k)
		one, two := array.NewSlice(a, int64(w), int64(w)+1), array.NewSlice(b, int64(g), int64(g)+1)
		if !array.ApproxEqual(one, two, array.WithNaNsEqual(true), array.WithAbsTolerance(0)) ||
			string(batch.AppendText(nil, a, w)) != string(batch.AppendText(nil, b, g)) {
			t.Errorf("column %s row %d: got %s, want %s", f.Name, w, two, one)
		}
		one.Release()
		two.Release()
	}
}

func TestNoRows(t *testing.T) {
	rec := everyType(t)
	for _, tc := range roundTrips() {
		t.Run(tc.name, func(t *testing.T) {
			var buf bytes.Buffer
			if _, err := tc.write(&buf, rec.Schema(), batch.Of()); err != nil {
				t.Fatal(err)
			}
			for got, err := range tc.read(&buf, rec.Schema()) {
				if err != nil {
					t.Fatal(err)
				}
				if got.NumRows() > 0 {
					t.Errorf("%d rows came out of none", got.NumRows())
				}
			}
		})
	}
}

func TestOneColumnOfNulls(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "t", Type: arrow.BinaryTypes.String, Nullable: true}}, nil)
	b := array.NewRecordBuilder(pool(), schema)
	b.Field(0).(*array.StringBuilder).AppendNull()
	b.Field(0).(*array.StringBuilder).Append("")
	b.Field(0).(*array.StringBuilder).AppendNull()
	rec := b.NewRecordBatch()
	for _, tc := range roundTrips() {
		var buf bytes.Buffer
		if _, err := tc.write(&buf, schema, batch.Of(rec)); err != nil {
			t.Fatal(err)
		}
		for got, err := range tc.read(&buf, schema) {
			if err != nil {
				t.Fatal(err)
			}
			if !array.RecordEqual(rec, got) {
				t.Errorf("%s: got %v, want %v", tc.name, got, rec)
			}
		}
	}
}

func TestCSVText(t *testing.T) {
	rec := lineitem(2)
	var buf bytes.Buffer
	if _, err := WriteCSV(&buf, rec.Schema(), batch.Of(rec)); err != nil {
		t.Fatal(err)
	}
	want := "l_orderkey,l_quantity,l_extendedprice,l_shipdate,l_comment\n" +
		"0,0.00,0.00,1970-01-01,\"furiously, 0\"\n" +
		"1,0.01,1.23,1970-01-02,plain 1\n"
	if got := buf.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestReadersFindDamage(t *testing.T) {
	rec := lineitem(1000)
	for _, tc := range roundTrips() {
		t.Run(tc.name, func(t *testing.T) {
			var buf bytes.Buffer
			if _, err := tc.write(&buf, rec.Schema(), batch.Of(rec)); err != nil {
				t.Fatal(err)
			}
			var rows int64
			var failed error
			for got, err := range tc.read(bytes.NewReader(buf.Bytes()[:buf.Len()*2/3]), rec.Schema()) {
				if err != nil {
					failed = err
					break
				}
				rows += got.NumRows()
			}
			if failed == nil && rows == rec.NumRows() {
				t.Error("a truncated file reads whole")
			}
			if failed == nil && !strings.HasPrefix(tc.name, "arrow") {
				t.Error("a file that ends inside a row reads without an error")
			}
		})
	}
	for name, text := range map[string]string{
		"other column":  "x\n1\n",
		"not a number":  "i\nabc\n",
		"too large":     "i\n9223372036854775808\n",
		"two fields":    "i\n1,2\n",
		"quoted header": "\"i\"x\n1\n",
	} {
		schema := arrow.NewSchema([]arrow.Field{{Name: "i", Type: arrow.PrimitiveTypes.Int64}}, nil)
		var failed error
		for _, err := range ReadCSV(strings.NewReader(text), schema, &batch.Pool{}, 1<<20) {
			failed = err
		}
		if failed == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestStreamErrorsComeThrough(t *testing.T) {
	for _, tc := range roundTrips() {
		if _, err := tc.write(io.Discard, lineitem(1).Schema(), batch.Fail(fmt.Errorf("gone"))); err == nil || !strings.Contains(err.Error(), "gone") {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}
