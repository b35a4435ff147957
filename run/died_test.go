package run_test

import (
	"context"
	"testing"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/run"
)

// TestDied: a process that dies in the middle, or right after it published, leaves no record: the next run makes one, of what became of it.
func TestDied(t *testing.T) {
	for _, tc := range []struct {
		name   string
		at     run.EventKind
		status run.Status
		rows   int64
	}{
		{"in the middle", run.Scanned, run.StatusInterrupted, 0},
		{"after it published", run.Published, run.StatusPublished, bigRows + 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t)
			req := h.request(t, "")
			left := map[string][]byte{}
			req.Observe = func(e run.Event) {
				if e.Kind != tc.at {
					return
				}
				for _, key := range []string{"begun.json", "commit.json"} {
					value, _, err := req.State.Get(context.Background(), key)
					if err != nil {
						t.Error(err)
					}
					left[key] = value
				}
			}
			first, err := run.Drive(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if begun, _, err := req.State.Get(t.Context(), "begun.json"); err != nil || begun != nil {
				t.Errorf("after its record it still counts as under way: %s, %v", begun, err)
			}
			// as if the process had been killed at that moment
			record, version, err := req.State.Get(t.Context(), "runs/"+first.ID+".json")
			if err != nil || record == nil {
				t.Fatal(err)
			}
			if _, err := req.State.Put(t.Context(), "runs/"+first.ID+".json", nil, version); err != nil {
				t.Fatal(err)
			}
			for key, value := range left {
				if _, err := req.State.Put(t.Context(), key, value, ""); err != nil {
					t.Fatal(err)
				}
			}
			req.Observe = nil
			second, err := run.Drive(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			d := second.Died
			if d == nil || d.ID != first.ID || d.Status != tc.status || d.Rows() != tc.rows || !d.Started.Equal(first.Started) {
				t.Fatalf("the run that died is told as %+v, want %s %s with %d rows", d, first.ID, tc.status, tc.rows)
			}
			if (d.Error != nil && d.Error.Code == "run.died" && d.Error.Kind == fault.Interrupted) != (tc.status == run.StatusInterrupted) {
				t.Errorf("its fault is %+v", d.Error)
			}
			reports, err := run.Ledger(t.Context(), req.State, 0)
			found := false
			for _, r := range reports { // in one second's order only by chance
				found = found || r.ID == first.ID && r.Status == tc.status
			}
			if err != nil || len(reports) != 2 || !found {
				t.Errorf("the ledger: %+v, %v", reports, err)
			}
			if third, err := run.Drive(t.Context(), req); err != nil || third.Died != nil {
				t.Errorf("told again: %+v, %v", third.Died, err)
			}
		})
	}
}
