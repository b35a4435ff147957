package run

import "time"

// EventKind says what an [Event] tells.
type EventKind string

// What a run tells while it lives.
const (
	Opened    EventKind = "opened"    // both ends are reached; Plan has their names only
	Planned   EventKind = "planned"   // Tables says what will move
	Scanned   EventKind = "scanned"   // the view stands; Guarantee, Tables with partitions
	Moved     EventKind = "moved"     // Rows and Bytes more of Table were written; negative when a partition starts over
	Read      EventKind = "read"      // Table is wholly read
	Verified  EventKind = "verified"  // Table is verified
	HeldBack  EventKind = "held back" // Table will not be published; Err says why
	Retrying  EventKind = "retrying"  // a partition of Table is tried again; Err says why
	Restarted EventKind = "restarted" // the unfinished tables start over under a new view
	Published EventKind = "published" // readers see the new tables
)

// Event is one thing that happened. Tables counts from 0 in the plan's order.
type Event struct {
	Time  time.Time
	Kind  EventKind
	Table int
	Rows  int64
	Bytes int64
	Err   error
	// Plan comes with Opened, Planned and Scanned.
	Plan *Plan
	// Guarantee comes with Scanned.
	Guarantee string
}
