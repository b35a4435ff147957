package run

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/state"
)

// abortWithin bounds the clean-up of an interrupted run.
const abortWithin = 10 * time.Second

// Drive moves the job's tables: plan, move, publish, remember. It returns a report
// whenever a run began, also beside an error. Only one run of a job lives at a time.
func Drive(ctx context.Context, req Request) (*Report, error) {
	req.clock = newClock(req.Now)
	r := &Report{
		ID: newID(req.clock.wall), Version: req.Version, Started: req.clock.wall, Config: req.Job.File,
		Source: req.Job.Source.Place, Destination: req.Job.Destination.Place, Status: StatusFailed, Only: req.Only,
	}
	if req.Occasion != "" {
		r.ID = req.Occasion + "-1" // until the lease allows to ask which
	}
	lease, err := req.State.Lease(ctx, holder(r))
	if err != nil {
		return nil, underWay(err, req.Occasion)
	}
	defer func() { lease.Release() }()
	if req.Occasion != "" {
		r.ID, err = attempt(ctx, req)
	} else {
		r.ID, err = lateID(ctx, req.State, r.ID)
	}
	if err != nil {
		return nil, err
	}
	req.persist = true
	lease, err = leaseBeyond(ctx, req, lease, r)
	if fault.HasCode(err, "run.busy") {
		return nil, underWay(err, req.Occasion)
	}
	ctx, stop := lease.Guard(ctx)
	defer stop()
	ctx, ended := req.follow(ctx, Piece{Kind: PieceRun, Run: r.ID, Task: -1})
	if err == nil {
		err = drive(ctx, req, lease, r)
	}
	if cause := context.Cause(ctx); err != nil && fault.HasCode(cause, "run.lease_lost") {
		err = cause
	}
	r.Ended = req.clock.now()
	if err != nil {
		r.Error = failureOf(err)
		if ctx.Err() != nil {
			r.Status = StatusInterrupted
		}
	}
	ended(Done{Rows: r.Rows(), Bytes: r.bytes(), Status: r.Status, Err: err})
	// the record is written even when the run was interrupted
	if keepErr := keep(context.WithoutCancel(ctx), req.State, r); keepErr != nil {
		return r, errors.Join(err, keepErr)
	}
	return r, errors.Join(err, forgetBegun(context.WithoutCancel(ctx), req.State, r))
}

func drive(ctx context.Context, req Request, lease *state.Lease, r *Report) (err error) {
	s, err := Open(ctx, req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	s.observe(Event{Kind: Opened, Plan: &Plan{Source: r.Source, Destination: r.Destination}})
	if r.Recovered, err = s.recover(ctx); err != nil {
		return err
	}
	p, err := s.Plan(ctx)
	if err != nil {
		return err
	}
	if err := s.allowed(p); err != nil {
		return err
	}
	s.observe(Event{Kind: Planned, Plan: p})
	r.Notes = append(r.Notes, p.Notes...)
	old, err := s.takeUp(ctx, p, r)
	if err != nil {
		return err
	}
	if old != nil { // one run in two processes: the destinations know its stages by its ID
		r.ID, r.Resumed = old.Run, true
	}
	if err := s.begin(ctx, r); err != nil {
		return err
	}
	tables, err := s.move(ctx, p, r, old)
	if err != nil {
		r.tables(p, tables)
		return errors.Join(err, s.interrupted(ctx, err, tables))
	}
	err = s.publish(ctx, lease, p, tables, r)
	r.tables(p, tables)
	return errors.Join(err, r.verdict(tables))
}

// interrupted keeps what a chunked run has staged, for the next one to go on with, or removes it where that can't be.
func (s *Session) interrupted(ctx context.Context, why error, tables []*moving) error {
	if s.shared {
		return nil // another process goes on
	}
	kind := fault.From(why).Kind
	if !s.diary.worth() || ctx.Err() == nil && kind != fault.Source && kind != fault.Interrupted {
		return errors.Join(s.abort(ctx, tables), forgetProgress(context.WithoutCancel(ctx), s.req.State))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortWithin)
	defer cancel()
	return s.diary.flush(ctx)
}

// abort removes what the run staged. The context may be over already.
func (s *Session) abort(ctx context.Context, tables []*moving) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortWithin)
	defer cancel()
	var errs []error
	for _, t := range tables {
		if t.stage == nil {
			continue
		}
		if err := s.dst.Abort(ctx, t.stage); err != nil {
			errs = append(errs, fmt.Errorf("abort %s: %w", t.plan.Target.Name, err))
		}
	}
	return errors.Join(errs...)
}

// discard is abort, unless the run goes on in other processes: whoever ends it as failed cleans up.
func (s *Session) discard(ctx context.Context, tables []*moving) error {
	if s.shared {
		return nil
	}
	return s.abort(ctx, tables)
}

// intentKey holds the commit under way: it is there from before the first visible change until the
// ledger knows the end.
const intentKey = "commit.json"

// publish commits the tables that arrived whole.
func (s *Session) publish(ctx context.Context, lease *state.Lease, p *Plan, tables []*moving, r *Report) error {
	req := connector.CommitRequest{Run: connector.RunRecord{
		ID: r.ID, Started: r.Started, Version: r.Version, Source: r.Source, Stale: p.Stale,
	}}
	var whole, held []*moving
	for _, t := range tables {
		if t.failed() == nil && t.done {
			whole = append(whole, t)
		} else {
			held = append(held, t)
		}
	}
	if len(held) > 0 {
		r.lessThanAll("tables were held back")
	}
	r.leaveRest(p)
	for _, t := range whole {
		t.evident.Guarantee = t.guarantee(r.Guarantee)
		t.evident.Notes = append(t.evident.Notes, changedNotes(t)...)
		req.Tables = append(req.Tables, connector.CommitTable{Stage: t.stage, Plan: t.plan.Target, Receipts: t.receipts, Evidence: t.evident, Reached: t.reached()})
	}
	if len(whole) == 0 && s.diary.worth() && passing(held) { // the next run goes on where the source broke down
		return s.diary.flush(context.WithoutCancel(ctx))
	}
	if err := s.abort(ctx, held); err != nil {
		return err
	}
	if len(whole) == 0 {
		return forgetProgress(context.WithoutCancel(ctx), s.req.State)
	}
	if err := ctx.Err(); err != nil {
		return errors.Join(err, s.interrupted(ctx, err, whole))
	}
	if err := s.intend(ctx, req); err != nil {
		return errors.Join(err, s.discard(ctx, whole))
	}
	// Asked after the intent is written down: whoever takes over from now on finds it, and settles it with the destination.
	if err := s.persist(ctx, func() error { return lease.Check(ctx) }); err != nil {
		return errors.Join(err, s.forgetIntent(context.WithoutCancel(ctx)), s.discard(ctx, whole))
	}
	// from here on an interruption waits for the commit: it is short, and half is worse than late
	commitCtx := context.WithoutCancel(ctx)
	within, ended := s.follow(commitCtx, Piece{Kind: PieceCommit, Run: r.ID, Task: -1})
	var outcomes []connector.Outcome
	tried := false
	err := s.persist(ctx, func() (err error) { // which stops asking when it is interrupted
		if tried { // what took the answer away may have taken long
			if err := lease.Check(ctx); err != nil {
				return err
			}
		}
		tried = true
		outcomes, err = s.dst.Commit(within, req)
		return err
	})
	ended(Done{Err: err})
	if err != nil {
		return errors.Join(fmt.Errorf("commit: %w", asDestination(err)), s.discard(ctx, whole))
	}
	for i, o := range outcomes {
		whole[i].told, whole[i].published = o.Notes, o.Published
		if !o.Published {
			whole[i].fail(fault.New(fault.Destination, "destination.not_published", "settle what stands in the way, then run again",
				"table %s: %s", whole[i].plan.Target.Name, o.Why))
			r.lessThanAll("tables were held back")
		}
	}
	for _, t := range whole {
		t.evident.Guarantee = t.guarantee(r.Guarantee)
	}
	s.observe(Event{Kind: Published})
	if s.published != nil {
		if err := s.published(commitCtx); err != nil {
			return err
		}
	}
	// in this order: as long as the intent is there, the next run looks for its end first
	if err := forgetProgress(commitCtx, s.req.State); err != nil {
		return err
	}
	return s.forgetIntent(commitCtx)
}

// lessThanAll lowers the guarantee, as tables stay as they were while others are published; why says which.
func (r *Report) lessThanAll(why string) {
	if r.Guarantee == connector.Database {
		r.Notes = append(r.Notes, why+": what is visible no longer is one state of the whole database")
		r.Guarantee = connector.PerTable
	}
}

// passing says whether all tables failed by faults of the source that may pass.
func passing(tables []*moving) bool {
	for _, t := range tables {
		if !fault.Retryable(t.failed()) {
			return false
		}
	}
	return true
}

func (s *Session) intend(ctx context.Context, req connector.CommitRequest) error {
	value, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("write down the commit: %w", err)
	}
	_, version, err := s.req.State.Get(ctx, intentKey)
	if err != nil {
		return err
	}
	s.intent, err = s.req.State.Put(ctx, intentKey, value, version)
	return err
}

// forgetIntent removes the intent this session wrote or found. One that somebody else wrote meanwhile stays.
func (s *Session) forgetIntent(ctx context.Context) error {
	_, err := s.req.State.Put(ctx, intentKey, nil, s.intent)
	if errors.Is(err, state.ErrConflict) {
		return nil
	}
	return err
}

// newID is a run's name: when it began, and four random digits. It sorts by time.
func newID(begin time.Time) string {
	var b [2]byte
	rand.Read(b[:]) //nolint:errcheck // crypto/rand.Read never fails
	return begin.Format(stampFormat) + "-" + hex.EncodeToString(b[:])
}

func holder(r *Report) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("run %s, process %d on %s, since %s", r.ID, os.Getpid(), host, r.Started.Format(time.RFC3339))
}
