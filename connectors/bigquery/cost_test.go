package bigquery

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// asked is what the tests look at of a job or a query that is asked for.
type asked struct {
	MaximumBytesBilled string
	Configuration      struct {
		DryRun bool
		Query  struct{ MaximumBytesBilled string }
	}
}

func body(t *testing.T, r *http.Request) (a asked) {
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
			t.Error(err)
		}
	}
	return a
}

func TestCost(t *testing.T) {
	for _, tc := range []struct {
		location string
		bytes    int64
		want     string
	}{
		{"US", 0, "0.00 USD"}, {"US", 1, "0.00006 USD"}, {"US", 10 << 20, "0.00006 USD"}, {"EU", 1 << 40, "6.25 USD"},
		{"asia-northeast1", 1 << 40, "7.50 USD"}, {"US", 1 << 30, "0.006104 USD"}, {"US", 1 << 50, "6400.00 USD"},
	} {
		c := cost(tc.location, tc.bytes)
		if c.Price.String() != tc.want {
			t.Errorf("%d bytes in %s cost %s, want %s", tc.bytes, tc.location, c.Price, tc.want)
		}
		if back := bytesFor(tc.location, c.Price); c.Bytes > 0 && back < c.Bytes {
			t.Errorf("%s in %s buy %d bytes, and %d cost as much", c.Price, tc.location, back, c.Bytes)
		}
	}
	if got := bytesFor("US", conf.USD); got != 1<<40*4/25 {
		t.Errorf("a dollar buys %d bytes", got)
	}
}

// TestQueryWithinItsLimit holds that what the dry run finds too dear is not asked, and that BigQuery itself is told the limit.
func TestQueryWithinItsLimit(t *testing.T) {
	const read = 1 << 38 // a quarter of a tebibyte: 1.5625 USD
	ran, limit := 0, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		job := `"jobReference":{"projectId":"acme-data","jobId":"j","location":"US"},"status":{"state":"DONE"}`
		switch ask := body(t, r); {
		case r.URL.Path == "/bigquery/v2/projects/acme-data/datasets/app":
			fmt.Fprint(w, `{"location":"US"}`)
		case ask.Configuration.DryRun:
			fmt.Fprintf(w, `{%s,"configuration":{"dryRun":true,"query":{}},"statistics":{"totalBytesProcessed":"%d","query":{"statementType":"SELECT","totalBytesProcessed":"%d"}}}`, job, read, read)
		default:
			if r.Method == http.MethodPost {
				ran++
				limit = ask.MaximumBytesBilled + ask.Configuration.Query.MaximumBytesBilled
			}
			fmt.Fprintf(w, `{%s,"jobComplete":true,"totalRows":"0","schema":{"fields":[{"name":"n","type":"INTEGER"}]},"configuration":{"query":{}},"statistics":{"query":{"statementType":"SELECT"}}}`, job)
		}
	}))
	defer server.Close()
	for _, tc := range []struct {
		name  string
		most  conf.Money
		ran   int
		limit string
		code  string
	}{
		{"no limit", 0, 1, "", ""},
		{"within", 2 * conf.USD, 1, fmt.Sprint(int64(1<<40) * 8 / 25), ""},
		{"beyond", conf.USD, 0, "", "query.cost"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ran, limit = 0, ""
			d := newDest(Spec{Project: "acme-data", Dataset: "app", Endpoint: server.URL}, connector.Env{Dir: t.TempDir()})
			defer d.Close()
			res, err := d.Query(t.Context(), connector.Query{SQL: "SELECT 1", MaxCost: tc.most})
			if (err != nil) != (tc.code != "") || tc.code != "" && !fault.HasCode(err, tc.code) {
				t.Fatalf("%v, want code %q", err, tc.code)
			}
			if err == nil {
				_ = res.Close()
			}
			if ran != tc.ran || limit != tc.limit {
				t.Errorf("ran %d times with the limit %q, want %d, %q", ran, limit, tc.ran, tc.limit)
			}
		})
	}
}

// TestCopyBytes: what verify: full may be billed is twice what the source's estimates come to, and never less than the least.
func TestCopyBytes(t *testing.T) {
	columns := []connector.ColumnPlan{{Native: "INT64"}, {Native: "BOOL"}, {Native: "NUMERIC"}}
	texts := append(columns, connector.ColumnPlan{Native: "STRING"})
	for _, tc := range []struct {
		columns           []connector.ColumnPlan
		rows, bytes, want int64
	}{
		{columns, 0, 0, leastBilled}, {columns, 1000, 1 << 40, leastBilled}, {columns, 10_000_000, 1, 500_000_000},
		{texts, 10_000_000, 1 << 30, 540_000_000 + 2<<30}, {texts, 10_000_000, -1, 540_000_000}, {columns, -1, -1, 1 << 30},
	} {
		if got := copyBytes(tc.columns, tc.rows, tc.bytes); got != tc.want {
			t.Errorf("%d columns, %d rows, %d bytes: %d, want %d", len(tc.columns), tc.rows, tc.bytes, got, tc.want)
		}
	}
}

// TestCopied: where a cursor goes on, verify: full copies what comes and not the table.
func TestCopied(t *testing.T) {
	req := connector.PlanRequest{Rows: 1_000_000, Bytes: 100_000_000}
	on := connector.TablePlan{Mode: connector.Append, Cursor: "id", Reached: "7", Rows: 990_000}
	for _, tc := range []struct {
		name        string
		plan        connector.TablePlan
		rows, bytes int64
		of          string
	}{
		{"append", on, 109_000, 10_900_000, "the rows that come, 109,000 by estimate,"},
		{"merge", connector.TablePlan{Mode: connector.Merge, Cursor: "id", Reached: "7", Rows: 2_000_000}, 200_000, 20_000_000, "the rows that come, 200,000 by estimate,"},
		{"the first time", connector.TablePlan{Mode: connector.Append, Cursor: "id"}, req.Rows, req.Bytes, "the table"},
		{"without a cursor", connector.TablePlan{Mode: connector.Append, Reached: "7", Rows: 990_000}, req.Rows, req.Bytes, "the table"},
		{"replace", connector.TablePlan{Mode: connector.Replace, Cursor: "id", Reached: "7", Rows: 990_000}, req.Rows, req.Bytes, "the table"},
	} {
		if rows, bytes, of := copied(&tc.plan, req); rows != tc.rows || bytes != tc.bytes || of != tc.of {
			t.Errorf("%s: %d rows, %d bytes of %q", tc.name, rows, bytes, of)
		}
	}
	if rows, bytes, _ := copied(&on, connector.PlanRequest{Rows: -1, Bytes: -1}); rows != -1 || bytes != -1 {
		t.Errorf("of an unknown source: %d rows, %d bytes", rows, bytes)
	}
}
