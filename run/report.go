package run

import (
	"fmt"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// Status is how a run or a table ended.
type Status string

// The ends of a table and of a run.
const (
	StatusPublished   Status = "published"   // readers see it
	StatusPartial     Status = "partial"     // a run: some tables were held back
	StatusHeldBack    Status = "held back"   // a table: yesterday's stays visible
	StatusFailed      Status = "failed"      // a run: nothing was published
	StatusInterrupted Status = "interrupted" // somebody stopped it; nothing was published
	StatusStale       Status = "stale"       // a table: gone at the source, kept as it was
)

// Report is what a run came to: the ledger's record and what the summary prints.
type Report struct {
	ID          string              `json:"id"`
	Version     string              `json:"version"`
	Started     time.Time           `json:"started"` // UTC
	Ended       time.Time           `json:"ended"`
	Config      string              `json:"config"`
	Source      string              `json:"source"`
	Destination string              `json:"destination"`
	Status      Status              `json:"status"`
	Only        []string            `json:"only,omitempty"` // the run was asked for these tables only; see [Request.Only]
	Guarantee   connector.Guarantee `json:"guarantee,omitempty"`
	Position    string              `json:"position,omitempty"`
	Restarts    int                 `json:"restarts,omitempty"` // views lost on the way
	Recovered   string              `json:"recovered,omitempty"`
	Resumed     bool                `json:"resumed,omitempty"` // it took up an interrupted run, whose record it replaces
	Died        *Report             `json:"died,omitempty"`    // the run before, whose process ended without a record; the ledger has it now
	Tables      []TableReport       `json:"tables,omitempty"`
	Notes       []string            `json:"notes,omitempty"`
	Error       *Failure            `json:"error,omitempty"`
}

// TableReport is one table's line.
type TableReport struct {
	Source     string              `json:"source"` // its Ref there
	Table      string              `json:"table"`  // its name at the destination
	Status     Status              `json:"status"`
	Partitions int                 `json:"partitions,omitempty"`
	Seconds    float64             `json:"seconds"` // from the first row read to the last
	Evidence   *connector.Evidence `json:"evidence,omitempty"`
	Changes    []string            `json:"changes,omitempty"`  // of its shape
	LeftOut    []string            `json:"left_out,omitempty"` // columns that look like credentials
	// Changed counts values that could not be kept, by column and what became of them.
	Changed map[string]map[string]int64 `json:"changed,omitempty"`
	Notes   []string                    `json:"notes,omitempty"`
	Error   *Failure                    `json:"error,omitempty"`
}

// Failure is a fault as data.
type Failure struct {
	Kind    fault.Kind `json:"kind"`
	Code    string     `json:"code"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
}

func failureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	f := fault.From(err)
	return &Failure{Kind: f.Kind, Code: f.Code, Message: err.Error(), Hint: f.Hint}
}

// Fault is why not everything was published, as the record tells it; nil where everything was. Its exit code is the run's.
func (r *Report) Fault() error {
	if r.Status == StatusPublished {
		return nil
	}
	f := r.Error
	for _, t := range r.Tables {
		if f == nil {
			f = t.Error
		}
	}
	if f == nil {
		f = &Failure{Kind: fault.Internal, Code: "run.ended", Message: "it left no reason"}
	}
	return fault.Told(f.Kind, f.Code, f.Hint, fmt.Sprintf("run %s ended as %s: %s", r.ID, r.Status, f.Message))
}

// bytes is how much came from the source for the published tables.
func (r *Report) bytes() (n int64) {
	for _, t := range r.Tables {
		if t.Status == StatusPublished && t.Evidence != nil {
			n += t.Evidence.Bytes
		}
	}
	return n
}

// Rows is how many rows the published tables hold.
func (r *Report) Rows() int64 {
	var n int64
	for _, t := range r.Tables {
		if t.Status == StatusPublished && t.Evidence != nil {
			n += t.Evidence.Rows
		}
	}
	return n
}
