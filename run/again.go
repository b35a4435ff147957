package run

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/kitamae/kitamae/fault"
)

// A table that failed by a passing fault is read again within the run: its partitions were tried some times in a row already
// ([Session.repeat]), so that what is in the way lasts longer than that, as a server's restart does. The others go on meanwhile.

// The waits before a table's tries: the first, doubled for each further one, and the longest.
const (
	firstReturn = 15 * time.Second
	lastReturn  = 2 * time.Minute
)

// pause waits for d, or until ctx ends, which is its error.
func (s *Session) pause(ctx context.Context, d time.Duration) error {
	if s.req.Pause != nil {
		return s.req.Pause(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// mayReturn says whether the table failed, by a fault that may pass, and has a try left.
func (t *moving) mayReturn() bool {
	return fault.Retryable(t.failed()) && t.tries < t.plan.retries
}

// next are the tables of the next epoch: those that are unfinished and those that are tried again, after a pause.
func (s *Session) next(ctx context.Context, tables []*moving) ([]*moving, error) {
	wait := time.Duration(0)
	for _, t := range tables {
		if t.mayReturn() {
			wait = max(wait, min(firstReturn<<t.tries, lastReturn))
		}
	}
	if wait > 0 {
		if err := s.pause(ctx, wait); err != nil {
			return nil, err
		}
	}
	for _, t := range tables {
		if t.mayReturn() {
			t.tries++
			t.err, t.dead = nil, make(chan struct{})
		}
	}
	return unfinished(tables), nil
}

// tableFails keeps a fault with the table, and tells of it: held back, or to be tried again.
func (s *Session) tableFails(t *moving, err error) {
	t.fail(err)
	kind := HeldBack
	if t.mayReturn() {
		kind = Retrying
	}
	t.end()
	s.observe(Event{Kind: kind, Table: t.index, Err: err})
}

// noView is what becomes of the open tables when the source gives no view: while one of them has a try left, they fail as if they
// had been read. What stops the run is returned: the fault, where it does not pass, or nothing was read before that could be published.
func (s *Session) noView(ctx context.Context, tables, open []*moving, err error) error {
	if ctx.Err() != nil || !fault.Retryable(err) {
		return err
	}
	returns := slices.ContainsFunc(open, func(t *moving) bool { return t.tries < t.plan.retries })
	if !returns && !slices.ContainsFunc(tables, func(t *moving) bool { return t.done }) {
		return err
	}
	for _, t := range open {
		s.tableFails(t, err)
	}
	return nil
}

// again is how far the tables have come that are tried again, to go on from there; nil where that is not known, or none is.
// One that is in doubt has come nowhere.
func (d *diary) again(open []*moving) *halfway {
	if d == nil || !slices.ContainsFunc(open, (*moving).mayReturn) {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.now
	old.Tables = slices.Clone(old.Tables)
	for _, t := range open {
		if !t.mayReturn() && !t.done {
			old.Tables[t.index] = tableHalfway{}
		}
	}
	return &old
}

// inDoubt notes why tables start over: their view was lost, or what they hold is in doubt.
func (r *Report) inDoubt(tables []*moving, lost error) {
	if lost != nil {
		r.Restarts++
		r.Notes = append(r.Notes, fmt.Sprintf("the view was lost (%v): %d tables started over under a new one", lost, len(tables)))
		return
	}
	for _, t := range tables {
		r.Notes = append(r.Notes, fmt.Sprintf("%s was read a second time: %v", t.plan.Scan.Table.Ref(), t.doubt))
	}
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

// moved tells that so much more of the table arrived; less than nothing where it is to come again.
func (s *Session) moved(t *moving, more amount) {
	if more == (amount{}) {
		return
	}
	t.mu.Lock()
	t.shown.rows += more.rows
	t.shown.bytes += more.bytes
	t.mu.Unlock()
	s.observe(Event{Kind: Moved, Table: t.index, Rows: more.rows, Bytes: more.bytes})
}
