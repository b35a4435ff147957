// Package fault is the one error a person can act on: whose turn it is, a stable
// code, what happened and one thing to do. How it is printed is the command line's.
package fault

import (
	"context"
	"errors"
	"fmt"
)

// Kind says who can fix a fault. It decides the exit code.
type Kind string

// The kinds, and the exit code each one becomes (see [ExitCode]).
const (
	Config       Kind = "config"       // the person who wrote kitamae.yml or the command line: exit 2
	Source       Kind = "source"       // whoever runs the source: exit 3
	Destination  Kind = "destination"  // whoever runs the destination: exit 4
	Verification Kind = "verification" // data arrived other than it was read: exit 5
	Interrupted  Kind = "interrupted"  // somebody stopped the run: exit 6
	Internal     Kind = "internal"     // us: exit 1
)

// ErrConflict says that a value changed since its version was read, so that what was to be written over it was not: read it again.
var ErrConflict = errors.New("changed by somebody else meanwhile")

// Error is a fault. Make one with [New] or [Wrap].
type Error struct {
	Kind  Kind
	Code  string // stable and documented, as in "mysql.auth"
	Hint  string // one thing to do; "" where there is nothing to suggest
	Retry bool   // the same call may succeed later: the engine tries again
	err   error
}

// New makes a fault from a message.
func New(kind Kind, code, hint, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Hint: hint, err: fmt.Errorf(format, args...)}
}

// Wrap gives err a kind, a code and a hint. It returns nil for nil.
func Wrap(kind Kind, code, hint string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: kind, Code: code, Hint: hint, err: err}
}

// Told makes a fault again that another process wrote down.
func Told(kind Kind, code, hint, message string) *Error {
	return &Error{Kind: kind, Code: code, Hint: hint, err: errors.New(message)}
}

// For returns err, which must be a fault, as one of another kind with another hint: what code that serves both ends
// says of a server is about the end that asked.
func For(err error, kind Kind, hint string) error {
	f := From(err)
	return &Error{Kind: kind, Code: f.Code, Hint: hint, Retry: f.Retry, err: err}
}

// Again marks the fault as one the engine may retry from the partition's start.
func (e *Error) Again() *Error {
	e.Retry = true
	return e
}

// Again is [Error.Again] for a fault that [Wrap] made. It returns nil for nil.
func Again(err error) error {
	var f *Error
	if errors.As(err, &f) {
		f.Retry = true
	}
	return err
}

func (e *Error) Error() string { return e.err.Error() }

// Unwrap makes errors.Is and errors.As see what the fault wraps.
func (e *Error) Unwrap() error { return e.err }

// From finds the outermost fault in err's chain; an interrupted context is one too,
// and anything else is Internal.
func From(err error) *Error {
	var f *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &f):
		return f
	case errors.Is(err, context.Canceled):
		return &Error{Kind: Interrupted, Code: "run.interrupted", err: err}
	}
	return &Error{Kind: Internal, Code: "internal", err: err}
}

// Retryable says whether the engine may repeat what returned err.
func Retryable(err error) bool {
	var f *Error
	return errors.As(err, &f) && f.Retry
}

// HasCode says whether any fault in err's chain carries code.
func HasCode(err error, code string) bool {
	for err != nil {
		var f *Error
		if !errors.As(err, &f) {
			return false
		}
		if f.Code == code {
			return true
		}
		err = f.err
	}
	return false
}

// ExitCode is the process's exit code for err: 0 for nil, else by kind.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	switch From(err).Kind {
	case Config:
		return 2
	case Source:
		return 3
	case Destination:
		return 4
	case Verification:
		return 5
	case Interrupted:
		return 6
	}
	return 1
}
