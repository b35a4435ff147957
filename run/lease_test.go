package run_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"google.golang.org/api/option"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/state"
)

// sharedPlace is a destination that several machines load into, each with its state in a folder.
type sharedPlace struct {
	config  string
	ttl     time.Duration           // that its speed allows for, on a busy machine
	visible func(t *testing.T) bool // whether the table small is
}

func eachSharedPlace(t *testing.T, f func(t *testing.T, p sharedPlace)) {
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		s := servertest.Postgres(t)
		db := servertest.FreshDatabase(t, s)
		f(t, sharedPlace{
			ttl:    3 * time.Second,
			config: fmt.Sprintf("destination: {postgres: {host: %q, port: %d, user: %q, password: %q, database: %q}}\n", s.Host, s.Port, s.User, s.Password, db),
			visible: func(t *testing.T) bool {
				return s.Query(t, db, "SELECT to_regclass('public.small') IS NOT NULL")[0][0] == "t"
			},
		})
	})
	t.Run("bigquery", func(t *testing.T) {
		t.Parallel()
		endpoint := servertest.BigQuery(t)
		client, err := bq.NewClient(t.Context(), "kitamae-test", option.WithEndpoint(endpoint+"/bigquery/v2/"), option.WithoutAuthentication())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		dataset := client.Dataset(servertest.FreshName(t))
		if err := dataset.Create(t.Context(), &bq.DatasetMetadata{Location: "US"}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = dataset.DeleteWithContents(context.Background()) }) // the emulator forgets it when it stops
		f(t, sharedPlace{
			ttl:    state.RegisterTTL,
			config: fmt.Sprintf("destination: {bigquery: {project: kitamae-test, dataset: %q, endpoint: %q}}\n", dataset.DatasetID, endpoint),
			visible: func(t *testing.T) bool {
				_, err := dataset.Table("small").Metadata(t.Context())
				if err != nil && !strings.Contains(err.Error(), "404") {
					t.Fatal(err)
				}
				return err == nil
			},
		})
	})
}

// oneTable is the config of a quick run.
const oneTable = "tables: {small: {}}\n"

// TestTwoMachines: of two starts of one config on machines that see no folder of one another, the second is refused while the first lives, and told
// who that is. A config that reads another source, or has another name, loads into the same place meanwhile.
func TestTwoMachines(t *testing.T) {
	t.Parallel()
	eachSharedPlace(t, func(t *testing.T, p sharedPlace) {
		machine := func() run.Request {
			req := newHouse(t).request(t, p.config+oneTable)
			req.LeaseTTL = p.ttl
			return req
		}
		first, second, scheduled, other := machine(), machine(), machine(), machine()
		first.Occasion, scheduled.Occasion = "20261128T200000Z", "20261128T200000Z"
		other.Job.File = "other.yml"
		var refused, same, beside error
		first.Observe = func(e run.Event) {
			if e.Kind != run.Scanned {
				return
			}
			var starts sync.WaitGroup
			for req, err := range map[*run.Request]*error{&second: &refused, &scheduled: &same, &other: &beside} {
				starts.Go(func() { _, *err = run.Drive(t.Context(), *req) })
			}
			starts.Wait()
		}
		r, err := run.Drive(t.Context(), first)
		if err != nil || r.Status != run.StatusPublished {
			t.Fatalf("the first: %+v, %v", r, err)
		}
		if !fault.HasCode(refused, "run.busy") || !strings.Contains(refused.Error(), "run "+r.ID+", process ") {
			t.Errorf("the second: %v; want run.busy that names run %s", refused, r.ID)
		}
		var already *run.Already
		if !errors.As(same, &already) || !already.UnderWay {
			t.Errorf("the second, for the same scheduled time: %v; want Already", same)
		}
		if beside != nil {
			t.Errorf("another config meanwhile: %v", beside)
		}
		if reports, err := run.Ledger(t.Context(), second.State, 0); err != nil || len(reports) != 0 {
			t.Errorf("%d runs in the second's ledger, %v; want none, as it did not run", len(reports), err)
		}
		if r, err := run.Drive(t.Context(), second); err != nil || r.Status != run.StatusPublished {
			t.Errorf("the second after the first: %+v, %v", r, err)
		}
	})
}

// TestTakenOverFromAfar: a run whose lease at the destination somebody took while it was verifying publishes nothing.
func TestTakenOverFromAfar(t *testing.T) {
	t.Parallel()
	eachSharedPlace(t, func(t *testing.T, p sharedPlace) {
		h := newHouse(t)
		req := h.request(t, p.config+oneTable)
		register, err := h.registry[req.Job.Destination.Use].Register.Open(t.Context(), req.Job.Destination.Spec, connector.Env{Dir: h.dir})
		if err != nil {
			t.Fatal(err)
		}
		defer register.Close()
		const key = "kitamae: sqlite app.db"
		var stolen error
		req.Observe = func(e run.Event) {
			if e.Kind == run.Verified && e.Table == 0 {
				stolen = stealAt(t.Context(), register, key, `{"holder":"a thief","id":"thief","ttl":1000000000}`)
			}
		}
		r, err := run.Drive(t.Context(), req)
		if stolen != nil {
			t.Fatal(stolen)
		}
		if !fault.HasCode(err, "run.lease_lost") || !strings.Contains(err.Error(), "a thief") || r.Status == run.StatusPublished {
			t.Errorf("a run without its lease: %+v, %v; want run.lease_lost that names the thief", r, err)
		}
		if p.visible(t) {
			t.Error("it published all the same")
		}
		if intent, _, err := req.State.Get(t.Context(), "commit.json"); err != nil || intent != nil {
			t.Errorf("its intent is left: %s, %v", intent, err)
		}
		req.Observe = nil
		if r, err := run.Drive(t.Context(), req); err != nil || r.Status != run.StatusPublished { // the thief is silent, and followed
			t.Errorf("the next run: %+v, %v", r, err)
		}
		if !p.visible(t) {
			t.Error("the next run published nothing")
		}
	})
}

// TestLeaseWhereNeeded: with its state in a bucket a run has its lease there and takes no other; what moves nothing takes none.
func TestLeaseWhereNeeded(t *testing.T) {
	s := servertest.Postgres(t)
	db := servertest.FreshDatabase(t, s)
	leases := func() string {
		return s.Query(t, db, "SELECT to_regclass('_kitamae.leases') IS NOT NULL")[0][0]
	}
	config := fmt.Sprintf("destination: {postgres: {host: %q, port: %d, user: %q, password: %q, database: %q}}\n", s.Host, s.Port, s.User, s.Password, db) + oneTable
	req := newHouse(t).request(t, config)
	session, err := run.Open(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	_, err = session.Plan(t.Context())
	if err = errors.Join(err, session.Close()); err != nil {
		t.Fatal(err)
	}
	if err := run.Doctor(t.Context(), req, func(l run.Link) {
		if l.Fault != nil && !l.Advice {
			t.Errorf("doctor: %s: %v", l.Link, l.Fault)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if leases() != "f" {
		t.Error("plan or doctor took a lease at the destination")
	}
	st, err := state.Open(t.Context(), servertest.S3(t)+"/state", "kitamae")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	req.State = st
	if r, err := run.Drive(t.Context(), req); err != nil || r.Status != run.StatusPublished {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := s.Query(t, db, "SELECT count(*) FROM _kitamae.leases")[0][0]; got != "0" {
		t.Errorf("%s leases at the destination of a run that has its state in a bucket", got)
	}
}

// stealAt writes another holder's record over the one there, again if a renewal came between.
func stealAt(ctx context.Context, r state.Register, key, record string) error {
	for {
		value, version, err := r.Get(ctx, key)
		if err != nil {
			return err
		}
		if len(value) == 0 {
			return fmt.Errorf("nobody holds %q", key)
		}
		if _, err = r.Put(ctx, key, []byte(record), version); !errors.Is(err, fault.ErrConflict) {
			return err
		}
	}
}
