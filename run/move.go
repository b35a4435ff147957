package run

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sync/errgroup"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// maxViews is how many views a run fixes before a table that keeps losing them fails.
const maxViews = 3

// codeSnapshotLost is the code sources give a fault after which the view is gone and
// unfinished tables must start over under a new one.
const codeSnapshotLost = "source.snapshot_lost"

// moving is one table on its way.
type moving struct {
	index  int
	plan   *PlannedTable
	schema *arrow.Schema // as the destination holds it

	stage    connector.Stage
	scanned  connector.ScannedTable
	receipts []connector.Receipt // by task
	check    *check

	mu      sync.Mutex
	left    int           // units to do
	err     error         // the first fault: the table is held back
	done    bool          // read and, where asked, verified
	dead    chan struct{} // closed by the first fault
	evident connector.Evidence
}

// fail keeps the table's first fault.
func (t *moving) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
		close(t.dead)
	}
}

func (t *moving) failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// move brings every table into its stage, verified. Faults of a table stay with the
// table; what stops the whole run is returned.
func (s *Session) move(ctx context.Context, p *Plan, r *Report) ([]*moving, error) {
	tables := make([]*moving, len(p.Tables))
	for i := range p.Tables {
		tables[i] = &moving{index: i, plan: &p.Tables[i], schema: p.Tables[i].Target.Schema(), dead: make(chan struct{})}
	}
	for epoch := range maxViews {
		open := unfinished(tables)
		if len(open) == 0 {
			break
		}
		lost, err := s.epoch(ctx, p, r, open, epoch)
		if err != nil {
			return tables, err
		}
		if lost == nil {
			break
		}
		r.Restarts++
		left := unfinished(tables)
		for _, t := range left {
			if epoch == maxViews-1 {
				t.fail(fmt.Errorf("table %s: the view was lost %d times; a mode that needs none (chunked) would fit this source: %w",
					t.plan.Scan.Table.Ref(), maxViews, lost))
			}
		}
		r.Notes = append(r.Notes, fmt.Sprintf("the view was lost (%v): %d tables started over under a new one", lost, len(left)))
		s.observe(Event{Kind: Restarted, Err: lost})
	}
	return tables, nil
}

func unfinished(tables []*moving) []*moving {
	var open []*moving
	for _, t := range tables {
		if !t.done && t.failed() == nil {
			open = append(open, t)
		}
	}
	return open
}

// epoch reads and verifies the open tables under one view. It returns the fault that
// lost the view, if one did, and what stops the run.
func (s *Session) epoch(ctx context.Context, p *Plan, r *Report, open []*moving, epoch int) (lost, stop error) {
	asked := make([]int, len(open))
	for i, t := range open {
		asked[i] = t.index
	}
	scan, err := s.src.Scan(ctx, s.scanRequest(p, asked))
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	p.note(scan, asked)
	r.note(scan, epoch)
	s.observe(Event{Kind: Scanned, Plan: p, Guarantee: string(scan.Guarantee)})

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		readers   errgroup.Group
		verifiers sync.WaitGroup
		slot      = make(chan struct{}, verifyParallel)
	)
	readers.SetLimit(s.req.Job.Limits.Connections)
	// one unit of one table: a fault is the table's, a lost view or a full disk is everybody's
	unit := func(t *moving, f func() error) {
		if t.failed() != nil || ctx.Err() != nil {
			return
		}
		switch err := f(); {
		case err == nil:
		case ctx.Err() != nil: // an echo of what stopped the others
		case fault.HasCode(err, codeSnapshotLost), fault.From(err).Kind == fault.Destination:
			cancel(err)
		default:
			t.fail(err)
			s.observe(Event{Kind: HeldBack, Table: t.index, Err: err})
		}
	}
	for i, t := range open {
		if ctx.Err() != nil {
			break
		}
		if err := s.stage(ctx, t, scan, i, r.ID, epoch); err != nil {
			cancel(err)
			break
		}
		for _, f := range s.units(ctx, t) {
			readers.Go(func() error {
				unit(t, func() error {
					verify, err := f()
					if err != nil {
						return err
					}
					verifiers.Go(func() {
						slot <- struct{}{}
						defer func() { <-slot }()
						unit(t, func() error { return s.unitDone(ctx, t, verify) })
					})
					return nil
				})
				return nil
			})
		}
	}
	_ = readers.Wait()    // units keep their faults with the table
	if ctx.Err() == nil { // everything is read: the source need not wait for verification
		if err := s.closeSource(); err != nil {
			r.Notes = append(r.Notes, fmt.Sprintf("closing the source, after everything was read: %v", err))
		}
	}
	verifiers.Wait()
	cause := context.Cause(ctx)
	if fault.HasCode(cause, codeSnapshotLost) {
		return cause, nil
	}
	return nil, cause
}

// stage prepares the table's place and starts its bookkeeping over.
func (s *Session) stage(ctx context.Context, t *moving, scan *connector.Scan, i int, run string, epoch int) error {
	stage, err := s.dst.Stage(ctx, connector.StageRequest{Run: run, Epoch: epoch, Plan: t.plan.Target})
	if err != nil {
		return fmt.Errorf("stage %s: %w", t.plan.Target.Name, asDestination(err))
	}
	t.stage, t.scanned = stage, scan.Tables[i]
	t.receipts = make([]connector.Receipt, len(t.scanned.Partitions))
	t.check = newCheck(t)
	t.left = len(t.scanned.Partitions) + 1
	t.evident = connector.Evidence{
		Run: run, Table: t.plan.Target.Name, Source: t.plan.Scan.Table.Ref(),
		SourceRows: -1, Guarantee: scan.Guarantee, Position: scan.Position, Level: t.plan.Verify,
	}
	return nil
}

// units are the table's pieces of work at the source: what is compared with first (the
// source's count and sample), then its partitions. Each returns what remains to be done at the destination.
func (s *Session) units(ctx context.Context, t *moving) []func() (func() error, error) {
	nothing := func() error { return nil }
	units := []func() (func() error, error){
		func() (func() error, error) { return nothing, s.prepareCheck(ctx, t) },
	}
	for task, part := range t.scanned.Partitions {
		units = append(units, func() (func() error, error) {
			receipt, err := s.task(ctx, t, task, part)
			if err != nil {
				return nil, err
			}
			receipt.Task = task
			t.receipts[task] = receipt
			return func() error { return s.verifyTask(ctx, t, receipt) }, nil
		})
	}
	return units
}

// unitDone finishes a unit at the destination and, when it was the table's last, the table.
func (s *Session) unitDone(ctx context.Context, t *moving, verify func() error) error {
	if err := verify(); err != nil {
		return fmt.Errorf("table %s: %w", t.plan.Scan.Table.Ref(), err)
	}
	t.mu.Lock()
	t.left--
	last := t.left == 0
	t.mu.Unlock()
	if !last {
		return nil
	}
	if err := t.finish(); err != nil {
		return fmt.Errorf("table %s: %w", t.plan.Scan.Table.Ref(), err)
	}
	t.done = true
	s.observe(Event{Kind: Verified, Table: t.index})
	return nil
}

// now is the clock of reports: UTC, whole microseconds, so that what is stored equals what was meant.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
