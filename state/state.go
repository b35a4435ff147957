// Package state keeps what must outlive a run: the ledger, commits under way, the lease.
// It never looks inside a value.
package state

import (
	"context"
	"path"
	"strings"

	"github.com/kitamae/kitamae/bucket"
	"github.com/kitamae/kitamae/fault"
)

// ErrConflict says that a value changed since its version was read.
var ErrConflict = fault.ErrConflict

// theRun is the right that [Store.Lease] gives.
const theRun = "run"

// Store keeps small values by key, for one config. Keys use slashes. Many processes may use one at a time.
type Store interface {
	// Get returns the value and its version, nil and "" when there is none. A version names a value:
	// equal values may have equal versions, different ones never have.
	Get(ctx context.Context, key string) (value []byte, version string, err error)
	// Put stores value if the stored version still is version ("" for none), and returns the new version; else it
	// returns [ErrConflict] and changes nothing. An empty value removes the key, and its version is "".
	Put(ctx context.Context, key string, value []byte, version string) (next string, err error)
	// List returns the keys that start with prefix, sorted.
	List(ctx context.Context, prefix string) ([]string, error)
	// Lease takes the one right to run; holder says who wants it. While somebody else has it the answer is a fault
	// with the code run.busy that names them.
	Lease(ctx context.Context, holder string) (*Lease, error)
	// LeaseOf is Lease for another right, named as a key is: the one to do what must not be done by two at a time.
	LeaseOf(ctx context.Context, what, holder string) (*Lease, error)
	// Forget removes all keys that start with prefix, whatever they hold, and the leases there: what nobody asks for any more.
	Forget(ctx context.Context, prefix string) error
	Close() error
}

// Open opens the store of the config called name below where: a folder, or a bucket's address (see [bucket.Open]).
func Open(ctx context.Context, where, name string) (Store, error) {
	if !bucket.Is(where) {
		return New(path.Join(where, name)), nil
	}
	address, parameters, more := strings.Cut(where, "?")
	address = strings.TrimSuffix(address, "/") + "/" + name
	if more {
		address += "?" + parameters
	}
	b, err := bucket.Open(ctx, address)
	if err != nil {
		return nil, err
	}
	return NewBucket(b), nil
}
