package run_test

import (
	"testing"
	"time"

	"github.com/kitamae/kitamae/run"
)

// TestClockJumps: each run begins when the wall clock says, whatever that said before; runs sort as they came, and durations and
// read windows are those of the process.
func TestClockJumps(t *testing.T) {
	h := newHouse(t)
	noon := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	var before string
	for _, jump := range []time.Duration{0, 0, -2 * time.Hour, 24 * time.Hour, -365 * 24 * time.Hour} {
		req := h.request(t, "")
		asked := 0
		req.Now = func() time.Time {
			asked++
			return noon.Add(jump).Add(-time.Duration(asked-1) * time.Hour) // put back by an hour each time it is asked
		}
		real := time.Now()
		r, err := run.Drive(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(real)
		if r.ID <= before {
			t.Errorf("after %v run %s sorts before %s", jump, r.ID, before)
		}
		before = r.ID
		if !r.Started.Equal(noon.Add(jump)) {
			t.Errorf("after %v the run began at %v", jump, r.Started)
		}
		if d := r.Ended.Sub(r.Started); d <= 0 || d > took {
			t.Errorf("the run took %v, and is said to have taken %v", took, d)
		}
		for _, table := range r.Tables {
			e := table.Evidence
			if e.ReadFrom.Before(r.Started) || e.ReadTo.Before(e.ReadFrom) || e.ReadTo.After(r.Ended) {
				t.Errorf("%s was read from %v to %v, in a run from %v to %v", table.Table, e.ReadFrom, e.ReadTo, r.Started, r.Ended)
			}
		}
		newest, err := run.Ledger(t.Context(), req.State, 1)
		if err != nil || len(newest) != 1 || newest[0].ID != r.ID {
			t.Errorf("the newest run is %+v, %v, not %s", newest, err, r.ID)
		}
	}
}
