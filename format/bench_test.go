package format

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/kitamae/kitamae/batch"
)

func pool() memory.Allocator { return memory.NewGoAllocator() }

// lineitem is five columns of TPC-H's table.
func lineitem(rows int) arrow.RecordBatch {
	dec := &arrow.Decimal128Type{Precision: 15, Scale: 2}
	return wide(rows, []arrow.Field{
		{Name: "l_orderkey", Type: arrow.PrimitiveTypes.Int64}, {Name: "l_quantity", Type: dec}, {Name: "l_extendedprice", Type: dec},
		{Name: "l_shipdate", Type: arrow.FixedWidthTypes.Date32}, {Name: "l_comment", Type: arrow.BinaryTypes.String},
	})
}

// wholeLineitem has TPC-H's 16 columns.
func wholeLineitem(rows int) arrow.RecordBatch {
	dec := &arrow.Decimal128Type{Precision: 15, Scale: 2}
	var fields []arrow.Field
	for i, t := range []arrow.DataType{
		arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int32, dec, dec, dec, dec,
		arrow.BinaryTypes.String, arrow.BinaryTypes.String, arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Date32,
		arrow.BinaryTypes.String, arrow.BinaryTypes.String, arrow.BinaryTypes.String,
	} {
		fields = append(fields, arrow.Field{Name: fmt.Sprint("l_", i), Type: t})
	}
	return wide(rows, fields)
}

func wide(rows int, fields []arrow.Field) arrow.RecordBatch {
	b := array.NewRecordBuilder(pool(), arrow.NewSchema(fields, nil))
	for k, f := range b.Fields() {
		for i := range rows {
			switch f := f.(type) {
			case *array.Int64Builder:
				f.Append(int64(i))
			case *array.Int32Builder:
				f.Append(int32(i * 7))
			case *array.Decimal128Builder:
				f.Append(decimal128.FromI64(int64(i) + int64(i)*int64(k-1)*122%10_000_000))
			case *array.Date32Builder:
				f.Append(arrow.Date32(i % 20_000))
			case *array.StringBuilder:
				switch {
				case k == 8 || k == 9:
					f.Append("RN"[i%2 : i%2+1])
				case i%2 == 0:
					f.Append(fmt.Sprintf("furiously, %d", i))
				default:
					f.Append(fmt.Sprintf("plain %d", i))
				}
			}
		}
	}
	return b.NewRecordBatch()
}

func BenchmarkWrite(b *testing.B) {
	rec := wholeLineitem(batch.MaxRows)
	for _, tc := range roundTrips() {
		b.Run(tc.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := tc.write(io.Discard, rec.Schema(), batch.Of(rec)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rec.NumRows()), "ns/row")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	rec := wholeLineitem(batch.MaxRows)
	for _, tc := range roundTrips() {
		b.Run(tc.name, func(b *testing.B) {
			var buf bytes.Buffer
			if _, err := tc.write(&buf, rec.Schema(), batch.Of(rec)); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				for _, err := range tc.read(bytes.NewReader(buf.Bytes()), rec.Schema()) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rec.NumRows()), "ns/row")
		})
	}
}
