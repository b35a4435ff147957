// Package statetest is the suite every store of package state passes.
package statetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/state"
)

// Run holds a store to the contract of [state.Store]. open opens the same, initially empty store each time, as another
// process would.
func Run(t *testing.T, open func(t *testing.T) state.Store) {
	for _, tc := range []struct {
		name string
		test func(*testing.T, state.Store, func(*testing.T) state.Store)
	}{
		{"versions", versions}, {"removal", removal}, {"writers", writers}, {"list", list}, {"keys", keys}, {"lease", lease}, {"rights", rights}, {"forget", forget}, {"canceled", canceled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := opened(t, open)
			tc.test(t, s, open)
			clear(t, s)
		})
	}
}

func opened(t *testing.T, open func(*testing.T) state.Store) state.Store {
	t.Helper()
	s := open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// clear leaves the store to the next test as it was.
func clear(t *testing.T, s state.Store) {
	t.Helper()
	all, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range all {
		_, version, err := s.Get(t.Context(), key)
		if err == nil {
			_, err = s.Put(t.Context(), key, nil, version)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func put(t *testing.T, s state.Store, key, value, version string) string {
	t.Helper()
	next, err := s.Put(t.Context(), key, []byte(value), version)
	if err != nil {
		t.Fatalf("Put %s: %v", key, err)
	}
	return next
}

func wantValue(t *testing.T, s state.Store, key, want, wantVersion string) {
	t.Helper()
	value, version, err := s.Get(t.Context(), key)
	if err != nil || string(value) != want || version != wantVersion {
		t.Errorf("Get %s = %q, %q, %v; want %q, %q", key, value, version, err, want, wantVersion)
	}
}

func wantConflict(t *testing.T, s state.Store, key, value, version, what string) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, []byte(value), version); !errors.Is(err, state.ErrConflict) {
		t.Errorf("%s: %v, want a conflict", what, err)
	}
}

func versions(t *testing.T, s state.Store, open func(*testing.T) state.Store) {
	wantValue(t, s, "a/b", "", "")
	v1 := put(t, s, "a/b", "1", "")
	wantValue(t, s, "a/b", "1", v1)
	wantConflict(t, s, "a/b", "2", "", "putting over a value nobody looked at")
	wantConflict(t, s, "none", "2", v1, "putting over a value that is not there")
	v2 := put(t, s, "a/b", "2", v1)
	if v1 == v2 {
		t.Errorf("two values have one version %q", v1)
	}
	wantConflict(t, s, "a/b", "3", v1, "putting over an older version")
	wantValue(t, opened(t, open), "a/b", "2", v2)
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	v3 := put(t, s, "a/b", string(big), v2)
	wantValue(t, s, "a/b", string(big), v3)
}

func removal(t *testing.T, s state.Store, _ func(*testing.T) state.Store) {
	v := put(t, s, "k", "1", "")
	wantConflict(t, s, "k", "", "", "removing a value nobody looked at")
	next := put(t, s, "k", "", v)
	wantValue(t, s, "k", "", next)
	if next != "" {
		t.Errorf("a removed key has version %q", next)
	}
	put(t, s, "k", "", "")
	wantConflict(t, s, "k", "2", v, "putting over a removed value")
	if keys, err := s.List(t.Context(), ""); err != nil || len(keys) > 0 {
		t.Errorf("List after removal = %v, %v", keys, err)
	}
	v = put(t, s, "k", "1", "")
	wantValue(t, s, "k", "1", v)
}

// writers proves that no update is lost.
func writers(t *testing.T, _ state.Store, open func(*testing.T) state.Store) {
	const n = 6
	var wg sync.WaitGroup
	for range n {
		s := opened(t, open)
		wg.Go(func() {
			for {
				value, version, err := s.Get(t.Context(), "n")
				if err == nil {
					_, err = s.Put(t.Context(), "n", append(slices.Clone(value), 'x'), version)
				}
				if err == nil {
					return
				}
				if !errors.Is(err, state.ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	value, _, err := opened(t, open).Get(t.Context(), "n")
	if want := strings.Repeat("x", n); err != nil || string(value) != want {
		t.Errorf("%d writers left %q, %v", n, value, err)
	}
}

func list(t *testing.T, s state.Store, _ func(*testing.T) state.Store) {
	if keys, err := s.List(t.Context(), ""); err != nil || len(keys) > 0 {
		t.Errorf("List of nothing = %v, %v", keys, err)
	}
	for _, k := range []string{"runs/2", "runs/10", "runs/1", "commit.json"} {
		put(t, s, k, "v", "")
	}
	l, err := s.Lease(t.Context(), "the lister")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	for prefix, want := range map[string][]string{
		"":       {"commit.json", "runs/1", "runs/10", "runs/2"},
		"runs/":  {"runs/1", "runs/10", "runs/2"},
		"runs/1": {"runs/1", "runs/10"},
		"x":      nil,
	} {
		if keys, err := s.List(t.Context(), prefix); err != nil || !slices.Equal(keys, want) {
			t.Errorf("List(%q) = %v, %v; want %v", prefix, keys, err, want)
		}
	}
}

func keys(t *testing.T, s state.Store, _ func(*testing.T) state.Store) {
	for _, k := range []string{"表/学習 記録.json", "a b+c%20", strings.Repeat("long/", 30) + "key"} {
		v := put(t, s, k, "v "+k, "")
		wantValue(t, s, k, "v "+k, v)
		if keys, err := s.List(t.Context(), k); err != nil || !slices.Equal(keys, []string{k}) {
			t.Errorf("List(%q) = %v, %v", k, keys, err)
		}
	}
}

func lease(t *testing.T, s state.Store, open func(*testing.T) state.Store) {
	first, err := s.Lease(t.Context(), "run 1 on ship")
	if err != nil {
		t.Fatal(err)
	}
	guarded, stop := first.Guard(t.Context())
	defer stop()
	_, err = opened(t, open).Lease(t.Context(), "run 2")
	if !fault.HasCode(err, "run.busy") || !strings.Contains(err.Error(), "run 1 on ship") {
		t.Errorf("a second lease: %v; want run.busy and the holder's name", err)
	}
	if err := first.Check(t.Context()); err != nil {
		t.Errorf("Check by the holder: %v", err)
	}
	if guarded.Err() != nil {
		t.Errorf("the guarded context ended: %v", context.Cause(guarded))
	}
	first.Release()
	first.Release()
	again, err := opened(t, open).Lease(t.Context(), "run 3")
	if err != nil {
		t.Fatalf("a lease after release: %v", err)
	}
	again.Release()
}

func canceled(t *testing.T, s state.Store, _ func(*testing.T) state.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	l, err := s.Lease(ctx, "run 1")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	l.Release() // also after the run's context is over
	if l, err = s.Lease(t.Context(), "run 2"); err != nil {
		t.Fatalf("a lease after an interrupted run's: %v", err)
	}
	l.Release()
}

// rights: one holder of one right does not stand in the way of another right.
func rights(t *testing.T, s state.Store, open func(*testing.T) state.Store) {
	first, err := s.LeaseOf(t.Context(), "shards/a/0", "shard 0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Release()
	other := opened(t, open)
	for _, what := range []string{"shards/a/1", "shards/b/0"} {
		l, err := other.LeaseOf(t.Context(), what, "somebody else")
		if err != nil {
			t.Fatalf("%s, while shards/a/0 is held: %v", what, err)
		}
		l.Release()
	}
	if _, err := other.LeaseOf(t.Context(), "shards/a/0", "its twin"); !fault.HasCode(err, "run.busy") || !strings.Contains(err.Error(), "shard 0") {
		t.Errorf("shards/a/0 for a second holder: %v, want run.busy that names the first", err)
	}
	if all, err := s.List(t.Context(), "shards/"); err != nil || len(all) > 0 {
		t.Errorf("List shows leases: %v, %v", all, err)
	}
	first.Release()
	again, err := other.LeaseOf(t.Context(), "shards/a/0", "its twin")
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	again.Release()
}

// forget: what starts with the prefix goes, and nothing else.
func forget(t *testing.T, s state.Store, _ func(*testing.T) state.Store) {
	for _, key := range []string{"shards/a/1", "shards/a/x/2", "shards/ab/1", "shards.json"} {
		if _, err := s.Put(t.Context(), key, []byte("v"), ""); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := s.Forget(t.Context(), "shards/a/"); err != nil {
			t.Fatal(err)
		}
		if all, err := s.List(t.Context(), ""); err != nil || !slices.Equal(all, []string{"shards.json", "shards/ab/1"}) {
			t.Errorf("left are %v, %v", all, err)
		}
	}
	if _, err := s.Put(t.Context(), "shards/a/1", []byte("new"), ""); err != nil {
		t.Errorf("a forgotten key is written anew: %v", err)
	}
}
