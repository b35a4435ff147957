package state

import (
	"bytes"
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
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

var _ Store = (*Dir)(nil)

// Dir keeps each value in a file of its own below a folder. Writers in other processes
// are kept apart by a lock file.
type Dir struct{ root string }

// New uses root, which is made when the first value is put.
func New(root string) *Dir { return &Dir{root: root} }

// Get implements [Store]. A version is the value's hash.
func (d *Dir) Get(_ context.Context, key string) (value []byte, version string, err error) {
	value, err = os.ReadFile(d.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("read state: %w", err)
	}
	return value, versionOf(value), nil
}

// Put implements [Store].
func (d *Dir) Put(ctx context.Context, key string, value []byte, version string) (next string, err error) {
	if err := os.MkdirAll(filepath.Dir(d.path(key)), 0o755); err != nil {
		return "", fmt.Errorf("make state folder: %w", err)
	}
	lock := flock.New(filepath.Join(d.root, "state.lock"))
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return "", fmt.Errorf("lock state: %w", err)
	}
	defer lock.Unlock() //nolint:errcheck // closing the file is what unlocks it
	_, now, err := d.Get(ctx, key)
	if err != nil {
		return "", err
	}
	if now != version {
		return "", fmt.Errorf("%s: %w", key, ErrConflict)
	}
	if len(value) == 0 {
		if err := os.Remove(d.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("remove state: %w", err)
		}
		return "", nil
	}
	return versionOf(value), writeWhole(d.path(key), value)
}

// List implements [Store].
func (d *Dir) List(_ context.Context, prefix string) ([]string, error) {
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

// Forget implements [Store].
func (d *Dir) Forget(ctx context.Context, prefix string) error {
	keys, err := d.List(ctx, prefix)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := os.Remove(d.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget state: %w", err)
		}
	}
	return nil
}

// Lease implements [Store].
func (d *Dir) Lease(ctx context.Context, holder string) (*Lease, error) {
	return d.LeaseOf(ctx, theRun, holder)
}

// LeaseOf implements [Store] by a file lock: the operating system lets it go when the process ends, however it ends,
// and keeps it while the process sleeps. It holds as far as the file system's locks do. The file stays.
func (d *Dir) LeaseOf(_ context.Context, what, holder string) (*Lease, error) {
	path := d.path(what + ".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
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
		return nil, busy(string(by))
	}
	if err := os.WriteFile(path, []byte(holder), 0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("lease: %w", err), lock.Unlock())
	}
	check := func(context.Context) error {
		mine, err := lock.Stat()
		if err != nil {
			return fmt.Errorf("lease: %w", err)
		}
		there, err := os.Stat(path)
		if err != nil || !os.SameFile(mine, there) {
			return lost(fmt.Sprintf("the lock file %s was taken away", path))
		}
		return nil
	}
	return &Lease{lost: context.Background(), check: check, release: func() { _ = lock.Unlock() }, seat: seatOf(lock)}, nil
}

// seatOf names a lock's file among all that there are: by the kernel that runs, as Linux says it, and the file's number. "" elsewhere.
func seatOf(lock *flock.Flock) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	info, statErr := lock.Stat()
	if err != nil || statErr != nil {
		return ""
	}
	file, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s %d %d", bytes.TrimSpace(boot), file.Dev, file.Ino)
}

// Close implements [Store].
func (d *Dir) Close() error { return nil }

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
