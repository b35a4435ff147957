package conform

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
)

// testWriteTwice writes one task again, with other and fewer rows: they replace the first ones.
func testWriteTwice(t *testing.T, p *place) {
	j := p.begin()
	st := j.stage(people("rewritten", 0), 1)
	j.write(st, 0, 0, 100, 30)
	j.write(st, 1, 5000, 7000, 500)
	j.write(st, 1, 100, 150, 30)
	j.write(st, 0, 0, 100, 30)
	j.wantStaged(st, st.stream(0, 150, 150))
	j.commit(st)
	j.close()
	j.wantPublished(st, st.stream(0, 150, 150))
}

// testStageTwice repeats Stage with the same arguments: what is staged stays.
func testStageTwice(t *testing.T, p *place) {
	j := p.begin()
	st := j.stage(people("restaged", 0), 1)
	j.write(st, 0, 0, 100, 30)
	again, err := j.dest.Stage(j.ctx, connector.StageRequest{Run: j.run, Epoch: 1, Plan: st.plan})
	if err != nil {
		t.Fatalf("stage again: %v", err)
	}
	st.stage = throughJSON(t, again)
	j.wantStaged(st, st.stream(0, 100, 100))
	j.commit(st)
	j.close()
	j.wantPublished(st, st.stream(0, 100, 100))
}

// testNewEpoch starts a table over: rows of the epoch before are gone, whichever tasks wrote them.
func testNewEpoch(t *testing.T, p *place) {
	j := p.begin()
	old := j.stage(people("restarted", 0), 1)
	j.write(old, 0, 0, 100, 30)
	j.write(old, 7, 100, 200, 30)
	st := j.stage(people("restarted", 1), 2)
	j.write(st, 0, 0, 60, 30)
	if _, err := j.dest.Write(j.ctx, old.stage, 3, old.stream(300, 320, 20)); err == nil {
		t.Log("a late task of the old epoch was taken; its rows must not show")
	}
	j.wantStaged(st, st.stream(0, 60, 60))
	j.commit(st)
	j.close()
	j.wantPublished(st, st.stream(0, 60, 60))
}

func testCommitTwice(t *testing.T, p *place) {
	j := p.begin()
	st := j.stage(people("committed", 0), 1)
	j.write(st, 0, 0, 100, 30)
	j.commit(st)
	j.commit(st)
	if err := j.dest.Abort(j.ctx, st.stage); err != nil {
		t.Errorf("abort after commit: %v", err)
	}
	j.close()
	j.wantPublished(st, st.stream(0, 100, 100))
	j.open() // another process repeats it
	j.commit(st)
	j.close()
	j.wantPublished(st, st.stream(0, 100, 100))
}

// testAbort aborts before anything was written, after, and again: nothing is visible and the table can be staged anew.
func testAbort(t *testing.T, p *place) {
	j := p.begin()
	st := j.stage(people("aborted", 0), 1)
	for range 2 {
		if err := j.dest.Abort(j.ctx, st.stage); err != nil {
			t.Errorf("abort of an empty stage: %v", err)
		}
	}
	st = j.stage(people("aborted", 0), 2)
	j.write(st, 0, 0, 100, 30)
	for range 2 {
		if err := j.dest.Abort(j.ctx, st.stage); err != nil {
			t.Errorf("abort: %v", err)
		}
	}
	j.close()
	j.wantAbsent(st.plan.Name, "after abort")
	p.publish(people("aborted", 1), 20)
}

var errBroken = errors.New("the source broke down")

// broken is a stream that fails after its rows.
func broken(rows batch.Stream, err error) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for rec, rowErr := range rows {
			if !yield(rec, rowErr) {
				return
			}
		}
		yield(nil, err)
	}
}

// testStreamFails has a source break down in the middle: Write says so in the source's words and the task can be written again.
func testStreamFails(t *testing.T, p *place) {
	j := p.begin()
	st := j.stage(people("broken", 0), 1)
	j.write(st, 0, 0, 100, 30)
	if _, err := j.dest.Write(j.ctx, st.stage, 1, broken(st.stream(100, 5000, 300), errBroken)); !errors.Is(err, errBroken) {
		t.Errorf("write of a broken stream = %v, want its error in the chain", err)
	}
	if _, err := j.dest.Write(j.ctx, st.stage, 2, batch.Fail(errBroken)); !errors.Is(err, errBroken) {
		t.Errorf("write of a stream broken at once = %v, want its error in the chain", err)
	}
	j.write(st, 1, 100, 200, 30)
	j.wantStaged(st, st.stream(0, 200, 200))
	j.commit(st)
	j.close()
	j.wantPublished(st, st.stream(0, 200, 200))
}

// testCancelled interrupts a task that would go on for ever.
func testCancelled(t *testing.T, p *place) {
	j := p.begin()
	st := j.stage(people("cancelled", 0), 1)
	ctx, cancel := context.WithCancel(j.ctx)
	defer cancel()
	endless := func(yield func(arrow.RecordBatch, error) bool) {
		for n := 0; ; n++ {
			if n == 20 {
				cancel()
			}
			for rec, err := range st.stream(n*500, (n+1)*500, 500) {
				if ctx.Err() != nil && n > 10_000 {
					yield(nil, ctx.Err()) // a destination that never looks at its context
					return
				}
				if !yield(rec, err) {
					return
				}
			}
		}
	}
	started := time.Now()
	if _, err := j.dest.Write(ctx, st.stage, 0, endless); err == nil {
		t.Error("a cancelled write ends without an error")
	}
	if took := time.Since(started); took > patience {
		t.Errorf("a cancelled write took %s to end", took.Round(time.Second))
	}
	j.wantAbsent(st.plan.Name, "after a cancelled write")
	j.write(st, 0, 0, 100, 30)
	j.wantStaged(st, st.stream(0, 100, 100))
	j.commit(st)
	j.close()
	j.wantPublished(st, st.stream(0, 100, 100))
}

// testRecover asks after an interrupted commit before and after there was one.
func testRecover(t *testing.T, p *place) {
	j := p.begin()
	st := j.stage(people("recovered", 0), 1)
	j.write(st, 0, 0, 100, 30)
	got, err := j.dest.Recover(j.ctx, j.request(st))
	if err != nil {
		t.Fatalf("recover before commit: %v", err)
	}
	if got == connector.Done {
		t.Error("recover says done before any commit")
	}
	j.commit(st)
	j.close()
	j.open()
	got, err = j.dest.Recover(j.ctx, j.request(st))
	if err != nil {
		t.Fatalf("recover after commit: %v", err)
	}
	if got != connector.Done {
		t.Errorf("recover after commit = %q, want %q", got, connector.Done)
	}
}

// testAtomic commits two tables of which one's stage is gone. The other must not be published where Caps.Atomic, and
// nothing may claim to be published that is not.
func testAtomic(t *testing.T, p *place) {
	old := p.publish(people("good", 0), 40)
	j := p.begin()
	good, gone := j.stage(people("good", 1), 1), j.stage(people("gone", 1), 1)
	j.write(good, 0, 0, 100, 30)
	j.write(gone, 0, 0, 100, 30)
	if err := j.dest.Abort(j.ctx, gone.stage); err != nil {
		t.Fatalf("abort: %v", err)
	}
	outcomes, err := j.dest.Commit(j.ctx, j.request(good, gone))
	if err == nil && (len(outcomes) != 2 || outcomes[1].Published) {
		t.Errorf("commit of a stage that is gone = %+v, want an error or the table not published", outcomes)
	}
	j.close()
	j.wantAbsent(gone.plan.Name, "though its stage was gone")
	if p.s.Connector.Caps.Atomic || err == nil && len(outcomes) == 2 && !outcomes[0].Published {
		j.wantPublished(old, old.stream(0, 40, 40))
	}
}

// testResumes ends a run in the middle and goes on in another instance, as after a crash: what was staged is there to be looked
// at, what is lost of it does not pass for staged, and the receipts of both are published together.
func testResumes(t *testing.T, p *place) {
	if !p.s.Connector.Caps.Resumes {
		return
	}
	j := p.begin()
	st := j.stage(people("resumed", 0), 1)
	j.write(st, 0, 0, 100, 30)
	j.write(st, 1, 100, 1000, 300)
	ctx, cancel := context.WithCancel(j.ctx)
	cutOff := func(yield func(arrow.RecordBatch, error) bool) {
		for rec, err := range st.stream(1000, 1300, 100) {
			if !yield(rec, err) {
				return
			}
			cancel()
		}
		yield(nil, ctx.Err())
	}
	if _, err := j.dest.Write(ctx, st.stage, 2, cutOff); err == nil {
		t.Error("a write that was cut off ends without an error")
	}
	j.close()
	j.wantAbsent(st.plan.Name, "after an interruption")
	j.open()
	again, err := j.dest.Stage(j.ctx, connector.StageRequest{Run: j.run, Epoch: 1, Plan: st.plan})
	if err != nil {
		t.Fatalf("stage again: %v", err)
	}
	st.stage = throughJSON(t, again)
	j.wantStaged(st, st.stream(0, 1000, 1000))
	never := connector.Receipt{Task: 2, Epoch: 1, Rows: 300}
	var rows int64
	for rec, err := range j.dest.ReadStaged(j.ctx, st.stage, []connector.Receipt{never}, []string{st.plan.Columns[0].Name}) {
		if err != nil {
			break
		}
		rows += rec.NumRows()
	}
	if rows == never.Rows {
		t.Errorf("%d rows of a write that was cut off pass for staged", rows)
	}
	j.write(st, 2, 1000, 1300, 100)
	j.write(st, 1, 100, 1000, 200)
	j.wantStaged(st, st.stream(0, 1300, 1300))
	j.commit(st)
	j.close()
	j.wantPublished(st, st.stream(0, 1300, 1300))
}
