package digest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sys/unix"

	"github.com/kitamae/kitamae/batch"
)

// lineitem is a batch shaped as TPC-H's: 4 integers, 4 decimals, 3 dates, 5 texts.
func lineitem(tb testing.TB, rows int) arrow.RecordBatch {
	tb.Helper()
	var fields []arrow.Field
	add := func(n int, typ arrow.DataType) {
		for range n {
			fields = append(fields, batch.Field(fmt.Sprintf("c%02d", len(fields)), typ, false, "", "", ""))
		}
	}
	add(4, arrow.PrimitiveTypes.Int32)
	add(4, &arrow.Decimal128Type{Precision: 15, Scale: 2})
	add(3, arrow.FixedWidthTypes.Date32)
	add(5, arrow.BinaryTypes.String)
	b, err := batch.NewBuilder(arrow.NewSchema(fields, nil), &batch.Pool{}, 1<<30)
	if err != nil {
		tb.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 8))
	words := []string{"quickly", "ironic", "deposits", "sleep", "furiously", "among", "the", "requests"}
	for range rows {
		for k := range 4 {
			b.Columns[k].Uint32(rng.Uint32N(6_000_000))
		}
		for k := 4; k < 8; k++ {
			b.Columns[k].Decimal128(0, uint64(rng.IntN(10_000_000)))
		}
		for k := 8; k < 11; k++ {
			b.Columns[k].Uint32(8000 + rng.Uint32N(2500))
		}
		b.Columns[11].Value([]byte{"ANR"[rng.IntN(3)]})
		b.Columns[12].Value([]byte{"OF"[rng.IntN(2)]})
		b.Columns[13].Value([]byte([]string{"DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"}[rng.IntN(4)]))
		b.Columns[14].Value([]byte([]string{"REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB"}[rng.IntN(7)]))
		var comment []byte
		for range 2 + rng.IntN(4) {
			comment = append(append(comment, words[rng.IntN(len(words))]...), ' ')
		}
		b.Columns[15].Value(comment)
	}
	rec, err := b.Batch()
	if err != nil {
		tb.Fatal(err)
	}
	return rec
}

// cpuNanos is what this process has used, which a busy machine distorts less than time does.
func cpuNanos() int64 {
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		return 0
	}
	return use.Utime.Nano() + use.Stime.Nano()
}

// BenchmarkAdd prints nanoseconds a row of lineitem at both levels.
func BenchmarkAdd(b *testing.B) {
	rec := lineitem(b, batch.MaxRows)
	for _, level := range []Level{Aggregates, Full} {
		b.Run(string(level), func(b *testing.B) {
			acc := New(rec.Schema(), level)
			b.ReportAllocs()
			before := cpuNanos()
			for b.Loop() {
				if err := acc.Add(rec); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuNanos()-before)/float64(b.N)/batch.MaxRows, "cpu-ns/row")
		})
	}
}

// BenchmarkRowIndex prints nanoseconds a row of looking for a sample of 100 rows, all there.
func BenchmarkRowIndex(b *testing.B) {
	rec := lineitem(b, batch.MaxRows)
	sample := rec.NewSlice(0, 100)
	index, err := NewRowIndex(sample, []string{"c00", "c01"})
	if err != nil {
		b.Fatal(err)
	}
	before := cpuNanos()
	for b.Loop() {
		if err := index.Add(rec); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpuNanos()-before)/float64(b.N)/batch.MaxRows, "cpu-ns/row")
}
