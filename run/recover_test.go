package run_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/run"
)

// stubborn is a destination where one run's commit always fails, and where what it staged is there all the same.
type stubborn struct {
	connector.Destination
	err error
	run *string // the first to commit
	// last is what was asked last of that run's commit.
	last *string
}

func (s stubborn) Commit(ctx context.Context, req connector.CommitRequest) ([]connector.Outcome, error) {
	if *s.run == "" {
		*s.run = req.Run.ID
	}
	if *s.run == req.Run.ID {
		return nil, s.err
	}
	return s.Destination.Commit(ctx, req)
}

func (s stubborn) Recover(ctx context.Context, req connector.CommitRequest) (connector.Recovery, error) {
	if *s.run == req.Run.ID {
		*s.last += " recover"
		return connector.CommitAgain, nil
	}
	return s.Destination.Recover(ctx, req)
}

func (s stubborn) Abort(ctx context.Context, st connector.Stage) error {
	*s.last = "abort"
	return s.Destination.Abort(ctx, st)
}

// TestCommitFailsForGood: a commit that an earlier run did not end, and that can't be done any more, is given up by the next run, which
// reads its tables again. One that may be done a little later is not.
func TestCommitFailsForGood(t *testing.T) {
	h := newHouse(t)
	h.source(t, fewRows)
	var failing, last string
	err := error(fault.New(fault.Destination, "test.value", "", "a value does not fit"))
	h.wrapDestination(func(dst connector.Destination) connector.Destination { return stubborn{dst, err, &failing, &last} })
	drive := func() (*run.Report, error) {
		req := h.request(t, "")
		req.Pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
		return run.Drive(t.Context(), req)
	}
	unpublished := func(r *run.Report) {
		t.Helper()
		if r.Status != run.StatusFailed || r.Rows() != 0 || slices.ContainsFunc(r.Tables, func(l run.TableReport) bool { return l.Status != run.StatusHeldBack }) {
			t.Errorf("nothing was published, and the report says %s, of tables %+v", r.Status, r.Tables)
		}
		reports, err := run.Ledger(t.Context(), h.request(t, "").State, 1)
		if err != nil || reports[0].ID != r.ID || reports[0].Status != run.StatusFailed {
			t.Errorf("the ledger: %+v, %v", reports, err)
		}
	}
	r, got := drive()
	if !fault.HasCode(got, "test.value") || len(r.Tables) != 2 {
		t.Fatal(got)
	}
	unpublished(r)
	lasting := err
	err = fault.New(fault.Destination, "test.passing", "", "the line dropped").Again()
	for range 2 {
		if r, got = drive(); !fault.HasCode(got, "test.passing") || !strings.Contains(got.Error(), "commit run "+failing+" again") {
			t.Fatal(got)
		}
		unpublished(r)
	}
	err = lasting
	if r, got = drive(); got != nil {
		t.Fatal(got)
	}
	if r.Status != run.StatusPublished || !strings.Contains(r.Recovered, failing) || !strings.Contains(r.Recovered, "can't be published (a value does not fit)") {
		t.Errorf("%s; recovered: %s", r.Status, r.Recovered)
	}
	if last != "abort recover" {
		t.Errorf("the commit that was given up was not ended for a process that is only asleep: %q", last)
	}
	if n := h.ask(t, "select count(*) from big"); n != 1000 {
		t.Errorf("big holds %d rows, want 1000", n)
	}
	if r, got = drive(); got != nil || r.Recovered != "" {
		t.Errorf("the run after: %v; recovered: %s", got, r.Recovered)
	}
}
