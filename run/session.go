// Package run is the life of one run: plan, scan, read, write, verify, publish,
// remember. How connectors do their part, and how people are told, is not its matter.
package run

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
	"github.com/kitamae/kitamae/state"
)

// Request is what a session needs.
type Request struct {
	Job      *job.Job
	Registry connector.Registry
	State    *state.Dir
	Version  string
	// Observe is told what happens, one call at a time. nil for nobody.
	Observe func(Event)
}

// Session is a job with both ends open. Close it.
type Session struct {
	req    Request
	budget Budget
	caps   connector.Caps // of the destination
	src    connector.Source
	dst    connector.Destination

	tell    sync.Mutex
	srcOnce sync.Once
}

// Open reaches both ends of the job.
func Open(ctx context.Context, req Request) (*Session, error) {
	s := &Session{req: req, budget: NewBudget(req.Job.Limits.Memory)}
	var err error
	if s.dst, s.caps, err = openDestination(ctx, req, s.budget); err != nil {
		return nil, err
	}
	in := req.Job.Source
	c, ok := req.Registry[in.Use]
	if !ok || c.Source == nil {
		return nil, errors.Join(noEnd("source", in.Use), s.dst.Close())
	}
	if s.src, err = c.Source.Open(ctx, in.Spec, s.env(0)); err != nil {
		return nil, errors.Join(fmt.Errorf("open source %s: %w", in.Use, err), s.dst.Close())
	}
	return s, nil
}

// OpenDestination reaches the job's destination only: for questions to the warehouse.
func OpenDestination(ctx context.Context, req Request) (connector.Destination, error) {
	dst, _, err := openDestination(ctx, req, NewBudget(req.Job.Limits.Memory))
	return dst, err
}

func openDestination(ctx context.Context, req Request, b Budget) (connector.Destination, connector.Caps, error) {
	out := req.Job.Destination
	c, ok := req.Registry[out.Use]
	if !ok || c.Dest == nil {
		return nil, connector.Caps{}, noEnd("destination", out.Use)
	}
	env := connector.Env{Dir: req.Job.Dir, MemoryBytes: b.Destination, Version: req.Version}
	dst, err := c.Dest.Open(ctx, out.Spec, env)
	if err != nil {
		return nil, c.Caps, fmt.Errorf("open destination %s: %w", out.Use, err)
	}
	return dst, c.Caps, nil
}

func noEnd(what, use string) error {
	return fault.New(fault.Config, "connector.unknown", "see `kitamae connectors`", "%s is not a %s", use, what)
}

func (s *Session) env(memory int64) connector.Env {
	return connector.Env{Dir: s.req.Job.Dir, MemoryBytes: memory, Version: s.req.Version}
}

// closeSource lets the source go as soon as everything is read. Repeating it does nothing.
func (s *Session) closeSource() (err error) {
	s.srcOnce.Do(func() { err = s.src.Close() })
	return err
}

// Close closes both ends.
func (s *Session) Close() error {
	return errors.Join(s.closeSource(), s.dst.Close())
}

// observe tells of e, one event at a time.
func (s *Session) observe(e Event) {
	if s.req.Observe == nil {
		return
	}
	s.tell.Lock()
	defer s.tell.Unlock()
	e.Time = now()
	s.req.Observe(e)
}
