package duck

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
)

// lineitem is TPC-H's widest table: 16 columns.
var lineitem = func() *arrow.Schema {
	var fields []arrow.Field
	for _, c := range []struct {
		name string
		t    arrow.DataType
	}{
		{"l_orderkey", arrow.PrimitiveTypes.Int64}, {"l_partkey", arrow.PrimitiveTypes.Int64}, {"l_suppkey", arrow.PrimitiveTypes.Int64},
		{"l_linenumber", arrow.PrimitiveTypes.Int32},
		{"l_quantity", &arrow.Decimal128Type{Precision: 15, Scale: 2}}, {"l_extendedprice", &arrow.Decimal128Type{Precision: 15, Scale: 2}},
		{"l_discount", &arrow.Decimal128Type{Precision: 15, Scale: 2}}, {"l_tax", &arrow.Decimal128Type{Precision: 15, Scale: 2}},
		{"l_returnflag", arrow.BinaryTypes.String}, {"l_linestatus", arrow.BinaryTypes.String},
		{"l_shipdate", arrow.FixedWidthTypes.Date32}, {"l_commitdate", arrow.FixedWidthTypes.Date32}, {"l_receiptdate", arrow.FixedWidthTypes.Date32},
		{"l_shipinstruct", arrow.BinaryTypes.String}, {"l_shipmode", arrow.BinaryTypes.String}, {"l_comment", arrow.BinaryTypes.String},
	} {
		fields = append(fields, arrow.Field{Name: c.name, Type: c.t})
	}
	return arrow.NewSchema(fields, nil)
}()

// lineitems is a stream of n rows that look like lineitem's.
func lineitems(n int) batch.Stream {
	words := strings.Fields("carefully final deposits detect slyly agai regular ideas sleep quickly after the special requests furiously even packages")
	return func(yield func(arrow.RecordBatch, error) bool) {
		b, err := batch.NewBuilder(lineitem, &batch.Pool{}, 8<<20)
		if err != nil {
			yield(nil, err)
			return
		}
		defer b.Release()
		seed, text := uint64(1), []byte(nil)
		rnd := func(n uint64) uint64 {
			seed ^= seed << 13
			seed ^= seed >> 7
			seed ^= seed << 17
			return seed % n
		}
		for i := range n {
			c := b.Columns
			c[0].Uint64(uint64(i / 4))
			c[1].Uint64(rnd(200_000))
			c[2].Uint64(rnd(10_000))
			c[3].Uint32(uint32(i % 4))
			c[4].Decimal128(0, 100*(1+rnd(50)))
			c[5].Decimal128(0, 90_000+rnd(10_000_000))
			c[6].Decimal128(0, rnd(11))
			c[7].Decimal128(0, rnd(9))
			c[8].Value([]byte{"ANR"[rnd(3)]})
			c[9].Value([]byte{"OF"[rnd(2)]})
			day := 8000 + rnd(2500)
			c[10].Uint32(uint32(day))
			c[11].Uint32(uint32(day + rnd(60)))
			c[12].Uint32(uint32(day + rnd(30)))
			c[13].Value([]byte([]string{"DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"}[rnd(4)]))
			c[14].Value([]byte([]string{"AIR", "FOB", "MAIL", "RAIL", "SHIP", "TRUCK", "REG AIR"}[rnd(7)]))
			text = text[:0]
			for range 2 + rnd(4) {
				text = append(append(text, words[rnd(uint64(len(words)))]...), ' ')
			}
			c[15].Value(text)
			if b.Full() || i == n-1 {
				rec, err := b.Batch()
				if err != nil {
					yield(nil, err)
					return
				}
				more := yield(rec, nil)
				rec.Release()
				if !more {
					return
				}
			}
		}
	}
}

// usage is the process's CPU seconds so far and its peak memory in MiB.
func usage() (cpu float64, peak int64) {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9, u.Maxrss >> 10
}

// BenchmarkLineitem prints CPU seconds and peak memory of each way in and out. ROWS sets the
// size. Run one at a time (-bench 'Lineitem/table$') where peak memory matters.
func BenchmarkLineitem(b *testing.B) {
	rows := 3_000_000
	if n, err := strconv.Atoi(os.Getenv("ROWS")); err == nil {
		rows = n
	}
	dir := b.TempDir()
	file, parquet := filepath.Join(dir, "l.duckdb"), filepath.Join(dir, "l.parquet")
	measure := func(name string, do func(b *testing.B, db *DB)) {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				db := open(b, Options{Path: file, MemoryBytes: 200 << 20, Threads: 2, TempDir: dir})
				before, _ := usage()
				start := time.Now()
				do(b, db)
				if err := db.Close(); err != nil {
					b.Fatal(err)
				}
				cpu, peak := usage()
				b.ReportMetric(cpu-before, "cpu-s")
				b.ReportMetric((cpu-before)*1e6/float64(rows), "µs-cpu/row")
				b.ReportMetric(time.Since(start).Seconds(), "wall-s")
				b.ReportMetric(float64(peak), "peak-MiB")
				if st, err := os.Stat(file); err == nil {
					b.ReportMetric(float64(st.Size()>>20), "MiB")
				}
			}
		})
	}
	load := func(b *testing.B, db *DB, sql func(view string) string) {
		if n, err := db.Load(b.Context(), lineitem, lineitems(rows), sql); err != nil || n != int64(rows) {
			b.Fatal(n, err)
		}
	}
	measure("floor", func(b *testing.B, _ *DB) {
		for range lineitems(rows) { //nolint:revive // making the rows is the floor
		}
	})
	measure("table", func(b *testing.B, db *DB) {
		var cols []string
		for _, f := range lineitem.Fields() {
			t, _ := SQLType(f.Type, "")
			cols = append(cols, f.Name+" "+t)
		}
		exec(b, db, "CREATE OR REPLACE TABLE l.lineitem ("+strings.Join(cols, ", ")+", _task INTEGER)")
		load(b, db, func(view string) string { return "INSERT INTO l.lineitem SELECT *, 7 FROM " + view })
	})
	measure("parquet", func(b *testing.B, db *DB) {
		load(b, db, func(view string) string {
			return fmt.Sprintf("COPY (SELECT * FROM %s) TO %s (FORMAT parquet, COMPRESSION zstd)", view, Literal(parquet))
		})
	})
	scan := func(sql string) func(b *testing.B, db *DB) {
		return func(b *testing.B, db *DB) {
			n := int64(0)
			for rec, err := range db.Scan(b.Context(), lineitem, sql) {
				if err != nil {
					b.Fatal(err)
				}
				n += rec.NumRows()
			}
			if n != int64(rows) {
				b.Fatal(n)
			}
		}
	}
	measure("read table", scan("SELECT * EXCLUDE (_task) FROM l.lineitem WHERE _task IN (7)"))
	measure("read parquet", scan("SELECT * FROM read_parquet("+Literal(parquet)+")"))
	measure("drop column", func(b *testing.B, db *DB) { exec(b, db, "ALTER TABLE l.lineitem DROP COLUMN _task; CHECKPOINT l") })
}
