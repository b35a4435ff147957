package state

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestPutComparesVersions(t *testing.T) {
	ctx, d := t.Context(), New(t.TempDir()+"/state")
	if err := d.Put(ctx, "a/b", []byte("1"), ""); err != nil {
		t.Fatal(err)
	}
	if err := d.Put(ctx, "a/b", []byte("2"), ""); !errors.Is(err, ErrConflict) {
		t.Errorf("putting over an unseen value: %v, want a conflict", err)
	}
	value, version, err := d.Get("a/b")
	if err != nil || string(value) != "1" {
		t.Fatalf("Get = %q, %v", value, err)
	}
	if err := d.Put(ctx, "a/b", nil, version); err != nil {
		t.Fatal(err)
	}
	if value, version, err = d.Get("a/b"); value != nil || version != "" || err != nil {
		t.Errorf("after removal: %q %q %v", value, version, err)
	}
}

func TestPutLosesNoUpdate(t *testing.T) {
	ctx, d := t.Context(), New(t.TempDir())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				value, version, err := d.Get("n")
				if err != nil {
					t.Error(err)
					return
				}
				err = d.Put(ctx, "n", append(value, 'x'), version)
				if err == nil {
					return
				}
				if !errors.Is(err, ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if value, _, _ := d.Get("n"); len(value) != 8 {
		t.Errorf("8 writers left %q", value)
	}
}

func TestListLeavesOutLocks(t *testing.T) {
	ctx, d := t.Context(), New(t.TempDir())
	if keys, err := New(t.TempDir() + "/none").List(""); err != nil || keys != nil {
		t.Errorf("List of nothing = %v, %v", keys, err)
	}
	for _, k := range []string{"runs/2", "runs/1", "intent"} {
		if err := d.Put(ctx, k, []byte("v"), ""); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := d.List("runs/")
	if err != nil || !slices.Equal(keys, []string{"runs/1", "runs/2"}) {
		t.Errorf("List = %v, %v", keys, err)
	}
	if all, _ := d.List(""); len(all) != 3 {
		t.Errorf("List = %v, want 3 keys", all)
	}
}

func TestLeaseNamesItsHolder(t *testing.T) {
	d := New(t.TempDir())
	release, err := d.Lease("pid 7 on ship")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lease("pid 8"); err == nil || !strings.Contains(err.Error(), "pid 7 on ship") {
		t.Errorf("second lease: %v", err)
	}
	release()
	again, err := d.Lease("pid 8")
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	again()
}
