package bigquery_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	bq "cloud.google.com/go/bigquery"
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connectors/bigquery"
	"github.com/kitamae/kitamae/fault"
)

// TestFaults publishes a table and kitamae's own, which are appended to, through a front that does harm to one
// step of theirs: every row must be there once.
func TestFaults(t *testing.T) {
	for _, tc := range []struct{ name, what, fault string }{
		{"insert refused by 429", "insert", "429 rateLimitExceeded"},
		{"insert refused by 403 rate limit", "insert", "403 rateLimitExceeded"},
		{"insert refused by 500", "insert", "500 internalError"},
		{"insert refused by 503", "insert", "503 backendError"},
		{"insert cut off", "insert", cut},
		{"insert done, answer lost", "insert", lost},
		{"insert done twice", "insert", twice},
		{"insert done, answered 409", "insert", "409 duplicate"},
		{"status 503", "status", "503 backendError"},
		{"status lost", "status", lost},
		{"status cut off", "status", cut},
		{"status asked in another location", "status", "404 notFound"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			hurt := 0
			p := newPlace(t, func(c *call) string {
				if c.What == tc.what && c.N == 1 {
					hurt++
					return tc.fault
				}
				return ""
			})
			dest, req := p.staged(t, "20261129T010000Z-faults", 40, "people")
			out, err := dest.Commit(t.Context(), req)
			if err != nil || !out[0].Published {
				t.Fatalf("commit = %+v, %v; want it published", out, err)
			}
			if hurt == 0 {
				t.Error("nothing was hurt")
			}
			p.wantRows(t, "people", 40)
			p.wantCount(t, "_kitamae_tables", 1)
			p.wantCount(t, "_kitamae_columns", 2)
			p.wantCount(t, "_kitamae_runs", 1)
		})
	}
}

func (p *place) wantCount(t *testing.T, table string, want uint64) {
	t.Helper()
	md, err := p.client.Dataset(p.spec.Dataset).Table(table).Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if md.NumRows != want {
		t.Errorf("%s has %d rows, want %d", table, md.NumRows, want)
	}
}

// TestRefused has BigQuery refuse one table for good: the other is published, and the fault carries the reason.
func TestRefused(t *testing.T) {
	p := newPlace(t, func(c *call) string {
		if c.What == "insert" && c.Table == "bad" {
			return "403 accessDenied"
		}
		return ""
	})
	dest, req := p.staged(t, "20261129T010000Z-refused", 40, "good", "bad")
	for i := range req.Tables {
		req.Tables[i].Evidence.Guarantee = connector.Database
	}
	out, err := dest.Commit(t.Context(), req)
	if err != nil || !out[0].Published || out[1].Published {
		t.Fatalf("commit = %+v, %v; want the first published and the second not", out, err)
	}
	if !strings.Contains(out[1].Why, "the front says so") {
		t.Errorf("why = %q, want BigQuery's own words", out[1].Why)
	}
	if n := p.front.Count("insert", "bad"); n != 1 {
		t.Errorf("a refusal for good was tried %d times", n)
	}
	p.wantRows(t, "good", 40)
	it, err := p.client.Query(fmt.Sprintf("SELECT guarantee FROM `%s.%s._kitamae_tables` WHERE state = 'published'", project, p.spec.Dataset)).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var row []bq.Value
	if err := it.Next(&row); err != nil || row[0] != string(connector.PerTable) {
		t.Errorf("the evidence beside a table held back claims %v, %v; want %s", row, err, connector.PerTable)
	}
	if _, ok := p.published(t, "bad"); ok {
		t.Error("the refused table is there")
	}
}

// TestKilled commits, and commits again in another process after the answer of the load was lost together with the first one.
func TestKilled(t *testing.T) {
	p := newPlace(t, nil)
	dest, req := p.staged(t, "20261129T010000Z-killed", 40, "people")
	if out, err := dest.Commit(t.Context(), req); err != nil || !out[0].Published {
		t.Fatalf("commit = %+v, %v", out, err)
	}
	before := p.front.Count("insert", "people")
	other, err := bigquery.Connector.Dest.Open(t.Context(), &p.spec, p.env)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if got, err := other.Recover(t.Context(), req); err != nil || got != connector.Done {
		t.Errorf("recover = %q, %v; want %q", got, err, connector.Done)
	}
	if out, err := other.Commit(t.Context(), req); err != nil || !out[0].Published {
		t.Fatalf("commit again = %+v, %v", out, err)
	}
	if n := p.front.Count("insert", "people"); n != before {
		t.Errorf("the table was loaded again")
	}
	p.wantRows(t, "people", 40)
	p.wantCount(t, "_kitamae_runs", 1)
	p.wantCount(t, "_kitamae_tables", 1)
}

// TestKilledAndOvertaken: what a killed run had spooled is not published over what a later run has brought from elsewhere.
func TestKilledAndOvertaken(t *testing.T) {
	p := newPlace(t, nil)
	killed, old := p.staged(t, "20261129T010000Z-killed", 40, "people")
	elsewhere, req := p.machine(t).staged(t, "20261129T020000Z-later", 50, "people")
	mustCommit(t, elsewhere, req)
	if got, err := p.open(t).Recover(t.Context(), old); err != nil || got != connector.ReadAgain {
		t.Errorf("recover = %q, %v; want %q", got, err, connector.ReadAgain)
	}
	if out, err := killed.Commit(t.Context(), old); err != nil || out[0].Published { // it was only asleep
		t.Errorf("commit = %+v, %v", out, err)
	}
	p.wantRows(t, "people", 50)
}

// TestDescriptions are those of the source, on the table and its columns, with labels that name the run.
func TestDescriptions(t *testing.T) {
	p := newPlace(t, nil)
	dest, req := p.staged(t, "20261129T010000Z-DESC", 3, "people")
	if out, err := dest.Commit(t.Context(), req); err != nil || !out[0].Published {
		t.Fatalf("commit = %+v, %v", out, err)
	}
	md, err := p.client.Dataset(p.spec.Dataset).Table("people").Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if md.Description != "people of people" || md.Labels["kitamae_run"] != "20261129t010000z-desc" || md.Labels["kitamae_table"] != "people" {
		t.Errorf("description %q, labels %v", md.Description, md.Labels)
	}
	if md.Schema[0].Description != "the key" || md.Schema[1].Description != "氏名" {
		t.Errorf("column descriptions %q, %q", md.Schema[0].Description, md.Schema[1].Description)
	}
}

// TestOutOfRange: what BigQuery's calendar lacks is a fault of Write that names the column and the value.
func TestOutOfRange(t *testing.T) {
	p := newPlace(t, nil)
	for _, tc := range []struct {
		typ  arrow.DataType
		put  func(c *batch.Column)
		said string
	}{
		{arrow.FixedWidthTypes.Date32, func(c *batch.Column) { c.Uint32(2_932_897) }, "10000-01-01"},
		{arrow.FixedWidthTypes.Time64us, func(c *batch.Column) { c.Uint64(86_400_000_000) }, "24:00:00"},
		{&arrow.TimestampType{Unit: arrow.Microsecond}, func(c *batch.Column) { c.Uint64(253_402_300_800_000_000) }, "10000-01-01T00:00:00"},
	} {
		schema := arrow.NewSchema([]arrow.Field{batch.Field("at", tc.typ, true, "", "", "")}, nil)
		b, err := batch.NewBuilder(schema, &batch.Pool{}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		b.Columns[0].Null()
		tc.put(b.Columns[0])
		rec, err := b.Batch()
		if err != nil {
			t.Fatal(err)
		}
		dest, err := bigquery.Connector.Dest.Open(t.Context(), &p.spec, p.env)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := dest.PlanTable(t.Context(), connector.PlanRequest{Name: "x", Schema: schema, Mode: connector.Replace})
		if err != nil {
			t.Fatal(err)
		}
		stage, err := dest.Stage(t.Context(), connector.StageRequest{Run: "r", Epoch: 1, Plan: *plan})
		if err != nil {
			t.Fatal(err)
		}
		_, err = dest.Write(t.Context(), stage, 0, batch.Of(rec))
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != "bigquery.out_of_range" || !strings.Contains(err.Error(), "column at, row 2") || !strings.Contains(err.Error(), tc.said) {
			t.Errorf("%s: %v, want a fault that names column, row and %s", tc.typ, err, tc.said)
		}
		rec.Release()
		b.Release()
		if err := dest.Close(); err != nil {
			t.Error(err)
		}
	}
}
