package sqlkit

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Gauge is one sign that a server has enough to do.
type Gauge struct {
	// Says is the reading for people, with a verb for the value and one for the limit: "%.0f threads run (limit %.0f)".
	Says string
	// Limit is what the value may be at most; 0 switches the gauge off.
	Limit float64
	// Read asks the server; known is false where it does not say.
	Read func(ctx context.Context) (value float64, known bool, err error)
}

// Throttle holds up short reads while a server is busy. It is safe for many goroutines.
type Throttle struct {
	gauges []Gauge
	every  time.Duration // how old a reading may be

	mu   sync.Mutex
	read time.Time
	busy string
}

// NewThrottle watches the gauges that have a limit; none of them is read more than once a second.
func NewThrottle(gauges ...Gauge) *Throttle {
	t := &Throttle{every: time.Second}
	for _, g := range gauges {
		if g.Limit > 0 {
			t.gauges = append(t.gauges, g)
		}
	}
	return t
}

// Unknown reads each gauge once and returns the errors of those that can't be read, so that a person hears of it.
func (t *Throttle) Unknown(ctx context.Context) []error {
	var errs []error
	for _, g := range t.gauges {
		if _, _, err := g.Read(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// Wait returns when no gauge is above its limit, or with ctx's cause. It never gives up by itself. tell, which may be nil, hears
// why it waits, each time the reason changes, and "" when the reads go on.
func (t *Throttle) Wait(ctx context.Context, tell func(why string)) error {
	for {
		busy := t.look(ctx, tell)
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if busy == "" {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(t.every):
		}
	}
}

// look reads the gauges unless that was done just now. A gauge that can't be read holds up nothing: where the
// server is gone, the read itself will say so.
func (t *Throttle) look(ctx context.Context, tell func(why string)) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.gauges) == 0 || time.Since(t.read) < t.every {
		return t.busy
	}
	var above, names []string
	for _, g := range t.gauges {
		value, known, err := g.Read(ctx)
		if err == nil && known && value > g.Limit {
			above = append(above, fmt.Sprintf(g.Says, value, g.Limit))
			names = append(names, g.Says)
		}
	}
	before := t.busy
	t.read, t.busy = time.Now(), strings.Join(names, ", ")
	if tell != nil && before != t.busy && ctx.Err() == nil {
		tell(strings.Join(above, ", "))
	}
	return t.busy
}
