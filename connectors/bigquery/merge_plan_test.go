package bigquery

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	bq "cloud.google.com/go/bigquery"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

func mergePlan(key ...string) connector.TablePlan {
	return connector.TablePlan{
		Name: "visits", Key: key, Mode: connector.Merge, Layout: connector.Layout{Partition: "at", Unit: "day"},
		Columns: []connector.ColumnPlan{{Name: "id", Native: "INT64"}, {Name: "at", Native: "TIMESTAMP"}, {Name: "名", Native: "STRING"}},
	}
}

func TestMergeSQL(t *testing.T) {
	d := newDest(Spec{Project: "acme", Dataset: "app"}, connector.Env{Dir: t.TempDir()})
	schema := bq.Schema{{Name: "id", Type: "INTEGER"}, {Name: "at", Type: "TIMESTAMP"}, {Name: "名", Type: "STRING"}}
	for _, tc := range []struct {
		name   string
		plan   connector.TablePlan
		keys   []keyRange
		filter bool
		want   []string
		not    string
	}{
		{"bounds of the key", mergePlan("id"), []keyRange{{"INT64", true, -5, 7}}, false,
			[]string{"MERGE `acme`.`app`.`visits` AS T USING `acme`.`app`.`delta` AS S ON T.`id` = S.`id` AND T.`id` BETWEEN -5 AND 7\n",
				"WHEN MATCHED THEN UPDATE SET `at` = S.`at`, `名` = S.`名`\n", "WHEN NOT MATCHED THEN INSERT (`id`, `at`, `名`) VALUES (S.`id`, S.`at`, S.`名`)"}, "T.`at`"},
		{"partition in the key", mergePlan("id", "at"), []keyRange{{native: "INT64"}, {"TIMESTAMP", true, -1, 1_000_000}}, false,
			[]string{"T.`at` BETWEEN TIMESTAMP '1969-12-31T23:59:59.999999Z' AND TIMESTAMP '1970-01-01T00:00:01.000000Z'", "UPDATE SET `名` = S.`名`\n"}, "T.`id` BETWEEN"},
		{"a filter is required", mergePlan("id"), []keyRange{{native: "INT64"}}, true, []string{"AND (T.`at` >= TIMESTAMP '1960-01-01' OR T.`at` < TIMESTAMP '1960-01-01' OR T.`at` IS NULL)"}, "BETWEEN"},
		{"all columns are the key", mergePlan("id", "at", "名"), make([]keyRange, 3), false, []string{"INSERT"}, "WHEN MATCHED"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := &publication{table: connector.CommitTable{Plan: tc.plan}, live: &bq.TableMetadata{RequirePartitionFilter: tc.filter}}
			got := d.mergeSQL(p, "delta", &keySurvey{columns: tc.keys}, schema)
			for _, want := range tc.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %s in\n%s", want, got)
				}
			}
			if strings.Contains(got, tc.not) {
				t.Errorf("%s is in\n%s", tc.not, got)
			}
		})
	}
}

func TestMergeKey(t *testing.T) {
	for _, tc := range []struct{ native, code string }{{"INT64", ""}, {"STRING", ""}, {"JSON", "bigquery.merge_key"}, {"GEOGRAPHY", "bigquery.merge_key"}} {
		plan := mergePlan("id")
		plan.Columns[0].Native = tc.native
		if err := comparableKey(&plan); (err != nil) != (tc.code != "") || err != nil && !fault.HasCode(err, tc.code) {
			t.Errorf("by %s: %v, want code %q", tc.native, err, tc.code)
		}
	}
}

// TestMergeCost: the keys, all columns, and a tenth for what comes, each at least what BigQuery takes at least.
func TestMergeCost(t *testing.T) {
	for _, tc := range []struct {
		key         string
		bytes, rows int64
		want        int64
	}{
		{"id", 1000, 10, leastMerge},
		{"id", 100 << 30, 1 << 30, 100<<30 + 8<<30 + 10<<30},
		{"名", 100 << 30, 1 << 30, 100<<30 + 100<<30 + 10<<30},
		{"id", 2 << 30, 1 << 20, 2<<30 + 8<<20 + 1<<30},
	} {
		c := mergeCost("US", mergePlan(tc.key), &bq.TableMetadata{NumBytes: tc.bytes, NumRows: uint64(tc.rows)})
		if c.Bytes != tc.want || c.Price <= 0 || c.For == "" {
			t.Errorf("%s of %d bytes costs %+v, want %d bytes", tc.key, tc.bytes, c, tc.want)
		}
	}
}

// TestMergeWithinItsPlan holds that a MERGE that would be billed more than its plan said is not begun, and that BigQuery is told the limit.
func TestMergeWithinItsPlan(t *testing.T) {
	for _, tc := range []struct {
		name string
		read int64
		code string
	}{{"within", 3 << 30, ""}, {"beyond", 5 << 30, "bigquery.merge_cost"}} {
		t.Run(tc.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if strings.HasSuffix(r.URL.Path, "/datasets/app") {
					fmt.Fprint(w, `{"location":"US"}`)
					return
				}
				if ask := body(t, r); !ask.Configuration.DryRun {
					t.Error("it is begun")
				}
				fmt.Fprintf(w, `{"jobReference":{"projectId":"acme","jobId":"j","location":"US"},"status":{"state":"DONE"},"configuration":{"dryRun":true,"query":{}},"statistics":{"totalBytesProcessed":"%d","query":{"statementType":"MERGE"}}}`, tc.read)
			}))
			defer server.Close()
			d := newDest(Spec{Project: "acme", Dataset: "app", Endpoint: server.URL}, connector.Env{Dir: t.TempDir()})
			defer d.Close()
			if _, err := d.dataset(t.Context()); err != nil {
				t.Fatal(err)
			}
			plan := mergePlan("id")
			plan.Cost = &connector.Cost{Bytes: 4 << 30}
			q := d.client.Query("MERGE")
			_, err := d.affordable(t.Context(), plan, q)
			if (err != nil) != (tc.code != "") || tc.code != "" && !fault.HasCode(err, tc.code) {
				t.Errorf("%v, want code %q", err, tc.code)
			}
			if q.MaxBytesBilled != 4<<30 {
				t.Errorf("BigQuery is told %d bytes", q.MaxBytesBilled)
			}
		})
	}
}
