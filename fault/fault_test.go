package fault

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestExitCodes(t *testing.T) {
	plain := errors.New("plain")
	for _, tc := range []struct {
		name string
		err  error
		want int
	}{
		{"nothing", nil, 0},
		{"unclassified", plain, 1},
		{"config", New(Config, "a.b", "", "x"), 2},
		{"source", fmt.Errorf("around: %w", New(Source, "a.b", "", "x")), 3},
		{"destination", Wrap(Destination, "a.b", "", plain), 4},
		{"verification", errors.Join(New(Verification, "a.b", "", "x"), plain), 5},
		{"interrupted", New(Interrupted, "a.b", "", "x"), 6},
		{"cancelled context", fmt.Errorf("around: %w", context.Canceled), 6},
		{"the outermost counts", Wrap(Destination, "a.b", "", New(Source, "c.d", "", "x")), 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := ExitCode(tc.err); got != tc.want {
				t.Errorf("ExitCode(%v) = %d, want %d", tc.err, got, tc.want)
			}
		})
	}
}

func TestHasCodeLooksThroughTheChain(t *testing.T) {
	err := fmt.Errorf("around: %w", Wrap(Source, "outer.code", "", fmt.Errorf("between: %w", New(Source, "inner.code", "", "x"))))
	for code, want := range map[string]bool{"outer.code": true, "inner.code": true, "other.code": false} {
		if got := HasCode(err, code); got != want {
			t.Errorf("HasCode(%s) = %v, want %v", code, got, want)
		}
	}
}

func TestWrapAndAgainKeepNil(t *testing.T) {
	if err := Again(Wrap(Source, "a.b", "", nil)); err != nil {
		t.Errorf("Again(Wrap(nil)) = %v", err)
	}
	if err := Again(Wrap(Source, "a.b", "", errors.New("x"))); !Retryable(fmt.Errorf("around: %w", err)) {
		t.Error("not retryable after Again")
	}
}
