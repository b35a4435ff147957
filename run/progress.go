package run

import (
	"encoding/json"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
)

// progress is how a table that keeps its rows was added to, and how far. It stands in the destination with the rows, as
// CommitTable.Reached: "" there means that the table was published whole.
type progress struct {
	// By is "cursor", "where" or "snapshot".
	By     string `json:"by"`
	Cursor string `json:"cursor,omitempty"`
	// At is the source's ScannedTable.Reached.
	At string `json:"at,omitempty"`
}

// progressOf is how the settings add rows; the zero value where each run brings the table whole.
func progressOf(s job.Settings) progress {
	switch {
	case s.Cursor != "":
		return progress{By: "cursor", Cursor: s.Cursor}
	case s.Mode != connector.Append:
		return progress{}
	case s.Append == job.Snapshot:
		return progress{By: job.Snapshot}
	}
	return progress{By: "where"}
}

func (p progress) String() string {
	switch p.By {
	case "":
		return "whole"
	case "cursor":
		return "by cursor " + p.Cursor
	}
	return "by " + p.By
}

// text is what the destination keeps.
func (p progress) text() string {
	if p.By == "" {
		return ""
	}
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // three texts always encode
	}
	return string(text)
}

// follow continues from where the table at the destination stands. whole says that it has to be published whole first: it was until now,
// and all its rows would come again.
func (t *PlannedTable) follow(want progress) (whole bool, err error) {
	t.progress = want
	if want.By == "" || !t.Target.Exists {
		return false, nil
	}
	var was progress
	if t.Target.Reached != "" {
		if err := json.Unmarshal([]byte(t.Target.Reached), &was); err != nil {
			return false, fault.Wrap(fault.Destination, "append.reached", "publish the table anew with mode: replace",
				fmt.Errorf("where the cursor of %s stands is not to be read: %w", t.Target.Name, err))
		}
	}
	switch {
	case was.By == want.By && was.Cursor == want.Cursor:
		t.Scan.After = was.At
		return false, nil
	case was.By == "" && t.Target.Mode == connector.Merge:
		return false, nil
	case was.By == "" && want.By == "cursor":
		t.Notes = append(t.Notes, "was published whole before, and is so once more; the runs after this one add rows")
		return true, nil
	case was.By == "" && want.By == job.Snapshot:
		t.Notes = append(t.Notes, "was published whole before: its rows stay, without a "+job.RunColumn)
		return false, nil
	}
	return false, fault.New(fault.Config, "append.changed",
		"set it back, or publish the table anew: mode: replace for one run, or another name",
		"table %s was written %s until now, and is to be added to %s: rows would be missing or be there twice", t.Target.Name, was, want)
}

// reached is what a commit of the table keeps.
func (t *moving) reached() string {
	p := t.plan.progress
	p.At = t.scanned.Reached
	return p.text()
}

// snapshotFields are the columns by which the rows of runs are told apart.
func snapshotFields() []arrow.Field {
	return []arrow.Field{
		batch.Field(job.RunColumn, arrow.BinaryTypes.String, true, "", "", "the run that read the row"),
		batch.Field(job.ReadAtColumn, &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, true, "", "", "when that run began, UTC"),
	}
}

// arriving is the stream as the destination's columns expect it: of a snapshot, with the run's own columns.
func (t *moving) arriving(in batch.Stream) batch.Stream {
	if t.plan.progress.By != job.Snapshot {
		return in
	}
	return func(yield func(arrow.RecordBatch, error) bool) {
		for rec, err := range in {
			if err != nil {
				yield(nil, err)
				return
			}
			out := t.stamped(rec)
			more := yield(out, nil)
			out.Release()
			if !more {
				return
			}
		}
	}
}

// stamped is rec with the columns of the run.
func (t *moving) stamped(rec arrow.RecordBatch) arrow.RecordBatch {
	n := int(rec.NumRows())
	ids := array.NewStringBuilder(memory.DefaultAllocator)
	defer ids.Release()
	times := array.NewTimestampBuilder(memory.DefaultAllocator, snapshotFields()[1].Type.(*arrow.TimestampType))
	defer times.Release()
	ids.Reserve(n)
	times.Reserve(n)
	at := arrow.Timestamp(t.began.UnixMicro())
	for range n {
		ids.Append(t.evident.Run)
		times.Append(at)
	}
	run, when := ids.NewArray(), times.NewArray()
	defer run.Release()
	defer when.Release()
	cols := append(append([]arrow.Array{}, rec.Columns()...), run, when)
	return array.NewRecordBatch(arrow.NewSchema(append(rec.Schema().Fields(), snapshotFields()...), nil), cols, rec.NumRows())
}
