package sqlkit

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// TestThrottle waits as long as the value is above the limit, says so once, and ends with its context.
func TestThrottle(t *testing.T) {
	var value atomic.Int64
	value.Store(30)
	read := func(context.Context) (float64, bool, error) { return float64(value.Load()), true, nil }
	off := func(context.Context) (float64, bool, error) { return 1e9, true, nil }
	broken := func(context.Context) (float64, bool, error) { return 0, false, errors.New("no right to ask") }
	th := NewThrottle(Gauge{"%.0f run (limit %.0f)", 25, read}, Gauge{"off %.0f %.0f", 0, off}, Gauge{"broken %.0f %.0f", 1, broken})
	th.every = time.Millisecond
	var told []string
	tell := func(why string) {
		told = append(told, why)
		if why != "" {
			time.AfterFunc(20*time.Millisecond, func() { value.Store(25) })
		}
	}
	if err := th.Wait(t.Context(), tell); err != nil || value.Load() != 25 {
		t.Errorf("it went on at %d: %v", value.Load(), err)
	}
	if want := []string{"30 run (limit 25)", ""}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	value.Store(99)
	th.read = time.Time{} // the last reading is not fresh any more
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := th.Wait(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("an interruption ends it with %v", err)
	}
	if errs := th.Unknown(t.Context()); len(errs) != 1 {
		t.Errorf("unreadable gauges: %v", errs)
	}
}

// TestPace grows twofold at most, shrinks at once, and keeps its bounds.
func TestPace(t *testing.T) {
	p := NewPace(800)
	first := p.Rows()
	p.Took(first, 10*time.Millisecond)
	if got := p.Rows(); got != 2*first {
		t.Errorf("after a quick statement %d rows, want %d", got, 2*first)
	}
	p.Took(2*first, 40*time.Second)
	if got := p.Rows(); got != first/10 {
		t.Errorf("after a slow statement %d rows, want %d", got, first/10)
	}
	p.Took(100, time.Hour)
	if got := p.Rows(); got != leastRows {
		t.Errorf("%d rows, want the least", got)
	}
}
