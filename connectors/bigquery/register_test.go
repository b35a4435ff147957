package bigquery_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"

	"github.com/kitamae/kitamae/connectors/bigquery"
	"github.com/kitamae/kitamae/fault"
)

// TestRegisterFaults: a writing whose answer is lost, or that is refused for a moment, is done once and has a version all the same.
func TestRegisterFaults(t *testing.T) {
	for _, tc := range []struct {
		name, does string
		n          int // of the writing that it happens to; the first makes the view
	}{
		{"made, answer lost", lost, 1},
		{"changed, answer lost", lost, 2},
		{"made too often", "403 rateLimitExceeded", 1},
		{"changed too often", "403 rateLimitExceeded", 2},
		{"unavailable", "503 backendError", 2},
		{"cut off", cut, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, func(c *call) string {
				if c.What == "table" && c.N == tc.n {
					return tc.does
				}
				return ""
			})
			r, err := bigquery.Connector.Register.Open(t.Context(), &p.spec, p.env)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			version := ""
			for _, value := range []string{"1", "2", "3"} {
				next, err := r.Put(t.Context(), "k", []byte(value), version)
				if err != nil || next == version {
					t.Fatalf("put %s over %q: %q, %v", value, version, next, err)
				}
				version = next
			}
			if value, now, err := r.Get(t.Context(), "k"); err != nil || string(value) != "3" || now != version {
				t.Errorf("get = %q, %q, %v; want 3, %q", value, now, err, version)
			}
		})
	}
}

// TestRegisterOverlooked: what BigQuery itself calls a conflict is one.
func TestRegisterOverlooked(t *testing.T) {
	p := newPlace(t, func(c *call) string {
		if c.What == "table" && c.N == 2 {
			return "412 conditionNotMet"
		}
		return ""
	})
	r, err := bigquery.Connector.Register.Open(t.Context(), &p.spec, p.env)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	version, err := r.Put(t.Context(), "k", []byte("1"), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Put(t.Context(), "k", []byte("2"), version); !errors.Is(err, fault.ErrConflict) {
		t.Errorf("put: %v, want a conflict", err)
	}
}

// TestRegisterCosts holds what a lease costs: a question and three changes of one view for a run of less than ten seconds, and a view that people
// can read and that goes by itself.
func TestRegisterCosts(t *testing.T) {
	all, changes := 0, 0
	p := newPlace(t, func(c *call) string {
		all++
		if c.What == "table" {
			changes++
		}
		return ""
	})
	r, err := bigquery.Connector.Register.Open(t.Context(), &p.spec, p.env)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, version, err := r.Get(t.Context(), "kitamae: mysql app")
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{`{"holder":"run 1"}`, `{"holder":"run 1","turn":2}`, ""} { // taken, asked for before the commit, given back
		if version, err = r.Put(t.Context(), "kitamae: mysql app", []byte(value), version); err != nil {
			t.Fatal(err)
		}
	}
	if all != 5 || changes != 3 { // of a view that was made, the version is asked for
		t.Errorf("%d requests, %d of them changes; want 5 and 3", all, changes)
	}
	tables := p.client.Dataset(p.spec.Dataset).Tables(t.Context())
	view, err := tables.Next()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tables.Next(); !errors.Is(err, iterator.Done) {
		t.Errorf("more than one view: %v", err)
	}
	md, err := view.Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if in := time.Until(md.ExpirationTime); !strings.HasPrefix(view.TableID, "_kitamae_lease_") || md.Type != bq.ViewTable || in < 24*time.Hour || in > 8*24*time.Hour {
		t.Errorf("%s %s goes in %s", md.Type, view.TableID, in)
	}
	it, err := p.client.Query("SELECT name FROM `" + project + "." + p.spec.Dataset + "." + view.TableID + "`").Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var row []bq.Value
	if err := it.Next(&row); err != nil || row[0] != "kitamae: mysql app" {
		t.Errorf("the view shows %v, %v", row, err)
	}
}
