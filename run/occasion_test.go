package run_test

import (
	"errors"
	"testing"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/run"
)

// TestOncePerOccasion: a time's run happens once, and again only where the one before did not publish everything.
func TestOncePerOccasion(t *testing.T) {
	h := newHouse(t)
	at := run.Occasion("2026-11-29T05:00:00+09:00")

	bad := h.request(t, "tables: {users: {}, no_such_table: {}}\n")
	bad.Occasion = at
	first, err := run.Drive(t.Context(), bad)
	if err == nil || first.ID != "20261128T200000Z-1" {
		t.Fatalf("a failing run: %v, %v", first, err)
	}
	good := h.request(t, "")
	good.Occasion = at
	second, err := run.Drive(t.Context(), good)
	if err != nil || second.ID != "20261128T200000Z-2" {
		t.Fatalf("the next start for the time: %v, %v", second, err)
	}
	rows := h.ask(t, "SELECT count(*) FROM _kitamae.runs")
	var already *run.Already
	if report, err := run.Drive(t.Context(), good); !errors.As(err, &already) || already.Run != second.ID || report != nil {
		t.Errorf("a start after success: %v, %v; want Already with %s", report, err, second.ID)
	}
	if now := h.ask(t, "SELECT count(*) FROM _kitamae.runs"); now != rows {
		t.Errorf("%d runs in the warehouse after a start that had nothing to do, %d before", now, rows)
	}
	good.Occasion = run.Occasion("2026-11-30T05:00:00+09:00")
	if third, err := run.Drive(t.Context(), good); err != nil || third.ID != "20261129T200000Z-1" {
		t.Errorf("the next day: %v, %v", third, err)
	}
}

// TestUnderWay: a start for the time of the run under way ends well, one for another time is refused.
func TestUnderWay(t *testing.T) {
	h := newHouse(t)
	req := h.request(t, "")
	at := run.Occasion("2026-11-29T05:00:00Z")
	lease, err := req.State.Lease(t.Context(), "run "+at+"-1, process 7 on ship")
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	req.Occasion = at
	var already *run.Already
	if _, err := run.Drive(t.Context(), req); !errors.As(err, &already) || !already.UnderWay {
		t.Errorf("a start for the same time: %v, want Already", err)
	}
	req.Occasion = run.Occasion("2026-11-30T05:00:00Z")
	if _, err := run.Drive(t.Context(), req); !fault.HasCode(err, "run.busy") {
		t.Errorf("a start for another time: %v, want run.busy", err)
	}
}
