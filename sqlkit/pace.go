package sqlkit

import (
	"sync"
	"time"
)

// A short statement is meant to take about aim: long enough that its round trips don't count, short enough that
// neither a purge nor an ALTER TABLE waits for it.
const aim = 2 * time.Second

// The bounds of one short statement, in rows.
const (
	leastRows = 200
	mostRows  = 1_000_000
)

// firstBytes is about how much the first statement of a table reads.
const firstBytes = 8 << 20

// Pace chooses how many rows of a table the next short statement reads, so that one takes 1 to 3 seconds. It is
// safe for many goroutines.
type Pace struct {
	mu   sync.Mutex
	rows int64
}

// NewPace begins with what the catalog says a row takes, 0 for unknown.
func NewPace(rowBytes int64) *Pace {
	return &Pace{rows: min(max(firstBytes/max(rowBytes, 100), leastRows), mostRows)}
}

// Rows is how many the next statement is to read.
func (p *Pace) Rows() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rows
}

// Took learns from a statement for asked rows. It grows at most twofold, and shrinks as far as it must.
func (p *Pace) Took(asked int64, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fits := mostRows
	if d > 0 {
		fits = int(min(float64(asked)*float64(aim)/float64(d), mostRows))
	}
	p.rows = min(max(min(int64(fits), 2*p.rows), leastRows), mostRows)
}
