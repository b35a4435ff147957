package bigquery_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connectors/bigquery"
)

// people are rows from..to of id and name.
func people(t *testing.T, from, to int) (*arrow.Schema, batch.Stream) {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		batch.Field("id", arrow.PrimitiveTypes.Int64, false, "", "bigint", "the key"),
		batch.Field("name", arrow.BinaryTypes.String, true, "", "text", "氏名"),
	}, nil)
	b, err := batch.NewBuilder(schema, &batch.Pool{}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	for i := from; i < to; i++ {
		b.Columns[0].Uint64(uint64(i))
		b.Columns[1].Value(fmt.Appendf(nil, "name %d", i))
	}
	rec, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rec.Release)
	return schema, batch.Of(rec)
}

// staged is one run's tables, ready to commit.
func (p *place) staged(t *testing.T, run string, rows int, tables ...string) (connector.Destination, connector.CommitRequest) {
	t.Helper()
	dest, err := bigquery.Connector.Dest.Open(t.Context(), &p.spec, p.env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dest.Close() })
	req := connector.CommitRequest{Run: connector.RunRecord{ID: run, Started: time.Now().UTC(), Source: "test"}}
	for _, name := range tables {
		schema, stream := people(t, 0, rows)
		plan, err := dest.PlanTable(t.Context(), connector.PlanRequest{Name: name, Comment: "people of " + name, Schema: schema, Mode: connector.Replace})
		if err != nil {
			t.Fatal(err)
		}
		stage, err := dest.Stage(t.Context(), connector.StageRequest{Run: run, Epoch: 1, Plan: *plan})
		if err != nil {
			t.Fatal(err)
		}
		r, err := dest.Write(t.Context(), stage, 0, stream)
		if err != nil {
			t.Fatal(err)
		}
		req.Tables = append(req.Tables, connector.CommitTable{Stage: stage, Plan: *plan, Receipts: []connector.Receipt{r}})
	}
	return dest, req
}

func (p *place) wantRows(t *testing.T, table string, want int) {
	t.Helper()
	rows, ok := p.published(t, table)
	if !ok {
		t.Errorf("table %s is not there, want %d rows", table, want)
		return
	}
	got := int64(0)
	for rec, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		got += rec.NumRows()
	}
	if got != int64(want) {
		t.Errorf("table %s has %d rows, want %d", table, got, want)
	}
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}
