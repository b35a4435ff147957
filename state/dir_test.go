package state_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/state"
	"github.com/kitamae/kitamae/state/statetest"
)

func TestDir(t *testing.T) {
	root := filepath.Join(t.TempDir(), "made when needed")
	statetest.Run(t, func(*testing.T) state.Store { return state.New(root) })
}

// TestDirLockTakenAway: somebody who removes the folder lets a second run in; the first must notice.
func TestDirLockTakenAway(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	first, err := state.New(root).Lease(t.Context(), "run 1")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Release()
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	second, err := state.New(root).Lease(t.Context(), "run 2")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Release()
	if err := first.Check(t.Context()); !fault.HasCode(err, "run.lease_lost") {
		t.Errorf("Check by the first holder: %v, want run.lease_lost", err)
	}
}
