package batch

import (
	"math"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

func TestBuilderKeepsValuesAndNulls(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "i", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "b", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
		{Name: "l", Type: arrow.ListOf(arrow.PrimitiveTypes.Int32), Nullable: true},
	}, nil)
	pool := &Pool{}
	b, err := NewBuilder(schema, pool, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	for range 3 { // buffers come back from the pool and must be as good as new
		for i := range 1000 {
			if i%3 == 1 {
				for _, c := range b.Columns {
					c.Null()
				}
				continue
			}
			b.Columns[0].Uint64(uint64(math.MinInt64 + i))
			b.Columns[1].Value([]byte("値"))
			b.Columns[2].Bool(i%2 == 0)
			b.Columns[3].Child().Uint32(uint32(i))
			b.Columns[3].Child().Null()
			b.Columns[3].List()
		}
		rec, err := b.Batch()
		if err != nil {
			t.Fatal(err)
		}
		if rec.NumRows() != 1000 {
			t.Fatalf("rows = %d, want 1000", rec.NumRows())
		}
		for i := range 1000 {
			for k := range 4 {
				if got := rec.Column(k).IsNull(i); got != (i%3 == 1) {
					t.Fatalf("column %d row %d null = %v", k, i, got)
				}
			}
			if i%3 == 1 {
				continue
			}
			if got := rec.Column(0).(*array.Int64).Value(i); got != math.MinInt64+int64(i) {
				t.Fatalf("row %d = %d", i, got)
			}
			if got := rec.Column(1).(*array.String).Value(i); got != "値" {
				t.Fatalf("row %d = %q", i, got)
			}
			if got := rec.Column(2).(*array.Boolean).Value(i); got != (i%2 == 0) {
				t.Fatalf("row %d = %v", i, got)
			}
			if got, want := rec.Column(3).ValueStr(i), array.NewSlice(rec.Column(3), int64(i), int64(i)+1).ValueStr(0); got != want {
				t.Fatalf("row %d = %s, want %s", i, got, want)
			}
		}
		rec.Release()
	}
}

func TestBuilderRefusesWrongWidth(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "i", Type: arrow.PrimitiveTypes.Int64}}, nil)
	b, err := NewBuilder(schema, &Pool{}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	b.Columns[0].Uint32(7)
	if _, err := b.Batch(); err == nil {
		t.Error("a 32-bit value in a 64-bit column was accepted")
	}
}
