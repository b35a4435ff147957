// Package serve starts runs when their config wants them, and shows machines how they went. What a run does is package
// run's matter.
package serve

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/schedule"
	"github.com/kitamae/kitamae/state"
)

// missed is how long ago a scheduled time may be, when serve starts, for its run to be made up for: a process that was stopped
// in the middle goes on where it was, while one started at noon waits for the night.
const missed = time.Hour

// retries is how long to wait before a run that failed in passing is tried again.
var retries = []time.Duration{time.Minute, 5 * time.Minute}

// Server is a scheduler for one config.
type Server struct {
	Job   *job.Job
	State state.Store
	// Run makes one run for the occasion, tells of it, and returns when it has ended.
	Run func(ctx context.Context, occasion string) (*run.Report, error)
	// Log is told what the scheduler does, in one line.
	Log func(format string, args ...any)
	// Now is the clock; nil is the system's.
	Now func() time.Time

	health  health
	retries []time.Duration // nil is the package's
}

// Serve answers on l and runs the schedule until ctx ends. A run under way then ends within seconds, without publishing.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	zone, err := time.LoadLocation(s.Job.Timezone)
	if err != nil {
		return err
	}
	if s.Job.Schedule == "" {
		return fault.New(fault.Config, "serve.unscheduled", `add schedule: "0 5 * * *  Asia/Tokyo"`, "%s says nothing about when to run", s.Job.File)
	}
	times, err := schedule.Parse(s.Job.Schedule, zone)
	if err != nil {
		return fault.Wrap(fault.Config, "serve.schedule", "write five cron fields and a zone", err)
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.retries == nil {
		s.retries = retries
	}
	if err := s.remember(ctx); err != nil {
		return err
	}
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	defer server.Close()
	next := times.Last(s.Now(), missed)
	if next.IsZero() {
		next = times.Next(s.Now())
	}
	for !next.IsZero() {
		s.health.set(func(h *health) { h.next = next })
		s.Log("next run at %s", next.In(zone).Format(time.RFC3339))
		err := s.until(ctx, next, ended)
		if err == nil {
			s.occasion(ctx, next)
		}
		if ctx.Err() != nil {
			break // being stopped is how a server ends
		}
		if err != nil {
			return err
		}
		next = times.Next(s.Now())
	}
	if ctx.Err() != nil {
		return nil
	}
	return fault.New(fault.Config, "serve.never", "check schedule", "the schedule %q has no next time", s.Job.Schedule)
}

// until waits for the wall clock to reach t, in steps: a machine that slept wakes up late, not never.
func (s *Server) until(ctx context.Context, t time.Time, ended <-chan error) error {
	for {
		left := t.Sub(s.Now())
		if left <= 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return fault.Wrap(fault.Config, "serve.listen", "look at the address after --listen", err)
		case <-time.After(min(left, time.Minute)):
		}
	}
}

// occasion makes the run for one scheduled time, again while its fault is a passing one.
func (s *Server) occasion(ctx context.Context, at time.Time) {
	name := run.Occasion(at.Format(time.RFC3339))
	for try := 0; ; try++ {
		s.health.set(func(h *health) { h.running = true })
		began := s.Now()
		report, err := s.Run(ctx, name)
		s.health.ended(report, err, s.Now().Sub(began))
		var already *run.Already
		switch {
		case err == nil:
			s.Log("run %s: %s", report.ID, report.Status)
			return
		case errors.As(err, &already):
			s.Log("%s: %v", name, err)
			return
		}
		s.Log("%s: %v", name, err)
		if try == len(s.retries) || !fault.Retryable(err) || ctx.Err() != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.retries[try]):
		}
	}
}

// remember takes over from the ledger what happened before this process.
func (s *Server) remember(ctx context.Context) error {
	reports, err := run.Ledger(ctx, s.State, remembered)
	if err != nil {
		return err
	}
	s.health.set(func(h *health) {
		h.fresh = fresh(reports)
		if len(reports) > 0 {
			h.status = reports[0].Status
		}
	})
	return nil
}
