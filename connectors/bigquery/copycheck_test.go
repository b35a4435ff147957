package bigquery_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"google.golang.org/api/iterator"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connectors/bigquery"
	"github.com/kitamae/kitamae/internal/servertest"
)

// wide stages one table with a column of each type that the copy's query sums up, in two tasks.
func (p *place) wide(t *testing.T, run string) (connector.Destination, connector.CommitRequest) {
	t.Helper()
	dest, err := bigquery.Connector.Dest.Open(t.Context(), &p.spec, p.env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dest.Close() })
	var fields []arrow.Field
	var columns []sample
	for _, name := range []string{"int64", "uint64", "float", "bool", "text", "bytes", "numeric", "bignumeric", "date", "time", "datetime", "timestamp", "geography", "json"} {
		s := samples()[name]
		s.field.Name = name
		fields, columns = append(fields, s.field), append(columns, s)
	}
	schema := arrow.NewSchema(fields, nil)
	plan, err := dest.PlanTable(t.Context(), connector.PlanRequest{Name: "wide", Schema: schema, Mode: connector.Replace, Full: true, Rows: 6, Bytes: 600})
	if err != nil {
		t.Fatal(err)
	}
	if plan.Cost == nil || plan.Cost.Bytes != 10<<20 || plan.Verifying != plan.Cost.Bytes || plan.Cost.Price == 0 || !strings.Contains(plan.Cost.For, "verify: full") {
		t.Errorf("planned cost %+v, for verifying %d bytes", plan.Cost, plan.Verifying)
	}
	stage, err := dest.Stage(t.Context(), connector.StageRequest{Run: run, Epoch: 1, Plan: *plan})
	if err != nil {
		t.Fatal(err)
	}
	req := connector.CommitRequest{Run: connector.RunRecord{ID: run}, Tables: []connector.CommitTable{{Stage: stage, Plan: *plan}}}
	for task := range 2 {
		b, err := batch.NewBuilder(schema, &batch.Pool{}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Release()
		for row := range 3 {
			for k, s := range columns {
				at := task*3 + row
				if at >= len(s.put) {
					b.Columns[k].Null()
					continue
				}
				s.put[at](b.Columns[k])
			}
		}
		rec, err := b.Batch()
		if err != nil {
			t.Fatal(err)
		}
		defer rec.Release()
		r, err := dest.Write(t.Context(), stage, task, batch.Convert(batch.Of(rec), plan.Schema()))
		if err != nil {
			t.Fatal(err)
		}
		req.Tables[0].Receipts = append(req.Tables[0].Receipts, r)
	}
	return dest, req
}

// hidden are the place's hidden copies.
func (p *place) hidden(t *testing.T) (names []string) {
	t.Helper()
	for it := p.client.Dataset(p.spec.Dataset).Tables(t.Context()); ; {
		tab, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(tab.TableID, "_kitamae_check_") {
			names = append(names, tab.TableID)
		}
	}
}

// TestVerifyFull compares what BigQuery made of the files, before the table is published, and leaves no copy behind. Where a value has
// changed on the way, the fault names column and sum, and nothing is published.
func TestVerifyFull(t *testing.T) {
	for _, tc := range []struct{ name, from, to, want string }{
		{"as it is", "", "", ""},
		{"an integer is another", `"9223372036854775807"`, `"9223372036854775806"`, "column int64, sum"},
		{"a float is another", `"float":0.1,`, `"float":0.11,`, ""}, // neither the least nor the greatest, and floats have no exact sum
		{"a NaN is null", `"NaN"`, `null`, "column float, values: 3, want 4; column float, NaN: 0, want 1"},
		{"a flag is another", `"bool":true`, `"bool":false`, "column bool, true: 0, want 1"},
		{"a text is longer", `"text":"日本`, `"text":"日本本`, "column text, bytes"},
		{"bytes are others", `"AP8K"`, `"AP8L"`, "column bytes, greatest"},
		{"a day is another", `"1970-01-01"`, `"1970-01-02"`, "column date, sum"},
		{"a long decimal is another", `"1.50`, `"1.49`, "column bignumeric, least"},
		{"a microsecond is lost", `.000001"`, `"`, "column datetime, sum"},
		{"a flag is a number", `"json":false`, `"json":0`, "column json, number: 3, want 2; column json, boolean: 0, want 1"},
		{"a document is another", `"json":"text"`, `"json":{}`, "column json, object: 2, want 1; column json, string: 0, want 1"},
		{"a digit is lost", `-0.000000001`, `-0.000000002`, "column numeric, sum"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, nil)
			changed := false
			p.front.Changes = func(data []byte) []byte {
				if tc.from == "" || !bytes.Contains(data, []byte(tc.from)) {
					return data
				}
				changed = true
				return bytes.Replace(data, []byte(tc.from), []byte(tc.to), 1)
			}
			dest, req := p.wide(t, "20261129T010000Z-full")
			out, err := dest.Commit(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if tc.from != "" && !changed {
				t.Fatalf("no line has %s", tc.from)
			}
			switch {
			case tc.want == "" && (!out[0].Published || !strings.Contains(fmt.Sprint(out[0].Notes), "verified in BigQuery: 53 sums over 14 columns")):
				t.Errorf("commit = %+v, want it published", out)
			case tc.want != "" && (out[0].Published || !strings.Contains(out[0].Why, tc.want)):
				t.Errorf("commit = %+v, want it held back for %s", out, tc.want)
			}
			if _, there := p.published(t, "wide"); there != (tc.want == "") {
				t.Errorf("the table is there: %v", there)
			}
			if left := p.hidden(t); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			if n := p.front.Count("query", ""); tc.want == "" && n > 1 {
				t.Errorf("%d queries", n)
			}
		})
	}
}

// TestVerifyFullWithinItsPrice: the query may be billed what the plan said and no more; a table that would cost more is held back.
func TestVerifyFullWithinItsPrice(t *testing.T) {
	var asked []string
	p := newPlace(t, func(c *call) string {
		if c.What == "query" {
			asked = append(asked, c.Body)
			return "400 bytesBilledLimitExceeded"
		}
		return ""
	})
	dest, req := p.wide(t, "20261129T010000Z-price")
	out, err := dest.Commit(t.Context(), req)
	if err != nil || out[0].Published || !strings.Contains(out[0].Why, "more than the plan said") {
		t.Fatalf("commit = %+v, %v", out, err)
	}
	if len(asked) != 1 || !strings.Contains(asked[0], `"maximumBytesBilled":"10485760"`) {
		t.Errorf("asked %q", asked)
	}
	if left := p.hidden(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestVerifyFullRun: the config asks for it; the plan's price counts against the run's limit, and the report says what was compared.
func TestVerifyFullRun(t *testing.T) {
	s := servertest.MariaDB(t)
	db := servertest.FreshDatabase(t, s)
	s.Exec(t, db, "CREATE TABLE people (id int PRIMARY KEY, name varchar(20))", "INSERT INTO people VALUES (1, '山田'), (2, null)")
	p := newPlace(t, nil)
	run := func(limits string, args ...string) (string, error) {
		cmd := p.kitamae(t, s, db, args...)
		config := filepath.Join(p.env.Dir, "kitamae.yml")
		text, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.Replace(append(text, "verify: full\n"...), []byte("memory: 256MiB"), []byte("memory: 256MiB"+limits), 1)
		if err := os.WriteFile(config, text, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run(", cost_per_run: 0.00001 USD", "run"); err == nil || !strings.Contains(out, "people 0.00006 USD for 10 MiB, verify: full") {
		t.Errorf("a run that costs too much: %v\n%s", err, out)
	}
	if out, err := run("", "plan"); err != nil || !strings.Contains(out, "0.00006 USD") {
		t.Errorf("plan: %v\n%s", err, out)
	}
	if out, err := run("", "run"); err != nil || !strings.Contains(out, "verified in BigQuery: 9 sums") {
		t.Errorf("run: %v\n%s", err, out)
	}
	p.wantRows(t, "people", 2)
}
