package bigquery_test

import (
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
)

// visit is a row of a table with a key of two columns.
type visit struct {
	id, day, score int
}

// merged merges visits, with null for a day of -1.
func (p *place) merged(t *testing.T, run, cursor string, key []string, visits ...visit) connector.Outcome {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		batch.Field("id", arrow.PrimitiveTypes.Int64, false, "", "bigint", ""),
		batch.Field("at", &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, true, "", "timestamp", ""),
		batch.Field("score", arrow.PrimitiveTypes.Int64, true, "", "bigint", ""),
	}, nil)
	b, err := batch.NewBuilder(schema, &batch.Pool{}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	for _, v := range visits {
		b.Columns[0].Uint64(uint64(v.id))
		if v.day < 0 {
			b.Columns[1].Null()
		} else {
			b.Columns[1].Uint64(uint64(int64(v.day) * 86_400_000_000))
		}
		b.Columns[2].Uint64(uint64(v.score))
	}
	rec, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rec.Release)
	dest := p.open(t)
	plan, err := dest.PlanTable(t.Context(), connector.PlanRequest{
		Name: "visits", Schema: schema, Key: key, Cursor: cursor, Mode: connector.Merge, Layout: connector.Layout{Partition: "at", Unit: "day"},
	})
	if err != nil {
		t.Fatal(err)
	}
	stage, err := dest.Stage(t.Context(), connector.StageRequest{Run: run, Epoch: 1, Plan: *plan})
	if err != nil {
		t.Fatal(err)
	}
	r, err := dest.Write(t.Context(), stage, 0, batch.Of(rec))
	if err != nil {
		t.Fatal(err)
	}
	out, err := dest.Commit(t.Context(), connector.CommitRequest{
		Run: connector.RunRecord{ID: run, Started: time.Now().UTC()}, Tables: []connector.CommitTable{{Stage: stage, Plan: *plan, Receipts: []connector.Receipt{r}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func (p *place) wantVisits(t *testing.T, want string) {
	t.Helper()
	rows, _ := p.published(t, "visits")
	var got []string
	for rec, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(rec.NumRows()) {
			got = append(got, rec.Column(0).ValueStr(i)+":"+rec.Column(2).ValueStr(i))
		}
	}
	if s := strings.Join(sorted(got), " "); s != want {
		t.Errorf("visits %q, want %q", s, want)
	}
}

// TestMergeTakesTheLatest: of rows with the same key the one with the greatest cursor; without a cursor it can't be told, and nothing is changed.
func TestMergeTakesTheLatest(t *testing.T) {
	p := newPlace(t, nil)
	if out := p.merged(t, "1", "score", []string{"id"}, visit{1, 10, 5}, visit{1, 10, 7}, visit{1, 10, 6}, visit{2, 10, 1}); !out.Published || len(out.Notes) != 1 {
		t.Fatalf("%+v", out)
	}
	p.wantVisits(t, "1:7 2:1")
	if out := p.merged(t, "2", "score", []string{"id"}, visit{2, 11, 3}, visit{2, 11, 2}, visit{3, 11, 1}); !out.Published {
		t.Fatalf("%+v", out)
	}
	p.wantVisits(t, "1:7 2:3 3:1")
	if out := p.merged(t, "3", "", []string{"id"}, visit{3, 11, 8}, visit{3, 11, 9}); out.Published || !strings.Contains(out.Why, "1 of 2 rows have a key that another one has, too") {
		t.Errorf("twins: %+v", out)
	}
	if out := p.merged(t, "4", "", []string{"id", "at"}, visit{4, -1, 8}); out.Published || !strings.Contains(out.Why, "the key's column at is null in 1 rows") {
		t.Errorf("a key of null: %+v", out)
	}
	p.wantVisits(t, "1:7 2:3 3:1")
}

// TestMergeForFree loads rows without a MERGE where the partition is part of the key and the partitions touched are empty, or small.
func TestMergeForFree(t *testing.T) {
	p := newPlace(t, nil)
	key := []string{"id", "at"}
	if out := p.merged(t, "1", "", key, visit{1, 10, 5}, visit{2, 11, 5}); !out.Published {
		t.Fatalf("%+v", out)
	}
	if out := p.merged(t, "2", "", key, visit{1, 12, 6}, visit{2, 13, 6}); !out.Published || p.front.Count("query", "") > 0 {
		t.Fatalf("%+v after %d queries", out, p.front.Count("query", ""))
	}
	p.wantVisits(t, "1:5 1:6 2:5 2:6")
	if out := p.merged(t, "3", "", key, visit{1, 12, 7}, visit{3, 14, 7}); !out.Published || p.front.Count("query", "") > 0 {
		t.Fatalf("%+v after %d queries", out, p.front.Count("query", ""))
	}
	p.wantVisits(t, "1:5 1:7 2:5 2:6 3:7")
}
