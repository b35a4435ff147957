package lineage_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/lineage"
	"github.com/kitamae/kitamae/run"
)

func env(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func TestSend(t *testing.T) {
	var got []map[string]any
	status := http.StatusCreated
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e map[string]any
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Error(err)
		}
		if r.URL.Path != "/api/v1/lineage" || r.Header.Get("Authorization") != "Bearer k3y" {
			t.Errorf("asked %s as %q", r.URL.Path, r.Header.Get("Authorization"))
		}
		got = append(got, e)
		w.WriteHeader(status)
	}))
	defer server.Close()
	c := lineage.FromEnv(env(map[string]string{"OPENLINEAGE_URL": server.URL + "/", "OPENLINEAGE_API_KEY": "k3y", "OPENLINEAGE_NAMESPACE": "acme"}))
	at := time.Date(2026, 11, 29, 5, 0, 0, 0, time.UTC)
	r := &run.Report{
		ID: "20261129T050000Z-1", Started: at, Ended: at.Add(time.Minute), Source: "app on db1:3306", Destination: "kura.duckdb", Status: run.StatusPartial,
		Error: &run.Failure{Message: "orders: 2 rows are missing"},
		Tables: []run.TableReport{
			{Source: "users", Table: "users", Status: run.StatusPublished, Evidence: &connector.Evidence{Rows: 3}},
			{Source: "orders", Table: "orders", Status: run.StatusHeldBack},
		},
	}
	if err := c.Send(t.Context(), "kitamae.yml", r); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0]["eventType"] != "START" || got[1]["eventType"] != "FAIL" {
		t.Fatalf("got %v", got)
	}
	if a, b := got[0]["run"].(map[string]any)["runId"], got[1]["run"].(map[string]any)["runId"]; a != b || len(a.(string)) != 36 {
		t.Errorf("run IDs %v and %v", a, b)
	}
	if message := got[1]["run"].(map[string]any)["facets"].(map[string]any)["errorMessage"].(map[string]any)["message"]; message != "orders: 2 rows are missing" {
		t.Errorf("error facet %v", message)
	}
	if diff := cmp.Diff(map[string]any{"namespace": "acme", "name": "kitamae.yml"}, got[1]["job"]); diff != "" {
		t.Errorf("job (-want +got):\n%s", diff)
	}
	outputs := got[1]["outputs"].([]any)
	if len(outputs) != 1 || outputs[0].(map[string]any)["name"] != "users" ||
		outputs[0].(map[string]any)["outputFacets"].(map[string]any)["outputStatistics"].(map[string]any)["rowCount"] != 3.0 {
		t.Errorf("outputs %v, want users with 3 rows alone", outputs)
	}
	status = http.StatusServiceUnavailable
	if err := c.Send(t.Context(), "kitamae.yml", r); !fault.HasCode(err, "lineage.send") {
		t.Errorf("a server that refuses: %v, want lineage.send", err)
	}
}

func TestNobodyAsked(t *testing.T) {
	for _, vars := range []map[string]string{{}, {"OPENLINEAGE_URL": "http://x", "OPENLINEAGE_DISABLED": "true"}} {
		if c := lineage.FromEnv(env(vars)); c != nil {
			t.Errorf("with %v: %v, want none", vars, c)
		}
	}
}
