package run_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/state"
)

// TestTakenOver: a run whose lease somebody took while it was verifying publishes nothing, with its state in either kind of bucket.
func TestTakenOver(t *testing.T) {
	for name, server := range map[string]func(testing.TB) string{"s3": servertest.S3, "gcs": servertest.GCS} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			req := h.request(t, "")
			st, err := state.Open(t.Context(), server(t)+"/state", "kitamae")
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			req.State = st
			var stolen error
			req.Observe = func(e run.Event) {
				if e.Kind == run.Verified && e.Table == 0 {
					stolen = stealAt(context.Background(), st, "run.lease", `{"holder":"a thief","id":"thief","ttl":30000000000}`)
				}
			}
			r, err := run.Drive(t.Context(), req)
			if stolen != nil {
				t.Fatal(stolen)
			}
			if !fault.HasCode(err, "run.lease_lost") || r.Status == run.StatusPublished {
				t.Errorf("a run without its lease: %v, %v; want run.lease_lost", r, err)
			}
			if _, err := os.Stat(filepath.Join(h.dir, "kura.duckdb")); !os.IsNotExist(err) {
				t.Errorf("it published all the same: %v", err)
			}
			if intent, _, err := st.Get(t.Context(), "commit.json"); err != nil || intent != nil {
				t.Errorf("its intent is left: %s, %v", intent, err)
			}

			_, version, err := st.Get(t.Context(), "run.lease")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := st.Put(t.Context(), "run.lease", nil, version); err != nil {
				t.Fatal(err)
			}
			req.Observe = nil
			if _, err := run.Drive(t.Context(), req); err != nil {
				t.Errorf("the next run: %v", err)
			}
			reports, err := run.Ledger(t.Context(), st, 0)
			if err != nil || len(reports) != 2 {
				t.Errorf("%d runs in the ledger, %v; want both", len(reports), err)
			}
		})
	}
}

// lostCommit is a destination whose first commit does nothing but call while.
type lostCommit struct {
	connector.Destination
	while   func() error
	commits int
}

func (l *lostCommit) Commit(ctx context.Context, req connector.CommitRequest) ([]connector.Outcome, error) {
	if l.commits++; l.commits > 1 {
		return l.Destination.Commit(ctx, req)
	}
	if err := l.while(); err != nil {
		return nil, err
	}
	return nil, fault.New(fault.Destination, "test.passing", "", "the line dropped").Again()
}

// TestTakenOverBetweenTries: a commit that failed in passing is not tried again by a run that lost its lease meanwhile.
func TestTakenOverBetweenTries(t *testing.T) {
	h := newHouse(t)
	st, err := state.Open(t.Context(), servertest.S3(t)+"/state", "kitamae")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	l := &lostCommit{while: func() error {
		return stealAt(context.Background(), st, "run.lease", `{"holder":"a thief","id":"thief","ttl":30000000000}`)
	}}
	h.wrapDestination(func(dst connector.Destination) connector.Destination {
		l.Destination = dst
		return l
	})
	req := h.request(t, "")
	req.State = st
	req.Pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	if r, err := run.Drive(t.Context(), req); !fault.HasCode(err, "run.lease_lost") || l.commits != 1 {
		t.Errorf("%d commits, %+v, %v; want one, and run.lease_lost", l.commits, r, err)
	}
	h.nothingVisible(t)
}
