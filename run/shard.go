package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/state"
)

// A run divided among processes needs no one above them. All that they agree on stands in the state's bucket, below shards/<run>/:
//
//	plan.json         who comes first makes it, under the run's lease: what is read, in which partitions, by which shard
//	<i>.lease         shard i lives, and only once
//	starts/<i>.<n>    the n-th process that was shard i. Its tasks have numbers of their own in the stage, so that a process that
//	                  comes back late writes beside what counts
//	done/<t>.<k>.json the receipt of table t's partition k, read back and compared. The first one counts
//	failed/<t>.json   why table t is held back
//
// Who finds that nothing is left to read takes the run's lease and commits. The ledger's record is the end: whoever comes later finds it
// and does nothing. One scheduled time is one run.

const shardsPrefix = "shards/"

// shardRun is one process's part in a run.
type shardRun struct {
	req    Request
	index  int
	run    string
	config string // the config's hash
}

// partPlan is plan.json.
type partPlan struct {
	Run     string    `json:"run"`
	Started time.Time `json:"started"` // UTC
	Version string    `json:"version"`
	Config  string    `json:"config"` // its hash
	Shards  int       `json:"shards"`
	// Identity is the plan's, for the commit to see that it still holds.
	Identity  string              `json:"identity"`
	Guarantee connector.Guarantee `json:"guarantee"`
	Position  string              `json:"position,omitempty"`
	Plan      *Plan               `json:"plan"`
	Recovered string              `json:"recovered,omitempty"`
	Notes     []string            `json:"notes,omitempty"` // of the scan
	Tables    []partTable         `json:"tables"`          // in the plan's order
}

// partTable is what the plan itself does not hold of a table.
type partTable struct {
	Stage    connector.Stage        `json:"stage"`
	Scanned  connector.ScannedTable `json:"scanned"`
	Progress progress               `json:"progress"`
	Retries  int                    `json:"retries,omitempty"` // of the table, as its settings say
	Shard    []int                  `json:"shard"`             // by task: whose it is
	// Count and Sample are what the source said before the first read, as in [tableHalfway].
	Count  int64    `json:"count"`
	Sample []byte   `json:"sample,omitempty"`
	Fault  *Failure `json:"fault,omitempty"` // why it is not read at all
}

// Shard does one process's part of a run that deploy.shards processes share: index is which one, from 0. It returns the report if it was
// the one that ended the run; nil without a fault where its part is done and others are at work; an [Already] where the run is over.
//
// It may be started again, at any time and twice at once: what is done is not done again, and after the end nothing changes.
func Shard(ctx context.Context, req Request, index int) (*Report, error) {
	n := req.Job.Deploy.Shards
	switch {
	case n < 2:
		return nil, fault.New(fault.Config, "shard.none", "set deploy: {shards: …}", "%s says nothing about shards", req.Job.File)
	case index < 0 || index >= n:
		return nil, fault.New(fault.Config, "shard.index", "start shards 0 to "+fmt.Sprint(n-1), "there is no shard %d of %d", index, n)
	case req.Occasion == "":
		return nil, fault.New(fault.Config, "shard.occasion", "give --scheduled-time, KITAMAE_RUN_AT or KITAMAE_RUN_ID, the same for all shards",
			"nothing says which run this shard is of")
	}
	config, err := hashOf(req.Job)
	if err != nil {
		return nil, err
	}
	d := &shardRun{req: req, index: index, run: ShardedID(req.Occasion), config: config}
	lease, err := d.alone(ctx)
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	guarded, stop := lease.Guard(ctx)
	defer stop()
	guarded, ended := d.followShard(guarded)
	defer func() { ended(err) }()
	report, err := d.part(guarded)
	for try := 0; fault.Retryable(err) && try < partTries; try++ { // an end can't be reached, and soon can again
		if err = (&Session{req: req}).pause(guarded, min(firstReturn<<try, lastReturn)); err == nil {
			report, err = d.part(guarded)
		}
	}
	if cause := context.Cause(guarded); err != nil && report == nil && fault.HasCode(cause, "run.lease_lost") {
		err = cause
	}
	var already *Already
	if errors.As(err, &already) { // what it wrote down when the run was over goes as well
		return report, errors.Join(err, d.req.State.Forget(ctx, d.key("")))
	}
	if err == nil || report != nil || ctx.Err() != nil {
		return report, err
	}
	return d.failed(ctx, err)
}

// partTries is how often a process begins its part again after a passing fault.
const partTries = 3

// part is the way of one process: the plan, its tasks, and the commit if nobody else has anything left to do.
func (d *shardRun) part(ctx context.Context) (*Report, error) {
	p, err := d.plan(ctx)
	if err != nil {
		return nil, err
	}
	if err := d.work(ctx, p); err != nil {
		return nil, err
	}
	return d.commitLast(ctx, p)
}

func (d *shardRun) key(name string) string { return shardsPrefix + d.run + "/" + name }

func (d *shardRun) holder() string {
	return holder(&Report{ID: d.run, Started: now()}) + fmt.Sprintf(", as shard %d", d.index)
}

// alone waits until no other process is this shard, so that the connections of all stay within their bound, or until the run is over.
func (d *shardRun) alone(ctx context.Context) (*state.Lease, error) {
	for {
		if err := d.over(ctx); err != nil {
			return nil, err
		}
		lease, err := d.req.State.LeaseOf(ctx, d.key(fmt.Sprint(d.index)), d.holder())
		if !fault.HasCode(err, "run.busy") {
			return lease, err
		}
		if err := lookLater(ctx); err != nil {
			return nil, err
		}
	}
}

// lookAgain is how long lookLater waits before it looks again at what another one does.
const lookAgain = 500 * time.Millisecond

func lookLater(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(lookAgain):
		return nil
	}
}

// over returns how the run ended, if it has: an [Already] when everything was published, else the fault.
func (d *shardRun) over(ctx context.Context) error {
	r, err := d.ended(ctx)
	if err != nil || r == nil {
		return err
	}
	return &Already{Run: r.ID, Fault: r.Fault()}
}

// ended is the run's record, nil while it is under way.
func (d *shardRun) ended(ctx context.Context) (*Report, error) {
	return Recorded(ctx, d.req.State, d.run)
}

// theirs says whether a busy lease is held by another shard of this run.
func (d *shardRun) theirs(err error) bool {
	return fault.HasCode(err, "run.busy") && strings.Contains(err.Error(), "run "+d.run+",")
}

// failed ends the run, as this shard's fault would come again. Passing ones, of a process that was stopped or lost its lease, end
// only the process.
func (d *shardRun) failed(ctx context.Context, why error) (*Report, error) {
	if err := d.over(ctx); err != nil {
		return nil, err // before, perhaps by a process that took this one's place
	}
	if f := fault.From(why); f.Kind == fault.Interrupted || f.Code == "run.busy" || f.Code == "shard.other" {
		return nil, why
	}
	lease, err := d.req.State.Lease(ctx, d.holder())
	if err != nil { // somebody plans or commits: it is theirs to say how the run ends
		return nil, why
	}
	defer lease.Release()
	if err := d.over(ctx); err != nil {
		return nil, err
	}
	return d.giveUp(ctx, why)
}

// giveUp writes down that the run failed, and removes what it staged. It is called with the run's lease.
func (d *shardRun) giveUp(ctx context.Context, why error) (*Report, error) {
	r := d.report(nil)
	p, err := d.written(ctx)
	if err != nil {
		return nil, errors.Join(why, err)
	}
	if p != nil {
		r = d.report(p)
	}
	r.Ended, r.Error = now(), failureOf(why)
	_, ended := d.followRun(ctx, r)
	if err := keep(ctx, d.req.State, r); err != nil {
		return r, errors.Join(why, err)
	}
	ended(why)
	if p != nil {
		why = errors.Join(why, d.discardStages(ctx, p))
	}
	return r, errors.Join(why, d.req.State.Forget(ctx, d.key("")))
}

// discardStages aborts what a run staged.
func (d *shardRun) discardStages(ctx context.Context, p *partPlan) error {
	dst, err := OpenDestination(ctx, d.req)
	if err != nil {
		return err
	}
	errs := []error{}
	for _, t := range p.Tables {
		if err := dst.Abort(ctx, t.Stage); err != nil {
			errs = append(errs, fmt.Errorf("clean up run %s: %w", p.Run, err))
		}
	}
	return errors.Join(append(errs, dst.Close())...)
}

// report is the run's, as it began.
func (d *shardRun) report(p *partPlan) *Report {
	r := &Report{
		ID: d.run, Version: d.req.Version, Started: now(), Config: d.req.Job.File,
		Source: d.req.Job.Source.Place, Destination: d.req.Job.Destination.Place, Status: StatusFailed,
	}
	if p != nil {
		r.Started, r.Guarantee, r.Position, r.Recovered = p.Started, p.Guarantee, p.Position, p.Recovered
		r.Notes = slices.Concat(p.Plan.Notes, p.Notes)
	}
	return r
}

// share is how many of the connections a shard has: together they have all.
func share(connections, shards, index int) int {
	n := connections / shards
	if index < connections%shards {
		n++
	}
	return max(n, 1)
}

// open opens both ends for this process, with so many connections.
func (d *shardRun) open(ctx context.Context, connections int) (*Session, error) {
	req, j := d.req, *d.req.Job
	j.Limits.Connections = connections
	req.Job = &j
	s, err := Open(ctx, req)
	if err == nil {
		s.shared = true
	}
	return s, err
}
