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
	Waiting   EventKind = "waiting"   // reading waits on purpose; Why says for what, "" that it goes on
	Blocked   EventKind = "blocked"   // an end waits for a program that holds it; Why says which, "" that it goes on
	Published EventKind = "published" // readers see the new tables
)

// Event is one thing that happened. Table counts from 0 in the plan's order; it is -1 where what is tried again is of no table.
type Event struct {
	Time  time.Time
	Kind  EventKind
	Table int
	Rows  int64
	Bytes int64
	Err   error
	// Why comes with Waiting and Blocked.
	Why string
	// Plan comes with Opened, Planned and Scanned.
	Plan *Plan
	// Guarantee comes with Scanned.
	Guarantee string
}
