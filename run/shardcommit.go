package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/state"
)

// commitLast commits, where nothing is left for any shard to do. Else it returns nothing: who finishes the last task commits.
func (d *shardRun) commitLast(ctx context.Context, p *partPlan) (*Report, error) {
	for {
		settled, err := d.settled(ctx)
		if err != nil {
			return nil, err
		}
		if left := p.open(settled, func(int) bool { return true }); len(left) > 0 {
			return nil, d.over(ctx) // after the end nothing is settled any more
		}
		lease, err := d.req.State.Lease(ctx, d.holder())
		if err == nil {
			r, err := d.commit(ctx, lease, p)
			lease.Release()
			return r, err
		}
		if !fault.HasCode(err, "run.busy") {
			return nil, err
		}
		// another shard commits, and if it dies it is for this one to do; or a run of another time is about to end
		if err := lookLater(ctx); err != nil {
			return nil, err
		}
		if err := d.over(ctx); err != nil {
			return nil, err
		}
	}
}

// commit publishes what all shards have staged, and writes down how the run ended.
func (d *shardRun) commit(ctx context.Context, lease *state.Lease, p *partPlan) (r *Report, err error) {
	ctx, stop := lease.Guard(ctx)
	defer stop()
	if err := d.over(ctx); err != nil {
		return nil, err
	}
	s, err := d.open(ctx, d.req.Job.Limits.Connections) // nobody else reads any more
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	r = d.report(p)
	ctx, ended := d.followRun(ctx, r)
	tables := p.moving()
	var verdict error
	s.published = func(ctx context.Context) error {
		verdict = d.end(r, p, tables)
		return d.conclude(ctx, r)
	}
	run, err := s.intended(ctx)
	if err == nil && run == d.run {
		err = d.commitAgain(ctx, s, tables)
	} else if err == nil {
		err = d.commitFirst(ctx, s, lease, p, tables, r)
	}
	if cause := context.Cause(ctx); err != nil && fault.HasCode(cause, "run.lease_lost") {
		err = cause
	}
	if err != nil {
		return nil, err
	}
	if r.Ended.IsZero() { // every table was held back
		if err := s.published(ctx); err != nil {
			return nil, err
		}
	}
	ended(verdict)
	return r, errors.Join(verdict, d.req.State.Forget(context.WithoutCancel(ctx), d.key("")))
}

// conclude writes down how the run ended, unless that stands there already: a process that was asleep while another one ended the run
// is told so.
func (d *shardRun) conclude(ctx context.Context, r *Report) error {
	err := keepAs(ctx, d.req.State, r, "")
	if !errors.Is(err, state.ErrConflict) {
		return err
	}
	if there, err := d.ended(ctx); err != nil || there != nil && there.Ended.Equal(r.Ended) { // the answer was lost
		return err
	}
	return d.over(ctx)
}

// end completes the report.
func (d *shardRun) end(r *Report, p *partPlan, tables []*moving) error {
	r.tables(p.Plan, tables)
	verdict := r.verdict(tables)
	r.Ended, r.Error = now(), failureOf(verdict)
	return verdict
}

// commitFirst checks that the plan still holds, adds up what the shards found, and publishes.
func (d *shardRun) commitFirst(ctx context.Context, s *Session, lease *state.Lease, p *partPlan, tables []*moving, r *Report) error {
	if line, err := s.recover(ctx); err != nil {
		return err
	} else if line != "" {
		r.Notes = append(r.Notes, line)
	}
	if err := d.stillHolds(ctx, s, p); err != nil {
		return err
	}
	for i, t := range tables {
		if err := d.collect(ctx, p, i, t); err != nil {
			return err
		}
		if t.failed() != nil {
			s.tellShared(ctx, t)
		}
	}
	if err := s.divided(ctx, p); err != nil { // to ask the source once more
		return err
	}
	var asking errgroup.Group
	asking.SetLimit(s.req.Job.Limits.Connections)
	for _, t := range unfinished(tables) {
		asking.Go(func() error { return s.finishShared(ctx, t) })
	}
	if err := asking.Wait(); err != nil {
		return err
	}
	r.inDoubt(unfinished(tables), nil)
	if err := s.views(ctx, p.Plan, r, tables, 1, nil); err != nil { // what is in doubt is read again, here
		return err
	}
	return s.publish(ctx, lease, p.Plan, tables, r)
}

// stillHolds refuses a plan that another run has overtaken, or that the source or the destination is no longer like.
func (d *shardRun) stillHolds(ctx context.Context, s *Session, p *partPlan) error {
	reports, err := Ledger(ctx, d.req.State, 0)
	if err != nil {
		return err
	}
	const hint = "start runs of one config one after the other"
	for _, r := range reports {
		if (r.Status == StatusPublished || r.Status == StatusPartial) && r.Ended.After(p.Started) {
			return fault.New(fault.Config, "shard.overtaken", hint, "run %s was published while this one was read: it stays", r.ID)
		}
	}
	fresh, err := s.Plan(ctx)
	if err != nil {
		return err
	}
	p.Plan.Stale = fresh.Stale
	if fresh.identity(p.Version) != p.Identity {
		return fault.New(fault.Config, "shard.overtaken", "run again", "the tables, here or there, are no longer what they were when the run was planned")
	}
	return nil
}

// collect takes over what the shards did of a table.
func (d *shardRun) collect(ctx context.Context, p *partPlan, i int, t *moving) error {
	part := p.Tables[i]
	why := part.Fault
	value, _, err := d.req.State.Get(ctx, d.key(failedName(i)))
	if err != nil {
		return err
	}
	if value != nil {
		why = &Failure{}
		if err := json.Unmarshal(value, why); err != nil {
			return fmt.Errorf("the fault of %s: %w", t.plan.Scan.Table.Ref(), err)
		}
	}
	if why != nil {
		t.fail(fault.Told(why.Kind, why.Code, why.Hint, why.Message))
		return nil
	}
	if t.check != nil {
		t.check.count = part.Count
		if t.check.index, err = part.index(t); err != nil {
			return err
		}
		if t.check.index == nil {
			t.evident.Notes = append(t.evident.Notes, "no rows were looked up: the sample was too large to be kept")
		}
	}
	for k := range part.Scanned.Partitions {
		value, _, err := d.req.State.Get(ctx, d.key(doneName(i, k)))
		if err != nil {
			return err
		}
		var done doneTask
		if err := json.Unmarshal(value, &done); err != nil { // also of nothing: it was there a moment ago
			return fmt.Errorf("the receipt of %s, partition %d: %w", t.plan.Scan.Table.Ref(), k, err)
		}
		t.receipts[k] = done.Receipt
		if t.check != nil && t.check.index != nil {
			if err := t.check.index.AddFindings(done.Findings); err != nil {
				return fmt.Errorf("the receipt of %s, partition %d: %w", t.plan.Scan.Table.Ref(), k, err)
			}
		}
	}
	return nil
}

// finishShared compares what only the whole table can tell. One that is in doubt is left to be read again.
func (s *Session) finishShared(ctx context.Context, t *moving) error {
	if t.check != nil {
		t.check.sampled = 0
		if err := s.repeat(ctx, t, func() error { return s.askAfter(ctx, t) }); err != nil {
			if ctx.Err() == nil {
				t.fail(err)
			}
			return ctx.Err()
		}
	}
	t.doubt = t.finish()
	t.done = t.doubt == nil
	s.tellShared(ctx, t)
	if t.done {
		s.observe(Event{Kind: Verified, Table: t.index})
		return nil
	}
	t.again = true
	s.observe(Event{Kind: Retrying, Table: t.index, Err: t.doubt})
	return nil
}

// commitAgain finishes the commit that a process of this run began and did not live to end.
func (d *shardRun) commitAgain(ctx context.Context, s *Session, tables []*moving) error {
	value, version, err := s.req.State.Get(ctx, intentKey)
	if err != nil {
		return err
	}
	s.intent = version
	var req connector.CommitRequest
	if err := json.Unmarshal(value, &req); err != nil {
		return fault.Wrap(fault.Internal, "state.intent", "remove "+intentKey+" from the state folder and run again", err)
	}
	found, err := s.dst.Recover(ctx, req)
	if err != nil {
		return fmt.Errorf("recover run %s: %w", req.Run.ID, err)
	}
	if found == connector.ReadAgain {
		return errors.Join(s.forgetIntent(ctx), fault.New(fault.Destination, "shard.stages_gone", "let nothing clean up at the destination while a run is under way",
			"what run %s has staged is gone", d.run))
	}
	ctx = context.WithoutCancel(ctx)
	outcomes, err := s.dst.Commit(ctx, req) // what is done it does not do again
	if err != nil {
		return fmt.Errorf("commit: %w", asDestination(err))
	}
	byName := map[string]int{}
	for i, t := range req.Tables {
		byName[t.Plan.Name] = i
	}
	for i, t := range tables {
		n, ok := byName[t.plan.Target.Name]
		switch {
		case !ok:
			if err := d.heldBack(ctx, i, t); err != nil {
				return err
			}
		case !outcomes[n].Published:
			t.fail(fault.New(fault.Destination, "destination.not_published", "settle what stands in the way, then run again",
				"table %s: %s", t.plan.Target.Name, outcomes[n].Why))
		default:
			t.receipts, t.evident, t.done, t.published = req.Tables[n].Receipts, req.Tables[n].Evidence, true, true
			t.evident.Notes = append(t.evident.Notes, outcomes[n].Notes...)
		}
	}
	if err := s.published(ctx); err != nil {
		return err
	}
	return s.forgetIntent(ctx)
}

// heldBack says of a table why it was not part of the commit.
func (d *shardRun) heldBack(ctx context.Context, i int, t *moving) error {
	value, _, err := d.req.State.Get(ctx, d.key(failedName(i)))
	if err != nil {
		return err
	}
	why := Failure{Kind: fault.Verification, Code: "verify.mismatch", Message: "table " + t.plan.Scan.Table.Ref() + " did not verify; the process that knew more was cut off while it published"}
	if value != nil {
		if err := json.Unmarshal(value, &why); err != nil {
			return fmt.Errorf("the fault of %s: %w", t.plan.Scan.Table.Ref(), err)
		}
	}
	t.fail(fault.Told(why.Kind, why.Code, why.Hint, why.Message))
	return nil
}
