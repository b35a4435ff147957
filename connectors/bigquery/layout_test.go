package bigquery_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connectors/bigquery"
	"github.com/kitamae/kitamae/fault"
)

// visits are rows at so many days after 1970; -1 is null.
func visits(t *testing.T, days ...int) (*arrow.Schema, batch.Stream) {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		batch.Field("id", arrow.PrimitiveTypes.Int64, false, "", "bigint", ""),
		batch.Field("at", &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, true, "", "timestamp", ""),
		batch.Field("score", arrow.PrimitiveTypes.Float64, true, "", "double", ""),
	}, nil)
	b, err := batch.NewBuilder(schema, &batch.Pool{}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	for i, day := range days {
		b.Columns[0].Uint64(uint64(i))
		if day == -1 {
			b.Columns[1].Null()
		} else {
			b.Columns[1].Uint64(uint64(int64(day) * 86_400_000_000))
		}
		b.Columns[2].Null()
	}
	rec, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rec.Release)
	return schema, batch.Of(rec)
}

// arranged plans, stages and commits visits.
func (p *place) arranged(t *testing.T, run string, mode connector.Mode, layout connector.Layout, days ...int) (*connector.TablePlan, connector.Outcome) {
	t.Helper()
	dest, err := bigquery.Connector.Dest.Open(t.Context(), &p.spec, p.env)
	if err != nil {
		t.Fatal(err)
	}
	defer dest.Close()
	schema, rows := visits(t, days...)
	plan, err := dest.PlanTable(t.Context(), connector.PlanRequest{Name: "visits", Schema: schema, Key: []string{"id"}, Mode: mode, Layout: layout})
	if err != nil {
		t.Fatal(err)
	}
	stage, err := dest.Stage(t.Context(), connector.StageRequest{Run: run, Epoch: 1, Plan: *plan})
	if err != nil {
		t.Fatal(err)
	}
	r, err := dest.Write(t.Context(), stage, 0, rows)
	if err != nil {
		t.Fatal(err)
	}
	out, err := dest.Commit(t.Context(), connector.CommitRequest{
		Run: connector.RunRecord{ID: run, Started: time.Now().UTC()}, Tables: []connector.CommitTable{{Stage: stage, Plan: *plan, Receipts: []connector.Receipt{r}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan, out[0]
}

func (p *place) metadata(t *testing.T, table string) *bq.TableMetadata {
	t.Helper()
	md, err := p.client.Dataset(p.spec.Dataset).Table(table).Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return md
}

// TestLayout makes a table with a layout, changes what can be changed, and keeps what people set themselves.
func TestLayout(t *testing.T) {
	p := newPlace(t, nil)
	layout := connector.Layout{Partition: "at", Unit: "month", Cluster: []string{"id"}, ExpireDays: 400}
	if _, out := p.arranged(t, "1", connector.Replace, layout, 20_000, 20_001); !out.Published {
		t.Fatal(out.Why)
	}
	md := p.metadata(t, "visits")
	if tp := md.TimePartitioning; tp == nil || tp.Field != "at" || tp.Type != bq.MonthPartitioningType || tp.Expiration != 400*24*time.Hour || md.Clustering == nil || md.Clustering.Fields[0] != "id" {
		t.Fatalf("the table is %+v, %+v", md.TimePartitioning, md.Clustering)
	}
	tp := *md.TimePartitioning
	if _, err := p.client.Dataset(p.spec.Dataset).Table("visits").Update(t.Context(), bq.TableMetadataToUpdate{RequirePartitionFilter: true, TimePartitioning: &tp}, ""); err != nil {
		t.Fatal(err)
	}
	layout.ExpireDays, layout.Cluster = 500, []string{"at", "id"}
	plan, out := p.arranged(t, "2", connector.Replace, layout, 20_000)
	if !out.Published {
		t.Fatal(out.Why)
	}
	if changes := strings.Join(plan.Changes, "; "); changes != "partitions go away after 500 days, was after 400 days: older ones go at once; clustered by at, id, was clustered by id" {
		t.Errorf("changes %q", changes)
	}
	md = p.metadata(t, "visits")
	if md.TimePartitioning.Expiration != 500*24*time.Hour || fmt.Sprint(md.Clustering.Fields) != "[at id]" || !md.RequirePartitionFilter {
		t.Errorf("the table is %+v, %+v, filter required: %v", md.TimePartitioning, md.Clustering, md.RequirePartitionFilter)
	}
	if plan, _ = p.arranged(t, "3", connector.Replace, connector.Layout{}, 20_000); len(plan.Changes) > 0 || plan.Layout.ExpireDays != 500 {
		t.Errorf("without a layout the plan changes %q and has %+v", plan.Changes, plan.Layout)
	}
}

// TestLayoutRefused: what BigQuery can't do is told by the plan.
func TestLayoutRefused(t *testing.T) {
	p := newPlace(t, nil)
	if _, out := p.arranged(t, "1", connector.Replace, connector.Layout{Partition: "at", Unit: "day"}, 20_000); !out.Published {
		t.Fatal(out.Why)
	}
	dest, err := bigquery.Connector.Dest.Open(t.Context(), &p.spec, p.env)
	if err != nil {
		t.Fatal(err)
	}
	defer dest.Close()
	schema, _ := visits(t)
	without := arrow.NewSchema(schema.Fields()[:1], nil)
	dated := arrow.NewSchema([]arrow.Field{schema.Field(0), batch.Field("at", arrow.FixedWidthTypes.Date32, true, "", "date", "")}, nil)
	for _, tc := range []struct {
		name, table, code string
		schema            *arrow.Schema
		layout            connector.Layout
	}{
		{"another unit", "visits", "bigquery.partitioning", schema, connector.Layout{Partition: "at", Unit: "month"}},
		{"its column gone", "visits", "bigquery.partitioning", without, connector.Layout{}},
		{"its column of another type", "visits", "bigquery.partitioning", dated, connector.Layout{}},
		{"by a number", "new", "bigquery.partition", schema, connector.Layout{Partition: "id", Unit: "day"}},
		{"a date by the hour", "new", "bigquery.partition", dated, connector.Layout{Partition: "at", Unit: "hour"}},
		{"clustered by a float", "new", "bigquery.cluster", schema, connector.Layout{Cluster: []string{"score"}}},
		{"clustered by five", "new", "bigquery.cluster", schema, connector.Layout{Cluster: []string{"id", "at", "id", "at", "id"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := dest.PlanTable(t.Context(), connector.PlanRequest{Name: tc.table, Schema: tc.schema, Mode: connector.Replace, Layout: tc.layout})
			if !fault.HasCode(err, tc.code) || fault.From(err).Hint == "" {
				t.Errorf("%v, want code %s with a hint", err, tc.code)
			}
		})
	}
}

// TestTooManyPartitions refuses before anything is uploaded, and says what helps.
func TestTooManyPartitions(t *testing.T) {
	p := newPlace(t, nil)
	days := make([]int, 4001)
	for i := range days {
		days[i] = i
	}
	days[4000] = -1
	_, out := p.arranged(t, "1", connector.Replace, connector.Layout{Partition: "at", Unit: "day"}, days...)
	if out.Published || !strings.Contains(out.Why, "4001 partitions by the day, up to 19801213; one job may touch 4000") || p.front.Count("insert", "visits") > 0 {
		t.Errorf("%+v after %d loads", out, p.front.Count("insert", "visits"))
	}
	if _, out = p.arranged(t, "2", connector.Replace, connector.Layout{Partition: "at", Unit: "month"}, days...); !out.Published {
		t.Error(out.Why)
	}
}

// TestLifetimePlanned: the dataset's owner lets tables go after sixty days, and the plan of a new one says so.
func TestLifetimePlanned(t *testing.T) {
	p := newPlace(t, nil)
	if _, err := p.client.Dataset(p.spec.Dataset).Update(t.Context(), bq.DatasetMetadataToUpdate{DefaultTableExpiration: 60 * 24 * time.Hour}, ""); err != nil {
		t.Fatal(err)
	}
	schema, _ := people(t, 0, 0)
	plan, err := p.open(t).PlanTable(t.Context(), connector.PlanRequest{Name: "people", Schema: schema, Mode: connector.Replace})
	if err != nil || !strings.Contains(strings.Join(plan.Notes, "\n"), "by itself 60 days after it was made") {
		t.Errorf("%+v, %v", plan, err)
	}
}

// TestCrowded refuses rows for more partitions than a table may have, and takes those for partitions that are there.
func TestCrowded(t *testing.T) {
	t.Parallel()
	p := newPlace(t, nil)
	layout := connector.Layout{Partition: "at", Unit: "day"}
	if _, out := p.arranged(t, "1", connector.Append, layout, 20_000, 20_001); !out.Published {
		t.Fatal(out.Why)
	}
	p.front.Partitions = 9_999
	if _, out := p.arranged(t, "2", connector.Append, layout, 20_001, 20_002); !out.Published {
		t.Errorf("one more: %s", out.Why)
	}
	p.front.Partitions = 10_000
	if _, out := p.arranged(t, "3", connector.Append, layout, 20_001, 20_002); !out.Published {
		t.Errorf("no more: %s", out.Why)
	}
	if _, out := p.arranged(t, "4", connector.Append, layout, 20_002, 20_003); out.Published || !strings.Contains(out.Why, "has 10000 partitions, and rows come for more") || p.front.Count("insert", "visits") != 3 {
		t.Errorf("%+v after %d loads", out, p.front.Count("insert", "visits"))
	}
}

// TestOverwriteRefused leaves the table as it is where rows have no partition, or fall in too many.
func TestOverwriteRefused(t *testing.T) {
	p := newPlace(t, nil)
	layout := connector.Layout{Partition: "at", Unit: "day"}
	if _, out := p.arranged(t, "1", connector.Overwrite, layout, 20_000, -1); !out.Published {
		t.Fatal(out.Why)
	}
	if _, out := p.arranged(t, "2", connector.Overwrite, layout, 20_000, -1, -1); out.Published || !strings.Contains(out.Why, "in 2 rows at is null") {
		t.Errorf("nulls: %+v", out)
	}
	if _, out := p.arranged(t, "3", connector.Overwrite, layout, 20_000, 100_000); out.Published || !strings.Contains(out.Why, "in 1 rows at is before 1960 or after 2159") {
		t.Errorf("far dates: %+v", out)
	}
	days := make([]int, 367)
	for i := range days {
		days[i] = 10_000 + i
	}
	if _, out := p.arranged(t, "4", connector.Overwrite, layout, days...); out.Published || !strings.Contains(out.Why, "fall in 367 partitions; a run overwrites 366 at most") {
		t.Errorf("many: %+v", out)
	}
	if md := p.metadata(t, "visits"); md.NumRows != 2 {
		t.Errorf("%d rows are there, want the first two", md.NumRows)
	}
}
