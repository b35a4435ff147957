package state

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kitamae/kitamae/fault"
)

// Lease is the one right to run, from [Store.Lease] to Release.
type Lease struct {
	lost    context.Context // ends, with its cause, when somebody else may have it
	check   func(context.Context) error
	release func()
	// seat names the lock that the lease is: whoever has the lock knows that all who had it before have ended. "" where it proves nothing of
	// the kind.
	seat string
}

// Guard returns a context that ends with ctx or with the lease. In the second case its cause is a fault with the
// code run.lease_lost. Call stop when the work is done.
func (l *Lease) Guard(ctx context.Context) (guarded context.Context, stop func()) {
	guarded, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(l.lost, func() { cancel(context.Cause(l.lost)) })
	return guarded, func() { unhook(); cancel(nil) }
}

// Check asks the store whether the lease still is this process's. It is to be called right before what must not be done
// twice: a process that was paused for long, and woke up, learns here that another one took over.
func (l *Lease) Check(ctx context.Context) error {
	if err := context.Cause(l.lost); err != nil {
		return err
	}
	return l.check(ctx)
}

// Release lets others run. Repeating it does nothing.
func (l *Lease) Release() { l.release() }

// Register is what a lease needs of the place where its record stands: [Store] is one, and so is what a destination keeps for its runs.
type Register interface {
	// Get returns the value and its version. Where the value is empty there is none; [Register.Put] wants the version then, too.
	Get(ctx context.Context, key string) (value []byte, version string, err error)
	// Put is as in [Store], but for the version of an empty value, which need not be "".
	Put(ctx context.Context, key string, value []byte, version string) (next string, err error)
	Close() error
}

// RegisterTTL is how long the holder of a lease in a destination's register may be silent.
const RegisterTTL = leaseTTL

// Beyond takes, beside l, which is a lock that this machine alone sees, the lease called key in r, which others see, and returns both as one.
// Whoever held key by virtue of the same lock as l is known to have ended and is followed at once. r is closed when both are
// released, or now where the lease can't be had; l stays the caller's then.
//
// A register may be out of reach for a while in which l's holder has much else to do. So the lease in it is not lost by silence, but when
// somebody takes it over: work goes on until then, and [Lease.Check] says what came of it.
func (l *Lease) Beyond(ctx context.Context, r Register, key, holder string, ttl time.Duration) (*Lease, error) {
	far, err := leaseIn(ctx, &keeper{store: r, key: key, ttl: ttl, patient: true, record: leaseRecord{Holder: holder, Seat: l.seat}})
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	gone, lose := context.WithCancelCause(context.Background())
	for _, one := range []*Lease{l, far} {
		context.AfterFunc(one.lost, func() { lose(context.Cause(one.lost)) })
	}
	return &Lease{
		lost: gone,
		check: func(ctx context.Context) error {
			if err := l.Check(ctx); err != nil {
				return err
			}
			return far.Check(ctx)
		},
		release: sync.OnceFunc(func() {
			far.Release()
			_ = r.Close() // nothing is lost with a connection that breaks now
			l.Release()
			lose(errReleased)
		}),
	}, nil
}

var errReleased = errors.New("the lease was released")

func busy(holder string) error {
	return fault.New(fault.Config, "run.busy", "wait for it to end, or stop it", "a run is under way: %s", holder)
}

func lost(why string) error {
	return fault.New(fault.Interrupted, "run.lease_lost", "look at the run that took over; run again if there is none",
		"this run lost its right to run: %s", why)
}

// leaseSuffix ends the keys that hold the records of holders.
const leaseSuffix = ".lease"

// leaseRecord is what a holder writes and renews. Each renewal differs from the one before, and so do their versions.
type leaseRecord struct {
	Holder  string        `json:"holder"`         // for people
	ID      string        `json:"id"`             // of one taking
	Seat    string        `json:"seat,omitempty"` // Lease.seat of the lock that the holder has beside it
	Turn    int           `json:"turn"`
	TTL     time.Duration `json:"ttl"`
	Renewed time.Time     `json:"renewed"` // by the holder's clock, for people
}

// keeper holds a lease in a store that knows no processes: by a record that is renewed.
//
// No two clocks are compared. Whoever wants the lease watches the record: once it has not changed for the TTL in it,
// measured on the watcher's own clock from when the watcher saw it, its holder is gone. The holder, in turn, counts from when it *sent*
// its last good renewal and stops its work after five sixths of the TTL, so before any watcher's time is up; a patient one goes on, to be told
// by the record. What a paused holder does when it wakes up is stopped by [Lease.Check]: its renewal meets another version.
type keeper struct {
	store   Register
	key     string
	ttl     time.Duration
	patient bool // a renewal that comes late loses nothing as long as nobody has taken over
	lose    context.CancelCauseFunc

	mu      sync.Mutex // one renewal at a time
	record  leaseRecord
	version string
	good    time.Time // when the last renewal that arrived was sent
}

// leaseIn takes the lease for k, which has all but what the taking gives it, and renews it until it is released.
func leaseIn(ctx context.Context, k *keeper) (*Lease, error) {
	k.record.ID, k.record.TTL = rand.Text(), k.ttl
	if err := k.take(ctx); err != nil {
		return nil, err
	}
	gone, lose := context.WithCancelCause(context.Background())
	k.lose = lose
	done, stop := context.WithCancel(context.WithoutCancel(ctx))
	var renewing sync.WaitGroup
	renewing.Go(func() { k.keep(done) })
	release := sync.OnceFunc(func() {
		stop()
		renewing.Wait()
		k.give(ctx)
		lose(errReleased)
	})
	return &Lease{lost: gone, check: k.check, release: release}, nil
}

// take waits until the record is nobody's, at most its TTL, or returns as soon as its holder shows a sign of life.
func (k *keeper) take(ctx context.Context) error {
	var seen string
	var since time.Time
	for {
		value, version, err := k.store.Get(ctx, k.key)
		if err != nil {
			return fmt.Errorf("lease: %w", err)
		}
		var theirs leaseRecord
		if len(value) > 0 {
			if err := json.Unmarshal(value, &theirs); err != nil || theirs.TTL <= 0 {
				theirs = leaseRecord{Holder: "somebody unknown", TTL: k.ttl}
			}
		}
		switch {
		case len(value) == 0, theirs.Seat != "" && theirs.Seat == k.record.Seat, version == seen && time.Since(since) >= theirs.TTL:
			if err = k.renew(ctx, version); err == nil || !errors.Is(err, ErrConflict) {
				return err
			}
			seen = ""
			continue
		case seen == "":
			seen, since = version, time.Now()
		case version != seen:
			return busy(theirs.Holder)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(k.ttl, theirs.TTL) / 10):
		}
	}
}

// renew writes the record over version.
func (k *keeper) renew(ctx context.Context, version string) error {
	sent := time.Now()
	record := k.record
	record.Turn, record.Renewed = record.Turn+1, sent.UTC()
	value, err := json.Marshal(record)
	if err != nil {
		return err
	}
	next, err := k.store.Put(ctx, k.key, value, version)
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	k.record, k.version, k.good = record, next, sent
	return nil
}

// deadline is when this process must have stopped, unless a renewal arrives.
func (k *keeper) deadline() time.Time { return k.good.Add(k.ttl * 5 / 6) }

// keep renews until ctx ends or the lease is lost.
func (k *keeper) keep(ctx context.Context) {
	for {
		k.mu.Lock()
		next := time.Until(k.good.Add(k.ttl / 3))
		k.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(next, k.ttl/30)): // no hurry after an attempt that failed at once
		}
		if err := k.check(ctx); fault.HasCode(err, "run.lease_lost") {
			return
		}
	}
}

// check renews now, and tries again while there is time and doubt.
func (k *keeper) check(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Now().After(k.deadline()) {
		// others may have it since; one look decides, as nobody may have wanted it
		ctx, stop := context.WithTimeout(ctx, k.ttl/3)
		defer stop()
		return k.settle(ctx, k.renew(ctx, k.version))
	}
	ctx, stop := context.WithDeadline(ctx, k.deadline())
	defer stop()
	return k.settle(ctx, k.renew(ctx, k.version))
}

// settle says what a renewal that failed means.
func (k *keeper) settle(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrConflict):
		value, version, readErr := k.store.Get(ctx, k.key)
		var now leaseRecord
		if readErr == nil && len(value) > 0 && json.Unmarshal(value, &now) == nil {
			if now.ID != k.record.ID {
				return k.gone("meanwhile it was taken over by " + now.Holder)
			}
			k.record, k.version = now, version // ours after all: two writings at once
			return k.renew(ctx, version)
		}
		if readErr == nil && len(value) == 0 {
			return k.gone("somebody took over meanwhile, and has ended")
		}
		err = readErr
	}
	if !k.patient && time.Now().After(k.deadline()) && !errors.Is(err, context.Canceled) {
		return k.gone(fmt.Sprintf("it could not be renewed in time: %v", err))
	}
	return err
}

func (k *keeper) gone(why string) error {
	err := lost(why)
	k.lose(err)
	return err
}

// give removes the record, if it still is ours. Where that fails, the next one waits for the TTL.
func (k *keeper) give(ctx context.Context) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), k.ttl/3)
	defer stop()
	_, _ = k.store.Put(ctx, k.key, nil, k.version)
}
