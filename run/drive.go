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
)

// abortWithin bounds the clean-up of an interrupted run.
const abortWithin = 10 * time.Second

// Drive moves the job's tables: plan, move, publish, remember. It returns a report
// whenever a run began, also beside an error. Only one run of a job lives at a time.
func Drive(ctx context.Context, req Request) (*Report, error) {
	r := &Report{
		ID: newID(), Version: req.Version, Started: now(), Config: req.Job.File,
		Source: req.Job.Source.Place, Destination: req.Job.Destination.Place, Status: StatusFailed,
	}
	release, err := req.State.Lease(holder(r))
	if err != nil {
		return nil, err
	}
	defer release()
	err = drive(ctx, req, r)
	r.Ended = now()
	if err != nil {
		r.Error = failureOf(err)
		if ctx.Err() != nil {
			r.Status = StatusInterrupted
		}
	}
	// the record is written even when the run was interrupted
	if keepErr := keep(context.WithoutCancel(ctx), req.State, r); keepErr != nil {
		err = errors.Join(err, keepErr)
	}
	return r, err
}

func drive(ctx context.Context, req Request, r *Report) (err error) {
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
	s.observe(Event{Kind: Planned, Plan: p})
	tables, err := s.move(ctx, p, r)
	if err != nil {
		r.tables(p, tables)
		return errors.Join(err, s.abort(ctx, tables))
	}
	err = s.publish(ctx, p, tables, r)
	r.tables(p, tables)
	return errors.Join(err, r.verdict(tables))
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

// intentKey holds the commit under way: it is there from before the first visible change until the
// ledger knows the end.
const intentKey = "commit.json"

// publish commits the tables that arrived whole.
func (s *Session) publish(ctx context.Context, p *Plan, tables []*moving, r *Report) error {
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
	if len(held) > 0 && r.Guarantee == connector.Database {
		r.Notes = append(r.Notes, "tables were held back: what is visible no longer is one state of the whole database")
		r.Guarantee = connector.PerTable
	}
	for _, t := range whole {
		t.evident.Guarantee = r.Guarantee
		t.evident.Notes = append(t.evident.Notes, changedNotes(t)...)
		req.Tables = append(req.Tables, connector.CommitTable{Stage: t.stage, Plan: t.plan.Target, Receipts: t.receipts, Evidence: t.evident})
	}
	if err := s.abort(ctx, held); err != nil {
		return err
	}
	if len(whole) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return errors.Join(err, s.abort(ctx, whole))
	}
	if err := s.intend(ctx, req); err != nil {
		return errors.Join(err, s.abort(ctx, whole))
	}
	// from here on an interruption waits for the commit: it is short, and half is worse than late
	commitCtx := context.WithoutCancel(ctx)
	outcomes, err := s.dst.Commit(commitCtx, req)
	if err != nil {
		return errors.Join(fmt.Errorf("commit: %w", asDestination(err)), s.abort(ctx, whole))
	}
	for i, o := range outcomes {
		if !o.Published {
			whole[i].fail(fault.New(fault.Destination, "destination.not_published", "run again", "table %s: %s", whole[i].plan.Target.Name, o.Why))
		}
	}
	s.observe(Event{Kind: Published})
	return s.forgetIntent(commitCtx)
}

func (s *Session) intend(ctx context.Context, req connector.CommitRequest) error {
	value, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("write down the commit: %w", err)
	}
	_, version, err := s.req.State.Get(intentKey)
	if err != nil {
		return err
	}
	return s.req.State.Put(ctx, intentKey, value, version)
}

func (s *Session) forgetIntent(ctx context.Context) error {
	_, version, err := s.req.State.Get(intentKey)
	if err != nil || version == "" {
		return err
	}
	return s.req.State.Put(ctx, intentKey, nil, version)
}

// recover finishes, or gives up, the commit an earlier process did not live to finish. It
// returns a line for the report.
func (s *Session) recover(ctx context.Context) (string, error) {
	value, _, err := s.req.State.Get(intentKey)
	if err != nil || value == nil {
		return "", err
	}
	var req connector.CommitRequest
	if err := json.Unmarshal(value, &req); err != nil {
		return "", fault.Wrap(fault.Internal, "state.intent", "remove "+intentKey+" from the state folder and run again", err)
	}
	found, err := s.dst.Recover(ctx, req)
	if err != nil {
		return "", fmt.Errorf("recover run %s: %w", req.Run.ID, err)
	}
	line := fmt.Sprintf("run %s was cut off after publishing; its tables stand", req.Run.ID)
	switch found {
	case connector.CommitAgain:
		if _, err := s.dst.Commit(ctx, req); err != nil {
			return "", fmt.Errorf("commit run %s again: %w", req.Run.ID, err)
		}
		line = fmt.Sprintf("run %s was cut off before publishing; its tables are published now", req.Run.ID)
	case connector.ReadAgain:
		for _, t := range req.Tables {
			if err := s.dst.Abort(ctx, t.Stage); err != nil {
				return "", fmt.Errorf("clean up run %s: %w", req.Run.ID, err)
			}
		}
		line = fmt.Sprintf("run %s was cut off before publishing; its tables are read again", req.Run.ID)
	}
	return line, s.forgetIntent(ctx)
}

// newID is a run's name: when it began, and four random digits. It sorts by time.
func newID() string {
	var b [2]byte
	rand.Read(b[:]) //nolint:errcheck // crypto/rand.Read never fails
	return now().Format("20060102T150405Z") + "-" + hex.EncodeToString(b[:])
}

func holder(r *Report) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("run %s, process %d on %s, since %s", r.ID, os.Getpid(), host, r.Started.Format(time.RFC3339))
}
