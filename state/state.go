// Package state keeps what must outlive a run: the ledger, commits under way, the lease.
// It never looks inside a value.
package state

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/kitamae/kitamae/fault"
)

// ErrConflict says that a value changed since its version was read.
var ErrConflict = errors.New("changed by somebody else meanwhile")

// Dir keeps each value in a file of its own below a folder. Writers in other processes
// are kept apart by a lock file.
type Dir struct{ root string }

// New uses root, which is made when the first value is put.
func New(root string) *Dir { return &Dir{root: root} }

// Get returns the value and its version, "" and nil when there is none.
func (d *Dir) Get(key string) (value []byte, version string, err error) {
	value, err = os.ReadFile(d.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("read state: %w", err)
	}
	return value, versionOf(value), nil
}

// Put stores value if the stored version still is version ("" for none yet), else it
// returns [ErrConflict]. A nil value removes the key.
func (d *Dir) Put(ctx context.Context, key string, value []byte, version string) error {
	if err := os.MkdirAll(filepath.Dir(d.path(key)), 0o755); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	lock := flock.New(filepath.Join(d.root, "state.lock"))
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return fmt.Errorf("lock state: %w", err)
	}
	defer lock.Unlock() //nolint:errcheck // closing the file is what unlocks it
	_, now, err := d.Get(key)
	if err != nil {
		return err
	}
	if now != version {
		return fmt.Errorf("%s: %w", key, ErrConflict)
	}
	if value == nil {
		if err := os.Remove(d.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove state: %w", err)
		}
		return nil
	}
	return writeWhole(d.path(key), value)
}

// List returns the keys that start with prefix, sorted.
func (d *Dir) List(prefix string) ([]string, error) {
	var keys []string
	err := filepath.WalkDir(d.root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == d.root {
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(d.root, path)
		if err != nil {
			return err
		}
		key := filepath.ToSlash(rel)
		if strings.HasPrefix(key, prefix) && !strings.HasSuffix(key, ".lock") && !strings.HasSuffix(key, tempSuffix) {
			keys = append(keys, key)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list state: %w", err)
	}
	sort.Strings(keys)
	return keys, nil
}

// Lease takes the one right to run; holder says who wants it. Whoever has it already is
// named in the fault. The lease ends with release or with the process.
func (d *Dir) Lease(holder string) (release func(), err error) {
	if err := os.MkdirAll(d.root, 0o755); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	path := filepath.Join(d.root, "run.lock")
	lock := flock.New(path)
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	if !ok {
		by, err := os.ReadFile(path)
		if err != nil || len(by) == 0 {
			by = []byte("another process")
		}
		return nil, fault.New(fault.Config, "run.busy", "wait for it to end, or stop it", "a run is under way: %s", by)
	}
	if err := os.WriteFile(path, []byte(holder), 0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("lease: %w", err), lock.Unlock())
	}
	return func() { _ = lock.Unlock() }, nil
}

func (d *Dir) path(key string) string { return filepath.Join(d.root, filepath.FromSlash(key)) }

func versionOf(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:])
}

const tempSuffix = ".writing"

// writeWhole writes beside path and renames, so that a reader sees the old value or the new.
func writeWhole(path string, value []byte) error {
	f, err := os.Create(path + tempSuffix)
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	_, err = f.Write(value)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(path+tempSuffix, path)
	}
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}
