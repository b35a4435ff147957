package run

import (
	"context"
	"path"
	"strings"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/state"
)

// clock tells a run's times: the wall clock's at the begin, and from then on by how long the process has lived since. A wall clock that is put
// right meanwhile makes no duration negative and puts no window's end before its begin.
type clock struct {
	wall  time.Time // of the begin: UTC, whole microseconds
	began time.Time // the same moment, by the monotonic clock
}

// newClock begins now; wall is the system's clock where it is nil.
func newClock(wall func() time.Time) clock {
	if wall == nil {
		wall = time.Now
	}
	return clock{wall: whole(wall()), began: time.Now()}
}

func (c clock) now() time.Time { return c.at(time.Now()) }

// at is the run's time of a moment that this process saw; zero stays zero.
func (c clock) at(t time.Time) time.Time {
	switch {
	case t.IsZero():
		return t
	case c.began.IsZero(): // outside a run
		return whole(t)
	}
	return whole(c.wall.Add(t.Sub(c.began)))
}

// whole is a moment as reports have it: UTC, whole microseconds, so that what is stored equals what was meant.
func whole(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// now is the wall clock's time as reports have it.
func now() time.Time { return whole(time.Now()) }

// read is a read's result by the run's time.
func (c clock) read(r connector.ReadResult) connector.ReadResult {
	r.From, r.To = c.at(r.From), c.at(r.To)
	return r
}

const stampFormat = "20060102T150405Z"

// lateID is id, or the same with a later time in it, so that it sorts after all that are in the ledger: also of a run that begins in the same second
// as the last one, or after the clock was put back. What is newest is read off the IDs, in the ledger and in the destinations. It is
// called with the lease.
func lateID(ctx context.Context, st state.Store, id string) (string, error) {
	keys, err := st.List(ctx, ledgerPrefix)
	if err != nil {
		return "", err
	}
	stamp, rest, _ := strings.Cut(id, "-")
	begin, err := time.Parse(stampFormat, stamp)
	if err != nil {
		return "", err
	}
	for _, key := range keys {
		stamp, _, _ := strings.Cut(path.Base(key), "-")
		if t, err := time.Parse(stampFormat, stamp); err == nil && !t.Before(begin) { // other IDs are a scheduler's own texts
			begin = t.Add(time.Second)
		}
	}
	return begin.Format(stampFormat) + "-" + rest, nil
}
