package run

import (
	"context"
	"time"

	"github.com/kitamae/kitamae/fault"
)

// maxTries is how often in a row something is asked of either end before its fault counts.
const maxTries = 4

// firstWait is how long the first repetition waits; each further one waits twice as long.
const firstWait = time.Second

// noTable is the Table of an event that is about no table.
const noTable = -1

// repeat calls f, which is about t, again after a passing fault.
func (s *Session) repeat(ctx context.Context, t *moving, f func() error) error {
	return s.insist(ctx, t.index, f)
}

// persist is repeat for what a run asks of either end for no table of its own: a server that restarts, or is full for a moment, turns a
// login down. Somebody who waits at a terminal for a plan would rather know at once.
func (s *Session) persist(ctx context.Context, f func() error) error {
	if !s.req.persist {
		return f()
	}
	return s.insist(ctx, noTable, f)
}

func (s *Session) insist(ctx context.Context, table int, f func() error) error {
	wait := firstWait
	for try := 1; ; try++ {
		err := f()
		if err == nil || try == maxTries || !fault.Retryable(err) || ctx.Err() != nil {
			return err
		}
		s.observe(Event{Kind: Retrying, Table: table, Err: err})
		if err := s.pause(ctx, wait); err != nil {
			return err
		}
		wait *= 2
	}
}
