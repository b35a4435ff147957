package sqlkit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kitamae/kitamae/fault"
)

// Tiling follows ranges of a key that are meant to lie side by side, and finds out the first that leaves something out or
// takes something twice. What lies between two ranges no count of either would miss. A bound is a list of literals, the
// first in a range and the first behind it; none is open-ended.
type Tiling struct {
	at    []string // where the next range has to begin
	ended bool     // the last one was open-ended
}

// NewTiling expects the first range to begin at lo.
func NewTiling(lo []string) *Tiling { return &Tiling{at: lo} }

// Add takes the next range.
func (t *Tiling) Add(lo, hi []string) error {
	if t.ended || !slices.Equal(t.at, lo) {
		return gap("one begins at", lo, t.at)
	}
	t.at, t.ended = hi, len(hi) == 0
	return nil
}

// End says whether the last range ended at hi.
func (t *Tiling) End(hi []string) error {
	if t.ended != (len(hi) == 0) || !slices.Equal(t.at, hi) {
		return gap("the last ends at", t.at, hi)
	}
	return nil
}

func gap(which string, is, want []string) error {
	return fault.New(fault.Verification, "verify.ranges", "run again; if it stays, report it with the run's ID",
		"the ranges the table is read in do not lie side by side: %s %s instead of %s", which, bound(is), bound(want))
}

func bound(literals []string) string {
	if len(literals) == 0 {
		return "no bound"
	}
	return fmt.Sprintf("(%s)", strings.Join(literals, ", "))
}
