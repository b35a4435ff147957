package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
	"golang.org/x/sync/errgroup"

	"github.com/kitamae/kitamae/bucket"
)

var _ Store = (*Bucket)(nil)

// leaseTTL is how long a holder may be silent. A killed run's successor waits that long.
const leaseTTL = 30 * time.Second

// Bucket keeps each value in an object of its own, written under a condition.
//
// A key is removed by writing nothing over it: not every store can delete under a condition, and a deletion without one
// could meet a value that somebody else just wrote. An empty object is therefore no value.
type Bucket struct {
	b *bucket.Bucket
	// TTL is how long a lease outlives its holder's last sign of life; 0 is 30 seconds.
	TTL time.Duration
}

// NewBucket keeps values in b, and closes it.
func NewBucket(b *bucket.Bucket) *Bucket { return &Bucket{b: b} }

// Get implements [Store].
func (s *Bucket) Get(ctx context.Context, key string) (value []byte, version string, err error) {
	value, version, err = s.b.Read(ctx, key)
	if err != nil {
		return nil, "", fmt.Errorf("read state: %w", err)
	}
	if len(value) == 0 {
		return nil, "", nil
	}
	return value, version, nil
}

// Put implements [Store].
func (s *Bucket) Put(ctx context.Context, key string, value []byte, version string) (next string, err error) {
	if version == "" {
		if len(value) == 0 {
			now, _, err := s.Get(ctx, key)
			if err == nil && now != nil {
				err = ErrConflict
			}
			return "", err
		}
		next, err = s.b.Write(ctx, key, value, "")
		if errors.Is(err, ErrConflict) {
			var left []byte
			left, version, err = s.b.Read(ctx, key)
			if err == nil && (version == "" || len(left) > 0) {
				return "", fmt.Errorf("%s: %w", key, ErrConflict)
			}
			if err == nil {
				next, err = s.b.Write(ctx, key, value, version)
			}
		}
	} else {
		next, err = s.b.Write(ctx, key, value, version)
	}
	if err != nil {
		return "", fmt.Errorf("write state: %w", err)
	}
	if len(value) == 0 {
		return "", nil
	}
	return next, nil
}

// List implements [Store].
func (s *Bucket) List(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	it := s.b.List(&blob.ListOptions{Prefix: prefix})
	for {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			slices.Sort(keys)
			return keys, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list state: %w", s.b.Classify(err))
		}
		if o.Size > 0 && !strings.HasSuffix(o.Key, leaseSuffix) && !strings.HasSuffix(o.Key, "/") {
			keys = append(keys, o.Key)
		}
	}
}

// Lease implements [Store].
func (s *Bucket) Lease(ctx context.Context, holder string) (*Lease, error) {
	return s.LeaseOf(ctx, theRun, holder)
}

// LeaseOf implements [Store] by a record that is renewed while the holder lives and free once it has not been for 30
// seconds. Where a holder lives, the fault comes within a third of that; where one died, the lease within all of it.
func (s *Bucket) LeaseOf(ctx context.Context, what, holder string) (*Lease, error) {
	ttl := s.TTL
	if ttl == 0 {
		ttl = leaseTTL
	}
	return leaseIn(ctx, &keeper{store: s, key: what + leaseSuffix, ttl: ttl, record: leaseRecord{Holder: holder}})
}

// forgetParallel is how many objects are removed at once.
const forgetParallel = 8

// Forget implements [Store] by deleting the objects.
func (s *Bucket) Forget(ctx context.Context, prefix string) error {
	removing, ctx := errgroup.WithContext(ctx)
	removing.SetLimit(forgetParallel)
	it := s.b.List(&blob.ListOptions{Prefix: prefix})
	for {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(fmt.Errorf("list state: %w", s.b.Classify(err)), removing.Wait())
		}
		removing.Go(func() error {
			if err := s.b.Delete(ctx, o.Key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
				return fmt.Errorf("forget state: %w", s.b.Classify(err))
			}
			return nil
		})
	}
	return removing.Wait()
}

// Close implements [Store].
func (s *Bucket) Close() error { return s.b.Close() }
