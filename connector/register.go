package connector

import "context"

// Register keeps small values at a destination, each changed only by who knows it as it is. A run whose state is a folder, which no other machine
// sees, holds its lease there: whoever loads into the same place meets it. It is opened beside the [Destination], so that it
// answers while that one is busy, and reaches nothing before the first call.
//
// Its methods are called from one goroutine at a time, every ten seconds while a run lives. What they return as a fault is the destination's.
type Register interface {
	// Get returns the value under key, a line of text, and its version. Where there is none the value is empty; its version may be "" then
	// or not, and Put wants it.
	Get(ctx context.Context, key string) (value []byte, version string, err error)
	// Put stores value, at most 64 KiB of UTF-8, if the stored version still is version, and returns the new one; else it returns
	// [fault.ErrConflict] and changes nothing. An empty value is none. Two values never have the same version. What was
	// stored although its answer was lost is no conflict.
	Put(ctx context.Context, key string, value []byte, version string) (next string, err error)
	Close() error
}
