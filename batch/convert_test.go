package batch

import (
	"errors"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/kitamae/kitamae/fault"
)

func recordOf(t *testing.T, typ arrow.DataType, nullable bool, values string) arrow.RecordBatch {
	t.Helper()
	b := array.NewBuilder(memory.DefaultAllocator, typ)
	if err := b.UnmarshalJSON([]byte(values)); err != nil {
		t.Fatal(err)
	}
	arr := b.NewArray()
	schema := arrow.NewSchema([]arrow.Field{{Name: "source", Type: typ, Nullable: nullable}}, nil)
	return array.NewRecordBatch(schema, []arrow.Array{arr}, int64(arr.Len()))
}

func target(typ arrow.DataType, nullable bool) *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{{Name: "there", Type: typ, Nullable: nullable}}, nil)
}

func TestConvert(t *testing.T) {
	utf8 := arrow.BinaryTypes.String
	for _, tc := range []struct {
		name         string
		from         arrow.DataType
		values       string
		to           arrow.DataType
		want         string // JSON of the values
		sameBuffers  bool
		wantsNothing bool
	}{
		{name: "same type", from: arrow.PrimitiveTypes.Int32, values: `[1,null]`, to: arrow.PrimitiveTypes.Int32, want: `[1,null]`, sameBuffers: true},
		{name: "decimal to text", from: &arrow.Decimal256Type{Precision: 65, Scale: 30}, values: `["-1.5",null,"0"]`, to: utf8,
			want: `["-1.500000000000000000000000000000",null,"0.000000000000000000000000000000"]`},
		{name: "duration to text", from: arrow.FixedWidthTypes.Duration_us, values: `[-3020399000000,5,null]`, to: utf8, want: `["-838:59:59","00:00:00.000005",null]`},
		{name: "list to text", from: arrow.ListOf(arrow.PrimitiveTypes.Int32), values: `[[1,null],[],null]`, to: utf8, want: `["[1,null]","[]",null]`},
		{name: "uint64 to text", from: arrow.PrimitiveTypes.Uint64, values: `[18446744073709551615]`, to: utf8, want: `["18446744073709551615"]`},
		{name: "uint64 to decimal", from: arrow.PrimitiveTypes.Uint64, values: `[18446744073709551615,0,null]`, to: &arrow.Decimal128Type{Precision: 20}, want: `[18446744073709551615,0,null]`},
		{name: "int64 to decimal with scale", from: arrow.PrimitiveTypes.Int64, values: `[-9223372036854775808]`, to: &arrow.Decimal128Type{Precision: 21, Scale: 2}, want: `[-9223372036854775808.00]`},
		{name: "int8 to int32", from: arrow.PrimitiveTypes.Int8, values: `[-128,null,127]`, to: arrow.PrimitiveTypes.Int32, want: `[-128,null,127]`},
		{name: "uint8 to int16", from: arrow.PrimitiveTypes.Uint8, values: `[255]`, to: arrow.PrimitiveTypes.Int16, want: `[255]`},
		{name: "decimal widened", from: &arrow.Decimal128Type{Precision: 10, Scale: 2}, values: `["-1.25"]`, to: &arrow.Decimal256Type{Precision: 60, Scale: 4}, want: `[-1.2500]`},
		{name: "float widened", from: arrow.PrimitiveTypes.Float32, values: `[0.5,null]`, to: arrow.PrimitiveTypes.Float64, want: `[0.5,null]`},
		{name: "list elements", from: arrow.ListOf(&arrow.Decimal256Type{Precision: 50, Scale: 1}), values: `[["1.5",null],null,[]]`, to: arrow.ListOf(utf8), want: `[["1.5",null],null,[]]`, sameBuffers: true},
		{name: "narrowing", from: arrow.PrimitiveTypes.Int64, values: `[1]`, to: arrow.PrimitiveTypes.Int32, wantsNothing: true},
		{name: "signed to unsigned", from: arrow.PrimitiveTypes.Int8, values: `[1]`, to: arrow.PrimitiveTypes.Uint64, wantsNothing: true},
		{name: "too many digits", from: arrow.PrimitiveTypes.Uint64, values: `[1]`, to: &arrow.Decimal128Type{Precision: 19}, wantsNothing: true},
		{name: "text to binary", from: utf8, values: `["a"]`, to: arrow.BinaryTypes.Binary, wantsNothing: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := recordOf(t, tc.from, true, tc.values)
			for range 2 { // the second time buffers come back from the pool
				for out, err := range Convert(Of(rec, rec), target(tc.to, true)) {
					if tc.wantsNothing {
						if !fault.HasCode(err, "batch.convert") || !strings.Contains(err.Error(), "column there") {
							t.Fatalf("error = %v, want batch.convert naming the column", err)
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					if got := textOf(out.Column(0)); got != tc.want {
						t.Errorf("values = %s, want %s", got, tc.want)
					}
					if out.ColumnName(0) != "there" {
						t.Errorf("column is called %s", out.ColumnName(0))
					}
					if same := out.Column(0).Data().Buffers()[1] == rec.Column(0).Data().Buffers()[1]; same != tc.sameBuffers {
						t.Errorf("shares buffers: %v, want %v", same, tc.sameBuffers)
					}
				}
			}
		})
	}
}

func textOf(arr arrow.Array) string {
	out := []byte{'['}
	for i := range arr.Len() {
		if i > 0 {
			out = append(out, ',')
		}
		out = AppendJSON(out, arr, i)
	}
	return string(append(out, ']'))
}

func TestConvertOfSlice(t *testing.T) {
	rec := recordOf(t, arrow.ListOf(arrow.PrimitiveTypes.Int8), true, `[[1],null,[2,3],[4]]`).NewSlice(1, 3)
	for out, err := range Convert(Of(rec), target(arrow.ListOf(arrow.PrimitiveTypes.Int16), true)) {
		if err != nil {
			t.Fatal(err)
		}
		if got := textOf(out.Column(0)); got != `[null,[2,3]]` {
			t.Errorf("values = %s", got)
		}
	}
}

func TestConvertNamesNullInNotNull(t *testing.T) {
	rec := recordOf(t, arrow.PrimitiveTypes.Int32, true, `[1,null]`)
	for _, err := range Convert(Of(rec), target(arrow.PrimitiveTypes.Int32, false)) {
		if !fault.HasCode(err, "batch.null") || !strings.Contains(err.Error(), "column there") {
			t.Errorf("error = %v, want batch.null naming the column", err)
		}
	}
}

func TestConvertPassesErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, err := range Convert(Fail(broken), target(arrow.PrimitiveTypes.Int32, true)) {
		if !errors.Is(err, broken) {
			t.Errorf("error = %v", err)
		}
	}
}
