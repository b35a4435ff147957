package files

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// There are two kinds of lock files: runs/<run>.lock, held by whoever stages the run, so that a
// commit can tell a run in progress from one whose process died; and .lock, held during a commit.
// They are released by the operating system when a process ends, however it ends. An object store has no locks: there a
// manifest is published under a condition, and what a run left is old before it is removed.

// holdRun keeps the run's folder from being cleaned up.
func (s *store) holdRun(run string) (unlock func(), err error) {
	if s.far != nil {
		return func() {}, nil
	}
	if err := os.MkdirAll(s.path(runsDir), 0o777); err != nil {
		return nil, err
	}
	l := flock.New(s.path(runDir(run) + ".lock"))
	if err := l.RLock(); err != nil {
		return nil, err
	}
	return func() {
		_ = l.Unlock()
		s.dead(runDir(run)) // the last one out removes the file
	}, nil
}

// dead says whether nobody holds the run in a folder, and removes its lock file then.
func (s *store) dead(dir string) bool {
	name := s.path(dir + ".lock")
	l := flock.New(name)
	ok, err := l.TryLock()
	if err != nil || !ok {
		return false
	}
	_ = os.Remove(name)
	_ = l.Unlock()
	return true
}

// locked are the folders of the runs that have lock files.
func (s *store) locked() []string {
	names, _ := filepath.Glob(s.path(runsDir + "/*.lock")) // the pattern is a good one
	for i, name := range names {
		names[i] = runsDir + "/" + strings.TrimSuffix(filepath.Base(name), ".lock")
	}
	return names
}

// lockCommit waits until no other process publishes here.
func (s *store) lockCommit() (unlock func(), err error) {
	if s.far != nil {
		return func() {}, nil
	}
	l := flock.New(s.path(".lock"))
	if err := l.Lock(); err != nil {
		return nil, err
	}
	return func() { _ = l.Unlock() }, nil
}
