package bigquery

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// TestPackedRows: files that hold other rows than were verified are not loaded, whether they were merged or turned into text.
func TestPackedRows(t *testing.T) {
	for _, typ := range []string{"STRING", "JSON"} {
		d := newDest(Spec{Project: "p", Dataset: "d"}, connector.Env{Dir: t.TempDir()})
		defer d.Close()
		plan := connector.TablePlan{Name: "t", Columns: []connector.ColumnPlan{{From: "v", Name: "v", Type: connector.Type{DataType: arrow.BinaryTypes.String}, Native: typ, Nullable: true}}}
		raw, err := d.Stage(t.Context(), connector.StageRequest{Run: "r", Epoch: 1, Plan: plan})
		if err != nil {
			t.Fatal(err)
		}
		var receipts []connector.Receipt
		for task := range 2 {
			b, err := batch.NewBuilder(plan.Schema(), &batch.Pool{}, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Release()
			b.Columns[0].Value([]byte("1"))
			rec, err := b.Batch()
			if err != nil {
				t.Fatal(err)
			}
			defer rec.Release()
			r, err := d.Write(t.Context(), raw, task, batch.Of(rec))
			if err != nil {
				t.Fatal(err)
			}
			receipts = append(receipts, r)
		}
		st, err := d.parseStage(raw)
		if err != nil {
			t.Fatal(err)
		}
		shards, err := st.shards(receipts)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := d.pack(t.Context(), st, plan, shards); err != nil || c.rows != 2 || len(c.files) != 1 {
			t.Fatalf("%s: %+v, %v", typ, c, err)
		}
		shards[1].Rows++
		if _, err := d.pack(t.Context(), st, plan, shards); !fault.HasCode(err, "bigquery.packed") {
			t.Errorf("%s: two rows were packed for three: %v", typ, err)
		}
	}
}

// TestChunks: uploads of a moment together take a quarter of the destination's memory, in the multiples that Google asks for.
func TestChunks(t *testing.T) {
	for memory, want := range map[int64]int{0: 8 << 20, 1: 256 << 10, 8 << 20: 256 << 10, 128 << 20: 4 << 20, 100 << 20: 3 << 20, 8 << 30: 8 << 20} {
		d := newDest(Spec{Project: "p", Dataset: "d"}, connector.Env{MemoryBytes: memory})
		if got := d.chunkBytes(); got != want {
			t.Errorf("%d bytes of memory: chunks of %d, want %d", memory, got, want)
		}
	}
}

// TestLongDecimals: a decimal becomes BIGNUMERIC where that holds it, by way of text where a Parquet file does not.
func TestLongDecimals(t *testing.T) {
	for _, tc := range []struct {
		typ    arrow.DataType
		native string
		text   bool
	}{
		{&arrow.Decimal128Type{Precision: 38, Scale: 38}, "BIGNUMERIC", false},
		{&arrow.Decimal256Type{Precision: 65, Scale: 30}, "BIGNUMERIC", true},
		{&arrow.Decimal256Type{Precision: 76, Scale: 38}, "BIGNUMERIC", true},
		{&arrow.Decimal256Type{Precision: 39}, "STRING", false},
		{&arrow.Decimal256Type{Precision: 39, Scale: 39}, "STRING", false},
	} {
		plan := connector.TablePlan{Columns: columns(arrow.NewSchema([]arrow.Field{batch.Field("v", tc.typ, true, "", "", "")}, nil))}
		if got := plan.Columns[0].Native; got != tc.native || byText(plan) != tc.text {
			t.Errorf("%s becomes %s, by text: %v", tc.typ, got, byText(plan))
		}
	}
}
