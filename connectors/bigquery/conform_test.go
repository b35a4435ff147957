package bigquery_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	bq "cloud.google.com/go/bigquery"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connector/conform"
	"github.com/kitamae/kitamae/connectors/bigquery"
	"github.com/kitamae/kitamae/internal/bqfront"
	"github.com/kitamae/kitamae/internal/servertest"
)

func TestConform(t *testing.T) {
	address := servertest.GCS(t)
	conform.Run(t, conform.Suite{Connector: bigquery.Connector, Config: func(t *testing.T) conform.Config {
		p := newPlace(t, nil)
		p.throughBucket(t, address)
		return conform.Config{Spec: &p.spec, Env: p.env, Published: p.published}
	}})
}

// call and the faults are the front's, under short names.
type call = bqfront.Call

const (
	lost  = bqfront.Lost
	cut   = bqfront.Cut
	half  = bqfront.Half
	twice = bqfront.Twice
)

// place is a dataset of a test's own behind a front.
type place struct {
	spec   bigquery.Spec
	env    connector.Env
	front  *bqfront.Front
	client *bq.Client // past the front
}

const project = "kitamae-test"

func newPlace(t *testing.T, faults func(*call) string) *place {
	t.Helper()
	emulator := servertest.BigQuery(t)
	f := bqfront.New(t, emulator, faults)
	ctx := context.Background()
	client, err := bq.NewClient(ctx, project, option.WithEndpoint(emulator+"/bigquery/v2/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	name := servertest.FreshName(t)
	if err := client.Dataset(name).Create(ctx, &bq.DatasetMetadata{Location: "US"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Dataset(name).DeleteWithContents(context.Background()); err != nil {
			t.Errorf("drop dataset: %v", err)
		}
	})
	return &place{
		spec: bigquery.Spec{Project: project, Dataset: name, Endpoint: f.URL}, env: connector.Env{Dir: t.TempDir(), MemoryBytes: 256 << 20, Version: "test"},
		front: f, client: client,
	}
}

// published reads a table by tabledata.list, in the column order and the Arrow types that _kitamae_columns has for it, with the columns that
// no longer come after them; values are text.
func (p *place) published(t *testing.T, table string) (batch.Stream, bool) {
	t.Helper()
	ctx := t.Context()
	ds := p.client.Dataset(p.spec.Dataset)
	md, err := ds.Table(table).Metadata(ctx)
	if err != nil {
		if strings.Contains(err.Error(), "404") {
			return nil, false
		}
		t.Fatal(err)
	}
	order, types := p.dictionary(t, table)
	for _, f := range md.Schema {
		if !slices.Contains(order, f.Name) {
			order = append(order, f.Name)
		}
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, textSchema(order))
	defer b.Release()
	for it := ds.Table(table).Read(ctx); ; {
		row := map[string]bq.Value{}
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range order {
			if v := row[name]; v == nil {
				b.Field(i).AppendNull()
			} else {
				b.Field(i).(*array.StringBuilder).Append(said(t, v, types[name]))
			}
		}
	}
	rec := b.NewRecordBatch()
	t.Cleanup(rec.Release)
	return batch.Of(rec), true
}

func textSchema(names []string) *arrow.Schema {
	fields := make([]arrow.Field, len(names))
	for i, n := range names {
		fields[i] = arrow.Field{Name: n, Type: arrow.BinaryTypes.String, Nullable: true}
	}
	return arrow.NewSchema(fields, nil)
}

// dictionary is what the latest run says of a table's columns.
func (p *place) dictionary(t *testing.T, table string) (order []string, types map[string]string) {
	t.Helper()
	types = map[string]string{}
	latest := ""
	for it := p.client.Dataset(p.spec.Dataset).Table("_kitamae_columns").Read(t.Context()); ; {
		row := map[string]bq.Value{}
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if row["table"] != table {
			continue
		}
		if _, known := types[row["column"].(string)]; !known || row["run"].(string) >= latest {
			types[row["column"].(string)] = row["arrow"].(string)
		}
		if run := row["run"].(string); run != latest {
			if run < latest {
				continue
			}
			latest, order = run, nil
		}
		for len(order) < int(row["number"].(int64)) {
			order = append(order, "")
		}
		order[row["number"].(int64)-1] = row["column"].(string)
	}
	return order, types
}

// said is a value as batch.AppendText says it, by its own code.
func said(t *testing.T, v bq.Value, typ string) string {
	t.Helper()
	parsed, err := connector.ParseType(typ)
	if err != nil {
		t.Fatal(err)
	}
	return textOf(t, v, parsed.DataType)
}
