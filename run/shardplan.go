package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/state"
)

// plan is the run's plan: as another shard wrote it, or made now under the run's lease.
func (d *shardRun) plan(ctx context.Context) (*partPlan, error) {
	for {
		p, err := d.written(ctx)
		if err != nil || p != nil {
			return p, d.same(p, err)
		}
		lease, err := d.req.State.Lease(ctx, d.holder())
		if d.theirs(err) {
			if err := lookLater(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		p, err = d.planAlone(ctx, lease)
		lease.Release()
		return p, d.same(p, err)
	}
}

// written reads the plan; nil for none.
func (d *shardRun) written(ctx context.Context) (*partPlan, error) {
	p, err := readPartPlan(ctx, d.req.State, d.run)
	if err != nil || p == nil {
		return nil, err
	}
	for i := range p.Plan.Tables { // what variables put into conditions is not written down with the plan
		scan := &p.Plan.Tables[i].Scan
		scan.Where = d.req.Job.Where(scan.Table)
	}
	return p, nil
}

func readPartPlan(ctx context.Context, st state.Store, run string) (*partPlan, error) {
	value, _, err := st.Get(ctx, shardsPrefix+run+"/plan.json")
	if err != nil || value == nil {
		return nil, err
	}
	p := &partPlan{}
	if err := json.Unmarshal(value, p); err != nil {
		return nil, fault.Wrap(fault.Internal, "shard.plan", "remove "+shardsPrefix+run+" from the state", fmt.Errorf("the plan of run %s: %w", run, err))
	}
	for i := range p.Tables {
		t := &p.Plan.Tables[i]
		t.progress, t.retries = p.Tables[i].Progress, p.Tables[i].Retries
		t.Scan.Resume = p.Tables[i].Scanned.Partitions
		if t.Scan.Cursor != "" {
			t.Scan.Until = &p.Tables[i].Scanned.Reached
		}
	}
	return p, nil
}

// same refuses to work on the plan of another kitamae or config: rows would be read in two ways.
func (d *shardRun) same(p *partPlan, err error) error {
	if err != nil || p == nil {
		return err
	}
	if p.Version != d.req.Version || p.Config != d.config {
		return fault.New(fault.Config, "shard.other", "let all shards of a run have the same image and config; the next run will",
			"run %s was planned by another kitamae or with another config than this shard has", p.Run)
	}
	return nil
}

// planAlone makes the plan, unless somebody did just before the lease was taken.
func (d *shardRun) planAlone(ctx context.Context, lease *state.Lease) (*partPlan, error) {
	ctx, stop := lease.Guard(ctx)
	defer stop()
	if err := d.over(ctx); err != nil {
		return nil, err
	}
	if p, err := d.written(ctx); err != nil || p != nil {
		return p, err
	}
	limits := d.req.Job.Limits
	s, err := d.open(ctx, limits.Connections) // nobody else reads yet
	if err != nil {
		return nil, err
	}
	p, err := d.makePlan(ctx, s)
	if err = errors.Join(err, s.Close()); err != nil {
		return nil, err
	}
	if err := lease.Check(ctx); err != nil {
		return nil, err
	}
	value, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("write down the plan: %w", err)
	}
	if _, err := d.req.State.Put(ctx, d.key("plan.json"), value, ""); err != nil && !errors.Is(err, state.ErrConflict) {
		return nil, fmt.Errorf("write down the plan: %w", err)
	}
	return d.written(ctx) // as all others see it
}

func (d *shardRun) makePlan(ctx context.Context, s *Session) (*partPlan, error) {
	r := d.report(nil)
	out := &partPlan{Run: d.run, Started: r.Started, Version: r.Version, Config: d.config, Shards: d.req.Job.Deploy.Shards}
	settled, err := s.intended(ctx)
	if err != nil {
		return nil, err
	}
	if out.Recovered, err = s.recover(ctx); err != nil {
		return nil, err
	}
	if out.Notes, err = d.giveUpOthers(ctx, settled); err != nil {
		return nil, err
	}
	p, err := s.Plan(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.allowed(p); err != nil {
		return nil, err
	}
	out.Plan, out.Identity = p, p.identity(r.Version)
	scan, err := s.src.Scan(ctx, s.scanRequest(p, all(p)))
	if err != nil {
		return nil, fmt.Errorf("scan: %w", s.hide(err))
	}
	if !scan.Portable {
		return nil, fault.New(fault.Config, "shard.source", "leave deploy.shards out", "%s can't be read by several processes", p.Source)
	}
	p.note(scan, all(p))
	out.Guarantee, out.Position, out.Notes = scan.Guarantee, scan.Position, append(out.Notes, scan.Notes...)
	out.Tables = make([]partTable, len(p.Tables))
	asking, asked := errgroup.WithContext(ctx)
	asking.SetLimit(s.req.Job.Limits.Connections)
	for i, t := range newMoving(p, out.Started) {
		asking.Go(func() error {
			if err := s.stage(asked, t, scan, i, d.run, 0); err != nil {
				return err
			}
			out.Tables[i] = partTable{Stage: t.stage, Scanned: t.scanned, Progress: t.plan.progress, Retries: t.plan.retries}
			err := s.prepareCheck(asked, t)
			if asked.Err() == nil && err != nil {
				out.Tables[i].Fault = failureOf(err)
			}
			out.Tables[i].Count, out.Tables[i].Sample = t.noteCheck()
			return asked.Err()
		})
	}
	if err := asking.Wait(); err != nil {
		return nil, err
	}
	out.assign()
	return out, nil
}

// assign gives each task to the shard that has least to do, the largest ones first.
func (p *partPlan) assign() {
	type task struct {
		table, task int
		weight      int64
	}
	var tasks []task
	for i, t := range p.Tables {
		n := len(t.Scanned.Partitions)
		p.Tables[i].Shard = make([]int, n)
		for k := range n {
			tasks = append(tasks, task{i, k, max(p.Plan.Tables[i].Scan.Table.Bytes, 0)/int64(n) + 1})
		}
	}
	slices.SortStableFunc(tasks, func(a, b task) int { return int(min(max(b.weight-a.weight, -1), 1)) })
	load := make([]int64, p.Shards)
	for _, t := range tasks {
		least := 0
		for i := range load {
			if load[i] < load[least] {
				least = i
			}
		}
		load[least] += t.weight
		p.Tables[t.table].Shard[t.task] = least
	}
}

// giveUpOthers ends the runs before that never ended, and says so: their processes are gone for good, or find that out. One whose shards
// are at work stays, and this run does not begin. settled is a run whose commit was just recovered.
func (d *shardRun) giveUpOthers(ctx context.Context, settled string) (notes []string, err error) {
	keys, err := d.req.State.List(ctx, shardsPrefix)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{d.run: true}
	for _, key := range keys {
		run, _, _ := strings.Cut(strings.TrimPrefix(key, shardsPrefix), "/")
		if seen[run] {
			continue
		}
		seen[run] = true
		other := &shardRun{req: d.req, index: d.index, run: run, config: d.config}
		note, err := other.superseded(ctx, run == settled)
		if err != nil {
			return nil, err
		}
		notes = append(notes, note...)
	}
	return notes, nil
}

// superseded gives the run up, for another that is about to begin.
func (d *shardRun) superseded(ctx context.Context, settled bool) (notes []string, err error) {
	r, err := d.ended(ctx)
	if err != nil {
		return nil, err
	}
	p, err := d.written(ctx)
	if err != nil {
		return nil, err
	}
	if r != nil || p == nil || settled {
		return nil, d.req.State.Forget(ctx, d.key(""))
	}
	var holding errgroup.Group
	leases := make([]*state.Lease, p.Shards)
	defer func() {
		for _, l := range leases {
			if l != nil {
				l.Release()
			}
		}
	}()
	for i := range leases {
		holding.Go(func() (err error) {
			leases[i], err = d.req.State.LeaseOf(ctx, d.key(fmt.Sprint(i)), d.holder())
			return err
		})
	}
	if err := holding.Wait(); err != nil {
		return nil, err
	}
	why := fault.New(fault.Interrupted, "shard.given_up", "see why its shards did not come to their end", "run %s was never finished, and given up for a later one", d.run)
	if _, err = d.giveUp(ctx, why); !fault.HasCode(err, "shard.given_up") {
		return nil, err
	}
	return []string{err.Error()}, nil // with what could not be cleaned up
}

// intended is the run whose commit is under way, "" for none.
func (s *Session) intended(ctx context.Context) (string, error) {
	value, _, err := s.req.State.Get(ctx, intentKey)
	if err != nil || value == nil {
		return "", err
	}
	var req connector.CommitRequest
	if err := json.Unmarshal(value, &req); err != nil {
		return "", fault.Wrap(fault.Internal, "state.intent", "remove "+intentKey+" from the state folder and run again", err)
	}
	return req.Run.ID, nil
}
