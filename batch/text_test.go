package batch

import (
	"encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// one makes an array of a single value out of Arrow's own JSON form.
func one(t *testing.T, typ arrow.DataType, value string) arrow.Array {
	t.Helper()
	arr := array.MakeArrayOfNull(memory.DefaultAllocator, typ, 1)
	if value == "null" {
		return arr
	}
	b := array.NewBuilder(memory.DefaultAllocator, typ)
	if err := b.UnmarshalJSON([]byte("[" + value + "]")); err != nil {
		t.Fatalf("%s of %s: %v", value, typ, err)
	}
	return b.NewArray()
}

func TestAppendText(t *testing.T) {
	stamp := &arrow.TimestampType{Unit: arrow.Microsecond}
	zoned := &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	for _, tc := range []struct {
		typ              arrow.DataType
		value            string
		wantText, wantJS string
	}{
		{arrow.FixedWidthTypes.Boolean, `true`, `true`, `true`},
		{arrow.PrimitiveTypes.Int8, `-128`, `-128`, `-128`},
		{arrow.PrimitiveTypes.Uint64, `18446744073709551615`, `18446744073709551615`, `18446744073709551615`},
		{arrow.PrimitiveTypes.Float64, `1000000`, `1000000`, `1000000`},
		{arrow.PrimitiveTypes.Float64, `1e300`, `1e+300`, `1e+300`},
		{arrow.PrimitiveTypes.Float32, `0.1`, `0.1`, `0.1`},
		{arrow.BinaryTypes.String, `"a\"b\n\u0001日本"`, "a\"b\n\x01日本", `"a\"b\n\u0001日本"`},
		{arrow.BinaryTypes.String, `null`, ``, `null`},
		{arrow.BinaryTypes.Binary, `"AP8="`, `\x00ff`, `"\\x00ff"`},
		{arrow.FixedWidthTypes.Date32, `0`, `1970-01-01`, `"1970-01-01"`},
		{arrow.FixedWidthTypes.Date32, `-719529`, `-0001-12-31`, `"-0001-12-31"`},
		{arrow.FixedWidthTypes.Date32, `2932897`, `10000-01-01`, `"10000-01-01"`},
		{stamp, `-1`, `1969-12-31T23:59:59.999999`, `"1969-12-31T23:59:59.999999"`},
		{zoned, `1700000000000000`, `2023-11-14T22:13:20Z`, `"2023-11-14T22:13:20Z"`},
		{arrow.FixedWidthTypes.Time64us, `86400000000`, `24:00:00`, `"24:00:00"`},
		{arrow.FixedWidthTypes.Time64us, `1500000`, `00:00:01.5`, `"00:00:01.5"`},
		{arrow.FixedWidthTypes.Duration_us, `-3020399000000`, `-838:59:59`, `"-838:59:59"`},
		{arrow.FixedWidthTypes.Duration_us, `-250000`, `-00:00:00.25`, `"-00:00:00.25"`},
		{arrow.FixedWidthTypes.Duration_us, `-9223372036854775808`, `-2562047788:00:54.775808`, `"-2562047788:00:54.775808"`},
		{arrow.ListOf(arrow.PrimitiveTypes.Int32), `[1,null,-3]`, `[1,null,-3]`, `[1,null,-3]`},
		{arrow.ListOf(arrow.BinaryTypes.String), `["a","\""]`, `["a","\""]`, `["a","\""]`},
		{arrow.ListOf(arrow.FixedWidthTypes.Date32), `[]`, `[]`, `[]`},
		{arrow.StructOf(arrow.Field{Name: "n", Type: arrow.PrimitiveTypes.Int32, Nullable: true}), `{"n":7}`, `{"n":7}`, `{"n":7}`},
	} {
		arr := one(t, tc.typ, tc.value)
		if got := string(AppendText(nil, arr, 0)); got != tc.wantText {
			t.Errorf("text of %s %s = %q, want %q", tc.typ, tc.value, got, tc.wantText)
		}
		got := string(AppendJSON(nil, arr, 0))
		if got != tc.wantJS || !json.Valid([]byte(got)) {
			t.Errorf("JSON of %s %s = %s, want %s", tc.typ, tc.value, got, tc.wantJS)
		}
	}
}

func TestAppendIntervalParts(t *testing.T) {
	for _, tc := range []struct {
		months, days int32
		nanos        int64
		want         string
	}{
		{0, 0, 0, "PT0S"},
		{14, 3, 4*3600e9 + 5*60e9 + 6_789_000_000, "P1Y2M3DT4H5M6.789S"},
		{-14, 0, -1, "P-1Y-2MT-0.000000001S"},
		{0, -1, 3600e9, "P-1DT1H"},
		{math.MinInt32, math.MinInt32, math.MinInt64, "P-178956970Y-8M-2147483648DT-2562047H-47M-16.854775808S"},
	} {
		got := string(AppendInterval(nil, arrow.MonthDayNanoInterval{Months: tc.months, Days: tc.days, Nanoseconds: tc.nanos}))
		if got != tc.want {
			t.Errorf("interval = %s, want %s", got, tc.want)
		}
	}
}

// TestAppendDecimalAgainstBig compares with arithmetic that is known to be right.
func TestAppendDecimalAgainstBig(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		v := new(big.Int).SetUint64(rng.Uint64())
		for range rng.IntN(4) {
			v.Lsh(v, uint(rng.IntN(63)))
			v.Or(v, new(big.Int).SetUint64(rng.Uint64()>>rng.IntN(64)))
		}
		if rng.IntN(3) == 0 { // chunk boundaries are where digits get lost
			v.Exp(big.NewInt(10), big.NewInt(int64(rng.IntN(76))), nil)
			v.Sub(v, big.NewInt(int64(rng.IntN(2))))
		}
		if rng.IntN(2) == 0 {
			v.Neg(v)
		}
		scale := int32(rng.IntN(40))
		want := new(big.Rat).SetFrac(v, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)).FloatString(int(scale))
		if got := string(AppendDecimal256(nil, decimal256.FromBigInt(v), scale)); got != want {
			t.Fatalf("decimal256 = %s, want %s", got, want)
		}
		if v.BitLen() < 127 {
			if got := string(AppendDecimal128(nil, decimal128.FromBigInt(v), scale)); got != want {
				t.Fatalf("decimal128 = %s, want %s", got, want)
			}
		}
	}
	if got := string(AppendDecimal128(nil, decimal128.FromI64(-12), -3)); got != "-12000" {
		t.Errorf("negative scale = %s, want -12000", got)
	}
	if got := string(AppendDecimal128(nil, decimal128.New(math.MinInt64, 0), 0)); got != "-170141183460469231731687303715884105728" {
		t.Errorf("least decimal128 = %s", got)
	}
}

func TestAppendTimestampAgainstTime(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const span = 3_000_000 * secondsPerDay // some 8,000 years either side
	for range 50_000 {
		at := time.Unix(rng.Int64N(2*span)-span, 1000*rng.Int64N(1e6)).UTC()
		if at.Year() < 0 || at.Year() > 9999 {
			continue
		}
		want := at.Format("2006-01-02T15:04:05.999999Z")
		if got := string(AppendTimestamp(nil, at.UnixMicro(), arrow.Microsecond, true)); got != want {
			t.Fatalf("%d = %s, want %s", at.UnixMicro(), got, want)
		}
	}
}

func TestAppendTextAllocatesNothing(t *testing.T) {
	dst := make([]byte, 0, 256)
	for _, tc := range []struct {
		typ   arrow.DataType
		value string
	}{
		{&arrow.Decimal128Type{Precision: 38, Scale: 9}, `"-12345678901234567890.123456789"`},
		{&arrow.Decimal256Type{Precision: 76, Scale: 9}, `"-1234567890123456789012345678901234567890.123456789"`},
		{arrow.FixedWidthTypes.Timestamp_us, `1700000000123456`},
		{arrow.FixedWidthTypes.Duration_us, `-5`},
		{arrow.BinaryTypes.Binary, `"AP8="`},
		{arrow.ListOf(arrow.PrimitiveTypes.Int32), `[1,2]`},
		{arrow.PrimitiveTypes.Float64, `1.5`},
	} {
		arr := one(t, tc.typ, tc.value)
		if n := testing.AllocsPerRun(100, func() { dst = AppendText(dst[:0], arr, 0) }); n != 0 {
			t.Errorf("%s: %v allocations a value", tc.typ, n)
		}
		if n := testing.AllocsPerRun(100, func() { dst = AppendJSON(dst[:0], arr, 0) }); n != 0 {
			t.Errorf("%s as JSON: %v allocations a value", tc.typ, n)
		}
	}
}

func FuzzAppendJSONString(f *testing.F) {
	f.Add("日本\x00\xff\"\\")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		if err := json.Unmarshal(AppendJSONString(nil, s), &back); err != nil {
			t.Fatal(err)
		}
		if want := string([]rune(s)); back != want { // invalid bytes become U+FFFD in both
			t.Errorf("%q came back as %q", s, back)
		}
	})
}
