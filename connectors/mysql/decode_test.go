package mysql

import (
	"encoding/binary"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/fault"
)

// rowOf builds a binary row out of already encoded values; nil is null.
func rowOf(values ...[]byte) []byte {
	row := make([]byte, 1+(len(values)+9)/8)
	for k, v := range values {
		if v == nil {
			row[1+(k+2)/8] |= 1 << ((k + 2) & 7)
		}
		row = append(row, v...)
	}
	return row
}

func short(s string) []byte { return append([]byte{byte(len(s))}, s...) }

func le(size int, v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v)[:size] }

// decoderOf makes a decoder for columns of the given codes and types.
func decoderOf(t testing.TB, codes []code, types []arrow.DataType) (*rowDecoder, *batch.Builder) {
	fields := make([]arrow.Field, len(types))
	for i, typ := range types {
		fields[i] = arrow.Field{Name: "c" + string(rune('a'+i)), Type: typ, Nullable: true}
	}
	b, err := batch.NewBuilder(arrow.NewSchema(fields, nil), &batch.Pool{}, 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	d := &rowDecoder{table: "t", maxValue: 1 << 20}
	for i, typ := range types {
		c := cell{code: codes[i], col: b.Columns[i], name: fields[i].Name, typeName: typ.String(), key: i == 0}
		if dec, ok := typ.(arrow.DecimalType); ok {
			c.scale = dec.GetScale()
		}
		d.cells = append(d.cells, c)
	}
	return d, b
}

var lineitemCodes = []code{asEight, asFour, asFour, asFour, asDecimal128, asDecimal128, asDecimal128, asDecimal128, asText, asText, asDate, asDate, asDate, asText, asText, asText}

func lineitemDecoder(t testing.TB) (*rowDecoder, *batch.Builder) {
	dec := &arrow.Decimal128Type{Precision: 15, Scale: 2}
	i32, str, date := arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.String, arrow.FixedWidthTypes.Date32
	return decoderOf(t, lineitemCodes, []arrow.DataType{arrow.PrimitiveTypes.Int64, i32, i32, i32, dec, dec, dec, dec, str, str, date, date, date, str, str, str})
}

func lineitemRow() []byte {
	return rowOf(le(8, 123456), le(4, 7), le(4, 8), le(4, 2), short("17.00"), short("21168.23"), short("0.04"), short("0.02"), short("N"), short("O"),
		append([]byte{4}, le(4, 1996|3<<16|13<<24)...), append([]byte{4}, le(4, 1996|2<<16|12<<24)...), append([]byte{4}, le(4, 1996|3<<16|22<<24)...),
		short("DELIVER IN PERSON"), short("TRUCK"), short("egular courts above the"))
}

func TestDecodeRow(t *testing.T) {
	d, b := lineitemDecoder(t)
	defer b.Release()
	if err := d.row(lineitemRow()); err != nil {
		t.Fatal(err)
	}
	rec, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	got := strings.Join(textRows(rec)[0], "|")
	want := "123456|7|8|2|17.00|21168.23|0.04|0.02|N|O|1996-03-13|1996-02-12|1996-03-22|DELIVER IN PERSON|TRUCK|egular courts above the"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestDecodeRefusesTornRows cuts and lengthens a row everywhere: an error each time, never a panic.
func TestDecodeRefusesTornRows(t *testing.T) {
	whole := lineitemRow()
	for n := range len(whole) {
		d, b := lineitemDecoder(t)
		if err := d.row(whole[:n]); !errors.Is(err, errMalformed) {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
		b.Release()
	}
	d, b := lineitemDecoder(t)
	defer b.Release()
	if err := d.row(append(whole, 0)); !errors.Is(err, errMalformed) {
		t.Errorf("a byte more: %v", err)
	}
}

func TestValueTooLargeNamesTableColumnAndKey(t *testing.T) {
	d, b := decoderOf(t, []code{asFour, asBytes}, []arrow.DataType{arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.Binary})
	defer b.Release()
	d.maxValue = 3
	err := d.row(rowOf(le(4, uint64(1<<32-5)), short("four")))
	if f := fault.From(err); f.Code != "value.too_large" || !strings.Contains(f.Error(), "table t, column cb, row with key ca -5") {
		t.Errorf("got %v (%s)", err, f.Code)
	}
}

func TestDaysFromCivilAgreesWithTime(t *testing.T) {
	for day := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 10000; day = day.AddDate(0, 0, 1) {
		got, ok := daysFromCivil(day.Year(), int(day.Month()), day.Day())
		if want := day.Unix() / 86400; !ok || int64(got) != want {
			t.Fatalf("%s: %d, %v; want %d", day, got, ok, want)
		}
	}
	for _, bad := range [][3]int{{2023, 2, 29}, {2024, 2, 30}, {1900, 2, 29}, {2024, 4, 31}, {2024, 13, 1}, {2024, 0, 1}, {2024, 1, 0}} {
		if _, ok := daysFromCivil(bad[0], bad[1], bad[2]); ok {
			t.Errorf("%v is a day", bad)
		}
	}
}

func TestParseDecimal(t *testing.T) {
	for _, tc := range []struct {
		in    string
		scale int
		want  string // units of 10^-scale; "" when refused
	}{
		{"0", 0, "0"}, {"-0.00", 2, "0"}, {"1.5", 2, "150"}, {"-1.50", 2, "-150"}, {"7", 3, "7000"}, {"000012.30", 2, "1230"},
		{"9999999999999999999", 0, "9999999999999999999"}, {"-999999999999999999", 0, "-999999999999999999"},
		{"99999999999999999999999999999999999999", 0, "99999999999999999999999999999999999999"},
		{"-9999999999999999999999999999.9999999999", 10, "-99999999999999999999999999999999999999"},
		{"999999999999999999999999999999999999999", 0, ""}, {"1.234", 2, ""}, {"", 0, ""}, {"-", 0, ""}, {"1e5", 0, ""}, {"1.2.3", 2, ""}, {"12345678901234567890.x", 2, ""},
	} {
		hi, lo, ok := parseDecimal128([]byte(tc.in), tc.scale)
		got := ""
		if ok {
			n := new(big.Int).Lsh(big.NewInt(hi), 64)
			got = n.Add(n, new(big.Int).SetUint64(lo)).String()
		}
		if got != tc.want {
			t.Errorf("parseDecimal128(%s, %d) = %q, want %q", tc.in, tc.scale, got, tc.want)
		}
	}
}

// FuzzRow feeds the row decoder anything: it may refuse, never panic, and what it accepts
// makes a whole batch.
func FuzzRow(f *testing.F) {
	f.Add(lineitemRow())
	f.Add(rowOf(make([][]byte, 16)...))
	f.Fuzz(func(t *testing.T, row []byte) {
		codes := []code{asByte, asTwo, asDateTime, asTime, asBytes, asGeometry, asBit, boolBit, boolFour, asDecimal256, asText, asDecimal128}
		p := arrow.PrimitiveTypes
		types := []arrow.DataType{p.Int8, p.Uint16, timestamp, arrow.FixedWidthTypes.Duration_us, arrow.BinaryTypes.Binary, arrow.BinaryTypes.Binary, p.Uint64,
			arrow.FixedWidthTypes.Boolean, arrow.FixedWidthTypes.Boolean, &arrow.Decimal256Type{Precision: 65, Scale: 30}, arrow.BinaryTypes.String, &arrow.Decimal128Type{Precision: 38, Scale: 5}}
		for _, make := range []func() (*rowDecoder, *batch.Builder){
			func() (*rowDecoder, *batch.Builder) { return lineitemDecoder(t) },
			func() (*rowDecoder, *batch.Builder) { return decoderOf(t, codes, types) },
		} {
			d, b := make()
			_ = d.inspect(row)
			_ = d.keyOf(row)
			if d.row(row) == nil {
				rec, err := b.Batch()
				if err != nil {
					t.Fatal(err)
				}
				rec.Release()
			}
			b.Release()
		}
	})
}

func BenchmarkDecodeRow(b *testing.B) {
	d, builder := lineitemDecoder(b)
	defer builder.Release()
	row := lineitemRow()
	b.ReportAllocs()
	before := cpu(b)
	defer func() { b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op") }()
	for b.Loop() {
		if err := d.row(row); err != nil {
			b.Fatal(err)
		}
		if builder.Full() {
			rec, err := builder.Batch()
			if err != nil {
				b.Fatal(err)
			}
			rec.Release()
		}
	}
}
