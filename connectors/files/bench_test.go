package files

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/kitamae/kitamae/batch"
)

// lineitem has the 16 columns of TPC-H's table with values of about its distribution.
func lineitem(rows int) arrow.RecordBatch {
	dec := &arrow.Decimal128Type{Precision: 15, Scale: 2}
	text, date, num := arrow.BinaryTypes.String, arrow.FixedWidthTypes.Date32, arrow.PrimitiveTypes.Int32
	var fields []arrow.Field
	for i, t := range []arrow.DataType{arrow.PrimitiveTypes.Int64, num, num, num, dec, dec, dec, dec, text, text, date, date, date, text, text, text} {
		fields = append(fields, arrow.Field{Name: fmt.Sprint("l_", i), Type: t})
	}
	b := array.NewRecordBuilder(memory.NewGoAllocator(), arrow.NewSchema(fields, nil))
	state := uint64(1)
	random := func(n int) int {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		return int(state % uint64(n))
	}
	words := []string{"furiously", "carefully", "packages", "deposits", "requests", "ironic", "final", "quickly", "slyly", "bold"}
	for k, f := range b.Fields() {
		for i := range rows {
			switch f := f.(type) {
			case *array.Int64Builder:
				f.Append(int64(i))
			case *array.Int32Builder:
				f.Append(int32(random(200_000 / (k * k))))
			case *array.Decimal128Builder:
				f.Append(decimal128.FromI64(int64(random([]int{5000, 10_000_000, 11, 9}[k-4]))))
			case *array.Date32Builder:
				f.Append(arrow.Date32(8000 + random(2500)))
			case *array.StringBuilder:
				switch k {
				case 8, 9:
					f.Append("RNA"[i%3 : i%3+1])
				case 13, 14:
					f.Append(words[random(4)])
				default:
					f.Append(fmt.Sprint(words[random(10)], " ", words[random(10)], words[random(10)], random(100)))
				}
			}
		}
	}
	return b.NewRecordBatch()
}

func cpuNanos() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkParquet prints CPU nanoseconds a row, of all threads.
func BenchmarkParquet(b *testing.B) {
	const rows = 40 * batch.MaxRows
	whole := lineitem(rows)
	var parts []arrow.RecordBatch
	for at := int64(0); at < rows; at += batch.MaxRows {
		parts = append(parts, whole.NewSlice(at, at+batch.MaxRows))
	}
	d := open(b, Spec{Dir: b.TempDir()})
	l := load(b, d, "r1", "lineitem", parts[0])
	b.Run("write", func(b *testing.B) {
		from := cpuNanos()
		for b.Loop() {
			r, err := d.Write(b.Context(), l.Stage, 0, batch.Of(parts...))
			if err != nil {
				b.Fatal(err)
			}
			l.Receipts[0] = r
		}
		b.ReportMetric(float64(cpuNanos()-from)/float64(b.N)/rows, "cpu-ns/row")
		b.ReportMetric(float64(l.Receipts[0].Bytes)/rows, "B/row")
	})
	b.Run("read", func(b *testing.B) {
		from := cpuNanos()
		for b.Loop() {
			for _, err := range d.ReadStaged(b.Context(), l.Stage, l.Receipts, nil) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(cpuNanos()-from)/float64(b.N)/rows, "cpu-ns/row")
	})
}
