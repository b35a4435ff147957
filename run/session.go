// Package run is the life of one run: plan, scan, read, write, verify, publish,
// remember. How connectors do their part, and how people are told, is not its matter.
package run

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
	"github.com/kitamae/kitamae/state"
)

// Request is what a session needs.
type Request struct {
	Job      *job.Job
	Registry connector.Registry
	State    state.Store
	// LeaseTTL is how long the lease at the destination outlives its holder's last sign of life, where there is one; 0 is [state.RegisterTTL].
	LeaseTTL time.Duration
	// Occasion is what a scheduled run is for (see [Occasion]): once a run for it has published everything, or while one is under
	// way, Drive does nothing and returns an [Already]. "" for a run somebody started.
	Occasion string
	// Only names the tables that are read and published, by name or glob; none for all that the config takes. The others stay as they are.
	Only    []string
	Version string
	// Secrets are where both ends' secrets are looked up when they are opened.
	Secrets conf.Stores
	// Saved is the plan that a run must be, to the letter; nil for whatever the plan turns out to be.
	Saved *Saved
	// Observe is told what happens, one call at a time. nil for nobody.
	Observe func(Event)
	// Follow is told when a piece of work begins, and by the function it returns that it has ended; pieces run at the same time. What belongs
	// to the piece is done under the context it returns. nil for nobody.
	Follow func(ctx context.Context, p Piece) (within context.Context, ended func(Done))
	// Pause waits before something is tried again, at most until ctx ends; nil waits by the clock.
	Pause func(ctx context.Context, d time.Duration) error
	// Now is the wall clock, which is asked once, at the begin; nil is the system's.
	Now func() time.Time

	persist bool // see [Session.persist]
	clock   clock
}

// Session is a job with both ends open. Close it.
type Session struct {
	req    Request
	budget Budget
	caps   connector.Caps // of the destination
	src    connector.Source
	dst    connector.Destination

	intent string // the version of the commit under way, as this session wrote or found it
	// recovered is the commit that an earlier process did not live to finish, as it was published in the end; nil for none.
	recovered *connector.CommitRequest
	diary     *diary // of the scan under way; nil where it can't be taken up

	// shared says that other processes work on the same run: what it staged is theirs too. published is called once readers see the
	// tables, before the intent is forgotten.
	shared    bool
	published func(ctx context.Context) error

	tell    sync.Mutex
	srcOnce sync.Once
}

// Open reaches both ends of the job.
func Open(ctx context.Context, req Request) (*Session, error) {
	if req.clock == (clock{}) {
		req.clock = newClock(req.Now)
	}
	s := &Session{req: req, budget: NewBudget(req.Job.Limits.Memory)}
	err := s.persist(ctx, func() (err error) {
		s.dst, s.caps, err = openDestination(ctx, req, s.budget, s.observe)
		return err
	})
	if err != nil {
		return nil, err
	}
	in := req.Job.Source
	c, ok := req.Registry[in.Use]
	if !ok || c.Source == nil {
		return nil, errors.Join(noEnd("source", in.Use), s.dst.Close())
	}
	err = s.persist(ctx, func() (err error) {
		s.src, err = c.Source.Open(ctx, in.Spec, req.env(0, s.observe))
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open source %s: %w", in.Use, err), s.dst.Close())
	}
	return s, nil
}

// OpenDestination reaches the job's destination only: for questions to the warehouse.
func OpenDestination(ctx context.Context, req Request) (connector.Destination, error) {
	dst, _, err := openDestination(ctx, req, NewBudget(req.Job.Limits.Memory), req.observe)
	return dst, err
}

func openDestination(ctx context.Context, req Request, b Budget, tell func(Event)) (connector.Destination, connector.Caps, error) {
	out := req.Job.Destination
	c, ok := req.Registry[out.Use]
	if !ok || c.Dest == nil {
		return nil, connector.Caps{}, noEnd("destination", out.Use)
	}
	dst, err := c.Dest.Open(ctx, out.Spec, req.env(b.Destination, tell))
	if err != nil {
		return nil, c.Caps, fmt.Errorf("open destination %s: %w", out.Use, err)
	}
	return dst, c.Caps, nil
}

func noEnd(what, use string) error {
	return fault.New(fault.Config, "connector.unknown", "see `kitamae connectors`", "%s is not a %s", use, what)
}

func (r Request) env(memory int64, tell func(Event)) connector.Env {
	return connector.Env{
		Dir: r.Job.Dir, MemoryBytes: memory, Version: r.Version, Secrets: r.Secrets,
		Waiting: func(why string) { tell(Event{Kind: Blocked, Why: why}) },
	}
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
	s.tell.Lock()
	defer s.tell.Unlock()
	s.req.observe(e)
}

func (r Request) observe(e Event) {
	if r.Observe == nil {
		return
	}
	e.Time = r.clock.now()
	r.Observe(e)
}
