package connector

import (
	"context"
	"encoding/json"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/fault"
)

// Destination publishes tables. Each call may be repeated with the same arguments and
// then changes nothing more. Its methods are called from many goroutines.
type Destination interface {
	// PlanTable compares what is wanted with what is there. Plans and runs both use it;
	// it changes nothing.
	PlanTable(ctx context.Context, req PlanRequest) (*TablePlan, error)
	// Stage prepares a durable place for one table of one run. A new epoch discards the one before.
	Stage(ctx context.Context, req StageRequest) (Stage, error)
	// Write stores one task's rows, whose schema is the plan's. The same task again replaces its rows.
	// The receipt carries Task, Epoch, Rows, Bytes and Token; the caller adds the rest.
	Write(ctx context.Context, s Stage, task int, rows batch.Stream) (Receipt, error)
	// ReadStaged reads the staged rows back from the receipts' tasks, in the plan's schema and in any order:
	// what verification looks at. No columns means all.
	ReadStaged(ctx context.Context, s Stage, receipts []Receipt, columns []string) batch.Stream
	// Commit publishes in one transaction where it can, else table by table, and says
	// what became of each, in the order of the request.
	Commit(ctx context.Context, req CommitRequest) ([]Outcome, error)
	// Recover looks at an interrupted commit.
	Recover(ctx context.Context, req CommitRequest) (Recovery, error)
	// Abort removes what a stage left. It succeeds on nothing.
	Abort(ctx context.Context, s Stage) error
	Close() error
}

// Mode is how a run changes a table.
type Mode string

// The modes. Which ones a destination has beside Replace, its [Caps] say.
const (
	Replace   Mode = "replace"   // the table whole, in place of the one before
	Append    Mode = "append"    // the rows beside those that are there
	Merge     Mode = "merge"     // the rows in place of those with the same key, the rest beside
	Overwrite Mode = "overwrite" // the rows in place of the partitions they fall in
)

// PlanRequest asks what a table would become.
type PlanRequest struct {
	// Name is the table's name as the config wants it; the destination may change it and says so.
	Name    string
	Comment string
	// Schema is what arrives, with batch.Field's metadata.
	Schema *arrow.Schema
	Key    []string
	Mode   Mode
	// Cursor is the column, as in Schema, that the source's cursor follows, "" for none: of rows with the same key the one with the
	// greatest value is the latest.
	Cursor string
	Layout Layout
	// Full says that the table is to be verified in full: a destination that can then compares what it made of the rows before anybody sees them.
	Full bool
	// Rows and Bytes are the source's estimates of the table, -1 where it has none.
	Rows, Bytes int64
}

// Layout is how a destination that can is to arrange a table's rows; the zero value leaves it to the destination.
type Layout struct {
	// Partition is the column, as in Schema, that rows are divided by, and Unit the stretch of time that makes one
	// partition: hour, day, month or year. "" where rows are not divided.
	Partition string `json:"partition,omitempty"`
	Unit      string `json:"unit,omitempty"`
	// Cluster are the columns by which rows lie together within a partition.
	Cluster []string `json:"cluster,omitempty"`
	// ExpireDays is after how many days a partition goes away by itself; 0 leaves it to the destination, too.
	ExpireDays int `json:"expire_days,omitempty"`
}

// TablePlan is what a table will become.
type TablePlan struct {
	// Name is the table's name at the destination.
	Name    string       `json:"name"`
	Comment string       `json:"comment,omitempty"`
	Key     []string     `json:"key,omitempty"`    // as named there
	Cursor  string       `json:"cursor,omitempty"` // PlanRequest.Cursor as named there, where the destination looks at it
	Mode    Mode         `json:"mode"`
	Columns []ColumnPlan `json:"columns"` // in the order of the request's schema
	// Exists says whether the table is there already; Changes says what will be different about its
	// columns and its layout, one line each, empty for nothing.
	Exists  bool     `json:"exists"`
	Rows    int64    `json:"rows"` // there now, -1 when unknown
	Changes []string `json:"changes,omitempty"`
	Notes   []string `json:"notes,omitempty"`
	Layout  Layout   `json:"layout,omitzero"` // columns as named there
	// Cost is what publishing the table will be billed, nil where the destination bills nobody. A destination bills no
	// more than its plan said: what would cost more fails.
	Cost *Cost `json:"cost,omitempty"`
	// Verifying is how many of the bytes billed are for comparing the rows at the destination, 0 for none.
	Verifying int64 `json:"verifying,omitempty"`
	// Reached is the CommitTable.Reached of the latest commit to the published table, "" for none: from where a cursor
	// goes on. It stands with the rows, so that it can't be ahead of them.
	Reached string `json:"reached,omitempty"`
}

// ColumnPlan is what a column will become.
type ColumnPlan struct {
	// From is the column's name in the request, Name the one there.
	From string `json:"from"`
	Name string `json:"name"`
	// Type is the Arrow type Write receives and ReadStaged returns. It differs from the
	// request's where the destination can't hold that one; batch.Convert then makes the stand-in.
	Type Type   `json:"type"`
	Kind string `json:"kind,omitempty"`
	// Native is the type in the destination's own words, Source the one in the source's.
	Native   string `json:"native"`
	Source   string `json:"source,omitempty"`
	Nullable bool   `json:"nullable"`
	Comment  string `json:"comment,omitempty"`
	// Note says what a reader should know about the stand-in.
	Note string `json:"note,omitempty"`
}

// Schema is the Arrow schema of the planned table.
func (p *TablePlan) Schema() *arrow.Schema {
	fields := make([]arrow.Field, len(p.Columns))
	for i, c := range p.Columns {
		fields[i] = batch.Field(c.Name, c.Type.DataType, c.Nullable, c.Kind, c.Native, c.Comment)
	}
	return arrow.NewSchema(fields, nil)
}

// StageRequest asks for a place for one table of one run. Written as JSON it is a Stage too, for a destination that
// finds the place by nothing else.
type StageRequest struct {
	Run   string    `json:"run"`
	Epoch int       `json:"epoch"`
	Plan  TablePlan `json:"plan"`
	// Shared says that processes on several machines write into the stage, and that one of them, or another one, commits
	// it: what Write has acknowledged must be within reach of all. Only where [Caps.Shared].
	Shared bool `json:"shared,omitempty"`
}

// ParseStage is the request that a Stage is, where the destination's stages are the requests themselves.
func ParseStage(s Stage) (StageRequest, error) {
	var req StageRequest
	if err := json.Unmarshal(s, &req); err != nil || req.Run == "" {
		return req, fault.New(fault.Internal, "connector.stage", "", "not a stage of this destination: %s", s)
	}
	return req, nil
}

// Receipt is proof of one task's rows in a stage.
type Receipt struct {
	Task  int   `json:"task"`
	Epoch int   `json:"epoch"`
	Rows  int64 `json:"rows"`
	// Bytes is the size as stored, 0 where it is not known per task.
	Bytes int64 `json:"bytes"`
	// Digest sums up the values as handed to Write; the run fills it in and reads it back.
	Digest json.RawMessage `json:"digest,omitempty"`
	Read   ReadResult      `json:"read"`
	Token  json.RawMessage `json:"token,omitempty"` // the destination's own
}

// CommitRequest publishes the staged tables of one run.
type CommitRequest struct {
	Run    RunRecord
	Tables []CommitTable
}

// CommitTable is one staged, verified table.
type CommitTable struct {
	Stage    Stage
	Plan     TablePlan
	Receipts []Receipt
	// Evidence goes into the destination's own metadata with the rows.
	Evidence Evidence
	// Reached is where the source's cursor stands once these rows are published ([ScannedTable.Reached]); the
	// destination keeps it with the rows and shows it as TablePlan.Reached. "" for a table without a cursor.
	Reached string
}

// RunRecord is the line a run leaves in a destination's metadata.
type RunRecord struct {
	ID      string    `json:"id"`
	Started time.Time `json:"started"` // UTC
	Version string    `json:"version"` // of kitamae
	Source  string    `json:"source"`  // connector and place, without secrets
	// Stale are tables published before that vanished at the source, kept as they are.
	Stale []string `json:"stale,omitempty"`
}

// Evidence is why a table may be believed. It stands in the report, the ledger and the destination's metadata.
type Evidence struct {
	Run    string `json:"run"`
	Table  string `json:"table"`  // there
	Source string `json:"source"` // the source table's Ref
	Rows   int64  `json:"rows"`
	// Bytes is how much came from the source.
	Bytes int64 `json:"bytes"`
	// SourceRows is the source's own count, -1 where it can't count.
	SourceRows int64     `json:"source_rows"`
	Guarantee  Guarantee `json:"guarantee"`
	Position   string    `json:"position,omitempty"`
	ReadFrom   time.Time `json:"read_from"` // UTC
	ReadTo     time.Time `json:"read_to"`
	// Level is what was compared: "none", "aggregates" or "full".
	Level string `json:"level"`
	// Sampled is how many rows were compared with a second reading.
	Sampled int      `json:"sampled"`
	Notes   []string `json:"notes,omitempty"`
}

// Outcome is what became of one table's commit.
type Outcome struct {
	Published bool   `json:"published"`
	Why       string `json:"why,omitempty"` // not published
	// Notes say, for the report, what a reader should know of how it came there.
	Notes []string `json:"notes,omitempty"`
}

// Recovery says what an interrupted commit came to.
type Recovery string

// The recoveries.
const (
	Done        Recovery = "done"         // it was published
	CommitAgain Recovery = "commit again" // the stages are whole: Commit with the same request
	ReadAgain   Recovery = "read again"   // the stages are gone, and so is the commit: a process that was only asleep in it publishes nothing any more
)

// Warehouse is a destination that answers SQL.
type Warehouse interface {
	// Query runs one read-only statement over what is published. It returns at most
	// q.Rows rows and says whether there were more.
	Query(ctx context.Context, q Query) (*Result, error)
}

// Query is a read-only question with limits.
type Query struct {
	SQL  string
	Rows int // 0 means no limit
	// MaxCost is how much it may be billed: what would cost more fails (fault "query.cost"). 0 means no limit.
	MaxCost conf.Money
}

// Result is a query's answer. The schema is there even without rows. Close it.
type Result struct {
	Schema *arrow.Schema
	Rows   batch.Stream
	More   func() bool // after Rows has ended: Query.Rows cut it off
	Close  func() error
}
