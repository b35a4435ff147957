package serve

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/notify"
	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/state"
)

// remembered is how many runs are looked through for the last good one.
const remembered = 100

// Tell tells whoever the job names how a run ended: report may be nil where none began. It tells a failure each time, a success after a
// failure, and other successes where the config asks for them.
func Tell(ctx context.Context, req run.Request, report *run.Report, err error) error {
	spec := req.Job.Notify
	var already *run.Already
	if !spec.Given() || errors.As(err, &already) {
		return nil
	}
	ctx = context.WithoutCancel(ctx) // an interrupted run is told, too
	m, wanted := message(ctx, req, report, err)
	if !wanted {
		return nil
	}
	if err := conf.Resolve(ctx, &spec, req.Secrets); err != nil {
		return err
	}
	zone, err := time.LoadLocation(req.Job.Timezone)
	if err != nil {
		zone = time.UTC
	}
	return spec.Send(ctx, m, zone)
}

// message says what there is to tell, and whether.
func message(ctx context.Context, req run.Request, report *run.Report, err error) (m notify.Message, wanted bool) {
	j := req.Job
	m = notify.Message{Config: j.File, Source: j.Source.Place, Destination: j.Destination.Place, Time: time.Now().UTC()}
	failedBefore, whole := false, len(req.Only) == 0
	if before, ledgerErr := earlier(ctx, req.State, report); ledgerErr == nil && len(before) > 0 {
		before = run.Whole(before)
		failedBefore = len(before) > 0 && before[0].Status != run.StatusPublished && whole
		m.Fresh = fresh(before)
	}
	if report != nil {
		m.Run, m.Time, m.Seconds, m.Rows = report.ID, report.Ended, report.Ended.Sub(report.Started).Seconds(), report.Rows()
		for _, t := range report.Tables {
			switch t.Status {
			case run.StatusPublished:
				m.Tables++
			case run.StatusHeldBack:
				m.Held = append(m.Held, t.Table)
			}
		}
		if report.Status == run.StatusPublished && whole {
			m.Fresh = report.Started
		}
	}
	switch {
	case err != nil:
		f := fault.From(err)
		m.Event, m.Error, m.Hint, m.Code = notify.Failure, err.Error(), f.Hint, f.Code
		return m, true
	case failedBefore:
		m.Event = notify.Recovery
		return m, true
	}
	m.Event = notify.Success
	return m, j.Notify.Success
}

// earlier are the other runs, the one that ended last first: a run for an earlier scheduled time may be the latest.
func earlier(ctx context.Context, st state.Store, report *run.Report) ([]run.Report, error) {
	reports, err := run.Ledger(ctx, st, remembered)
	if report != nil {
		reports = slices.DeleteFunc(reports, func(r run.Report) bool { return r.ID == report.ID })
	}
	slices.SortStableFunc(reports, func(a, b run.Report) int { return b.Ended.Compare(a.Ended) })
	return reports, err
}

// fresh is the moment whose data readers see: the latest whole run's beginning.
func fresh(reports []run.Report) time.Time {
	for _, r := range run.Whole(reports) {
		if r.Status == run.StatusPublished {
			return r.Started
		}
	}
	return time.Time{}
}
