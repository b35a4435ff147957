package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
)

// openLimited opens a database as a destination whose sessions have the limits that set sets.
func openLimited(t *testing.T, s servertest.Server, db string, set func(d *dest)) *dest {
	t.Helper()
	login := specFor(s, db)
	spec := destDefaults
	spec.Host, spec.Port, spec.User, spec.Password, spec.Database = login.Host, login.Port, login.User, login.Password, db
	opened, err := openDest(t.Context(), spec, connector.Env{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() }) // its sessions may be gone
	d := opened.(*dest)
	set(d)
	for c := d.idler(); c != nil; c = d.idler() { // it has the limits of before
		c.close()
	}
	return d
}

// TestSleeperLetsGo: a process that sleeps in the middle of a commit doesn't keep another from its own; awake again, it changes nothing,
// and can be told what happened.
func TestSleeperLetsGo(t *testing.T) {
	for _, at := range []string{"published", "recorded"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			s := servertest.PostgresNewest(t)
			db := servertest.FreshDatabase(t, s)
			twin := openLimited(t, s, db, func(*dest) {})
			commitOne(t, twin, "r1", false, "")
			sleeper := openLimited(t, s, db, func(d *dest) { d.mayIdle = 3 * time.Second })
			asleep, ended := make(chan struct{}), make(chan error, 1)
			awake, wake := context.WithCancel(t.Context())
			defer wake()
			sleeper.step = func(done string) {
				if done == at {
					close(asleep)
					<-awake.Done()
				}
			}
			req := stageOne(t, sleeper, "r2")
			go func() {
				_, err := sleeper.Commit(context.WithoutCancel(t.Context()), req)
				ended <- err
			}()
			select {
			case <-asleep:
			case err := <-ended:
				t.Fatalf("the commit ended before it slept: %v", err)
			}
			commitOne(t, twin, "r3", false, "")
			wake()
			if err := <-ended; !fault.HasCode(err, "postgres.paused") || fault.ExitCode(err) != 4 || !fault.Retryable(err) {
				t.Errorf("awake, it says %v; want postgres.paused, of the destination, and to be tried again", err)
			}
			if got := s.Query(t, db, "SELECT count(*), (SELECT string_agg(id, ' ' ORDER BY id) FROM _kitamae.runs) FROM t")[0]; got[0] != "2" || got[1] != "r1 r3" {
				t.Errorf("%s rows of runs %s; want 2 of r1 r3", got[0], got[1])
			}
			// as the run does: what was staged is still there, but its rows follow a cursor that the other one has moved
			sleeper.step = func(string) {}
			out, err := sleeper.Commit(t.Context(), req)
			if err != nil || out[0].Published || !strings.Contains(out[0].Why, "another run has added to it") {
				t.Errorf("tried again: %+v, %v; want its rows to stay out", out, err)
			}
			if got := s.Query(t, db, "SELECT count(*) FROM t")[0][0]; got != "2" {
				t.Errorf("tried again, it leaves %s rows; want 2", got)
			}
		})
	}
}

// TestSleeperOverStage: who sleeps while it writes or reads what is staged doesn't keep anybody from removing it, and what it
// commits late is removed by the next commit.
func TestSleeperOverStage(t *testing.T) {
	s := servertest.PostgresNewest(t)
	db := servertest.FreshDatabase(t, s)
	sleeper, twin := openLimited(t, s, db, func(*dest) {}), openLimited(t, s, db, func(*dest) {})
	req := stageOne(t, sleeper, "r1")
	stage, err := connector.ParseStage(req.Tables[0].Stage)
	if err != nil {
		t.Fatal(err)
	}
	asleep, wake, ended := make(chan struct{}), make(chan struct{}), make(chan error, 2)
	sleeps := func(rows batch.Stream) batch.Stream {
		return func(yield func(arrow.RecordBatch, error) bool) {
			asleep <- struct{}{}
			<-wake
			rows(yield)
		}
	}
	write := func(task int) {
		_, err := sleeper.Write(context.WithoutCancel(t.Context()), req.Tables[0].Stage, task, sleeps(batch.Of()))
		ended <- err
	}
	go write(0) // anew: the table that is there is locked
	<-asleep
	go write(1) // a table that nobody else sees yet
	<-asleep
	if err := twin.Abort(t.Context(), req.Tables[0].Stage); err != nil {
		t.Fatal(err)
	}
	close(wake)
	failed := 0
	for range 2 {
		if err := <-ended; err != nil {
			failed++
			if !fault.HasCode(err, "postgres.connection") || !fault.Retryable(err) {
				t.Errorf("awake, it says %v", err)
			}
		}
	}
	if failed != 1 {
		t.Errorf("%d of 2 writers were ended, want the one that held a table", failed)
	}
	left := func() string {
		return s.Query(t, db, "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE "+literal(like(sleeper.id(stage))+"%"))[0][0]
	}
	if n := left(); n != "1" {
		t.Errorf("%s tables came late, want 1", n)
	}
	commitOne(t, twin, "r2", false, "")
	if n := left(); n != "0" {
		t.Errorf("%s tables are left of a stage that is gone", n)
	}
}

// TestLockedSaysWho: a commit that waits for a lock in vain names who has it.
func TestLockedSaysWho(t *testing.T) {
	s := servertest.PostgresNewest(t)
	for what, lock := range map[string]string{"table": "LOCK TABLE public.t IN ACCESS SHARE MODE; LOCK TABLE public.t", "other commit": metaLock} {
		t.Run(what, func(t *testing.T) {
			db := servertest.FreshDatabase(t, s)
			d := openLimited(t, s, db, func(d *dest) { d.mayWait = 200 * time.Millisecond })
			commitOne(t, d, "r1", false, "")
			other := openLimited(t, s, db, func(*dest) {})
			err := other.with(t.Context(), func(c *conn) error {
				if err := c.exec(t.Context(), "locking", "SET application_name = 'the migration'; BEGIN; "+lock); err != nil {
					return err
				}
				_, err := d.Commit(t.Context(), stageOne(t, d, "r2"))
				return err
			})
			hint := fault.From(err).Hint
			if !fault.HasCode(err, "postgres.locked") || !strings.Contains(hint, "(the migration)") || !strings.Contains(hint, "user "+s.User) || !strings.Contains(hint, "since 20") {
				t.Errorf("%v; hint: %s", err, hint)
			}
		})
	}
}
