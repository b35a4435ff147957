package run

import (
	"context"
	"fmt"
	"slices"
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
	epoch    int
	scanned  connector.ScannedTable
	receipts []connector.Receipt // by task
	adopted  []bool              // by task: read by an interrupted run
	told     []string            // by the destination, when it was published
	check    *check
	// bracketed says that there is no view over the whole table: what the source says of it before the read and after it
	// stand around what was read. again says that such a table is being read a second time, as the first one was in doubt.
	bracketed, again bool

	mu     sync.Mutex
	left   int    // units to do
	unread int    // partitions to read
	err    error  // the first fault: the table is held back
	doubt  error  // why the table is read again
	tries  int    // after the first one
	shown  amount // as told by Moved events
	done   bool   // read and, where asked, verified
	// published says that the destination has it for readers to see.
	published bool
	dead      chan struct{} // closed by the first fault
	evident   connector.Evidence
	began     time.Time // the run, UTC
	ended     func()    // tells, once in an epoch, that the table has come to an end
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
//
// old is the progress of an interrupted run that this one takes up, or nil.
func (s *Session) move(ctx context.Context, p *Plan, r *Report, old *halfway) ([]*moving, error) {
	tables := newMoving(p, r.Started)
	epoch := 0
	if old != nil {
		epoch = old.Epoch
	}
	return tables, s.views(ctx, p, r, tables, epoch, old)
}

func newMoving(p *Plan, began time.Time) []*moving {
	tables := make([]*moving, len(p.Tables))
	for i := range p.Tables {
		tables[i] = &moving{index: i, plan: &p.Tables[i], schema: p.Tables[i].Target.Schema(), dead: make(chan struct{}), began: began}
	}
	return tables
}

// views reads and verifies the tables that are not done yet, under one view after the other; the first one's epoch is epoch.
func (s *Session) views(ctx context.Context, p *Plan, r *Report, tables []*moving, epoch int, old *halfway) error {
	for views := 0; ; {
		open, err := s.next(ctx, tables)
		if err != nil || len(open) == 0 {
			return err
		}
		scan, err := s.scan(ctx, p, open, old)
		if err != nil {
			if err = s.noView(ctx, tables, open, err); err != nil {
				return err
			}
			continue
		}
		lost, err := s.epoch(ctx, p, r, scan, open, epoch, old)
		if err != nil {
			return err
		}
		if old = s.diary.again(open); old == nil { // else under the same epoch: what was read stays read
			epoch++
		}
		left := unfinished(open)
		if len(left) == 0 {
			continue
		}
		views++
		r.inDoubt(left, lost)
		for _, t := range left {
			switch {
			case views < maxViews:
			case lost == nil:
				t.fail(t.doubt)
			default:
				t.fail(fmt.Errorf("table %s: the view was lost %d times; `read: chunked` in the source's settings needs none: %w",
					t.plan.Scan.Table.Ref(), maxViews, lost))
			}
		}
		if lost != nil {
			s.observe(Event{Kind: Restarted, Err: lost})
		}
	}
}

// scan fixes a view over the open tables.
func (s *Session) scan(ctx context.Context, p *Plan, open []*moving, old *halfway) (*connector.Scan, error) {
	asked := make([]int, len(open))
	for i, t := range open {
		asked[i] = t.index
	}
	req := s.scanRequest(p, asked)
	for i := range req.Tables {
		if old != nil {
			req.Tables[i].Resume = old.Tables[asked[i]].Partitions
		}
	}
	scan, err := s.src.Scan(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("scan: %w", s.hide(err))
	}
	p.note(scan, asked)
	return scan, nil
}

// epoch reads and verifies the open tables under one view. It returns the fault that
// lost the view, if one did, and what stops the run.
func (s *Session) epoch(ctx context.Context, p *Plan, r *Report, scan *connector.Scan, open []*moving, epoch int, old *halfway) (lost, stop error) {
	r.note(scan, epoch)
	s.openDiary(p, r, scan, epoch, old)
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
			s.tableFails(t, err)
		}
	}
	for i, t := range open {
		if ctx.Err() != nil {
			break
		}
		err := s.stage(ctx, t, scan, i, r.ID, epoch)
		if err == nil && old != nil {
			err = s.continueTable(ctx, t, &old.Tables[t.index], r)
		}
		if err == nil {
			err = s.diary.note(ctx, t.noteStage)
		}
		if err != nil {
			cancel(err)
			break
		}
		within, ended := s.follow(ctx, t.part(PieceTable, -1))
		t.ended = sync.OnceFunc(func() { ended(t.outcome()) })
		defer t.end() // where something else ends the epoch
		for _, f := range s.units(within, t) {
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
	_ = readers.Wait()                       // units keep their faults with the table
	if scan.Guarantee == connector.Chunked { // no view is held up, and a table in doubt is read again
		verifiers.Wait()
	}
	if ctx.Err() == nil && !slices.ContainsFunc(open, (*moving).mayReturn) && (scan.Guarantee != connector.Chunked || len(unfinished(open)) == 0) {
		// everything is read: the source need not wait for verification
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

// stage prepares the table's place.
func (s *Session) stage(ctx context.Context, t *moving, scan *connector.Scan, i int, run string, epoch int) error {
	var stage connector.Stage
	err := s.repeat(ctx, t, func() (err error) {
		stage, err = s.dst.Stage(ctx, connector.StageRequest{Run: run, Epoch: epoch, Plan: t.plan.Target, Shared: s.shared})
		return err
	})
	if err != nil {
		return fmt.Errorf("stage %s: %w", t.plan.Target.Name, asDestination(err))
	}
	t.staged(stage, epoch, run, scan, scan.Tables[i])
	s.moved(t, amount{-t.shown.rows, -t.shown.bytes}) // of the epoch before
	return nil
}

// staged starts the table's bookkeeping over.
func (t *moving) staged(stage connector.Stage, epoch int, run string, scan *connector.Scan, scanned connector.ScannedTable) {
	t.stage, t.epoch, t.scanned = stage, epoch, scanned
	t.receipts = make([]connector.Receipt, len(t.scanned.Partitions))
	t.adopted = make([]bool, len(t.scanned.Partitions))
	t.check = newCheck(t)
	t.bracketed = scan.Guarantee == connector.Chunked
	t.left, t.unread = len(t.scanned.Partitions)+1, len(t.scanned.Partitions)
	t.evident = connector.Evidence{
		Run: run, Table: t.plan.Target.Name, Source: t.plan.Scan.Table.Ref(),
		SourceRows: -1, Guarantee: t.guarantee(scan.Guarantee), Position: scan.Position, Level: t.plan.Verify,
	}
}

// continueTable takes over what an interrupted run has read of the table.
func (s *Session) continueTable(ctx context.Context, t *moving, old *tableHalfway, r *Report) error {
	n, err := s.adopt(ctx, t, old)
	if err == nil && n == 0 { // divided in another way, or not there any more: nothing of it may count
		if err = s.dst.Abort(ctx, t.stage); err == nil {
			t.stage, err = s.dst.Stage(ctx, connector.StageRequest{Run: r.ID, Epoch: t.epoch, Plan: t.plan.Target})
		}
		if err != nil {
			return fmt.Errorf("stage %s anew: %w", t.plan.Target.Name, asDestination(err))
		}
		return nil
	}
	if err == nil {
		r.Notes = append(r.Notes, fmt.Sprintf("%s: %d of %d partitions were read before the interruption", t.plan.Scan.Table.Ref(), n, len(t.receipts)))
	}
	return err
}

// noteStage writes the table's place down, where its partitions can be read by another process: short ones along a key.
func (t *moving) noteStage(p *halfway) {
	line := tableHalfway{Stage: t.stage, Count: -1}
	// with a cursor, a later scan reaches further than the rows that are there
	if t.guarantee(connector.PerTable) == connector.Chunked && t.plan.Scan.Cursor == "" {
		line.Partitions = t.scanned.Partitions
		for task, ok := range t.adopted {
			if ok {
				line.Receipts = append(line.Receipts, t.receipts[task])
			}
		}
		if len(line.Receipts) > 0 {
			line.Count, line.Sample = t.noteCheck()
		}
	}
	p.Tables[t.index] = line
}

// units are the table's pieces of work at the source: what is compared with first (the
// source's count and sample), then its partitions. Each returns what remains to be done at the destination.
func (s *Session) units(ctx context.Context, t *moving) []func() (func() error, error) {
	nothing := func() error { return nil }
	units := []func() (func() error, error){
		func() (func() error, error) { return nothing, s.prepareCheck(ctx, t) },
	}
	for task, ok := range t.adopted {
		if ok {
			receipt := t.receipts[task]
			units = append(units, func() (func() error, error) {
				s.moved(t, amount{rows: receipt.Rows})
				return func() error { return s.verifyTask(ctx, t, receipt) }, s.readDone(ctx, t)
			})
		}
	}
	for task, part := range t.scanned.Partitions {
		if t.adopted[task] {
			continue
		}
		units = append(units, func() (func() error, error) {
			if t.bracketed && !s.checkReady(ctx, t) {
				return nothing, ctx.Err()
			}
			receipt, err := s.task(ctx, t, task, part)
			if err != nil {
				return nil, err
			}
			receipt.Task = task
			t.receipts[task] = receipt
			err = s.diary.note(ctx, func(p *halfway) {
				if line := &p.Tables[t.index]; line.Partitions != nil {
					line.Receipts = append(line.Receipts, receipt)
				}
			})
			if err == nil {
				err = s.readDone(ctx, t)
			}
			if err != nil {
				return nil, err
			}
			return func() error { return s.verifyTask(ctx, t, receipt) }, nil
		})
	}
	return units
}

// readDone notes that one partition more is read, and after the last one asks the source once more what was asked
// before the first.
func (s *Session) readDone(ctx context.Context, t *moving) error {
	t.mu.Lock()
	t.unread--
	last := t.unread == 0
	t.mu.Unlock()
	if !last || !t.bracketed || t.check == nil {
		return nil
	}
	return s.repeat(ctx, t, func() error { return s.askAfter(ctx, t) })
}

// guarantee is the table's own, or the scan's.
func (t *moving) guarantee(scan connector.Guarantee) connector.Guarantee {
	if t.scanned.Guarantee != "" {
		return t.scanned.Guarantee
	}
	return scan
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
	err := t.finish()
	if err != nil && t.bracketed && !t.again {
		t.again, t.doubt = true, err // somebody may have changed just that meanwhile: a second reading tells
		s.observe(Event{Kind: Retrying, Table: t.index, Err: err})
		return nil
	}
	if err != nil {
		return fmt.Errorf("table %s: %w", t.plan.Scan.Table.Ref(), err)
	}
	t.done = true
	t.end()
	s.observe(Event{Kind: Verified, Table: t.index})
	return nil
}
