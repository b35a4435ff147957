package connector

import "context"

// Check is one link between kitamae and a system, tried by itself.
type Check struct {
	// Link names what was tried: "login", "grants", "bucket".
	Link string
	// Found says what was found, for people, where the link holds: "as etl, MariaDB 10.11.14".
	Found string
	// Fault is why it does not hold, with the fix as its hint; nil where it does.
	Fault error
	// Advice says that a run goes through all the same, only slower, weaker or with rights it does not need.
	Advice bool
}

// Checker is an end that tries its links one by one, the ones that others rest on first. What it writes it removes.
type Checker interface {
	Check(ctx context.Context) []Check
}

// Prover is an end whose system nothing imitates fully. It tries there, in a place of its own that it makes and removes, what a run
// relies on and only the real system can show.
type Prover interface {
	Prove(ctx context.Context) []Check
}
