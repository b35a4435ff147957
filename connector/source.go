package connector

import (
	"context"
	"encoding/json"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/conf"
)

// Source reads from one system. It stays open from Scan to the last Read, and holds the
// connections of the scan's snapshot. Its methods are called from many goroutines.
type Source interface {
	// Discover lists what can be read: columns, keys, comments, estimated rows and bytes.
	// It may sample where types must be learnt (SQLite).
	Discover(ctx context.Context) ([]Table, error)
	// Scan fixes a view over the asked tables and divides each into partitions. A second
	// Scan (after a lost snapshot) lets go of the first one's view.
	Scan(ctx context.Context, req ScanRequest) (*Scan, error)
	// Read opens one partition of the latest Scan. Called again after a failure it starts
	// over from the partition's first row.
	Read(ctx context.Context, p Partition) (*Reading, error)
	// Close lets go of every connection. It is called once, after the last Read.
	Close() error
}

// Counter is a Source that counts a table's rows independently of reading them, in the
// same view as the latest Scan: what verification compares against.
type Counter interface {
	Count(ctx context.Context, table TableScan) (int64, error)
}

// Sampler is a Source that reads some rows a second way, in the same view as the latest
// Scan: in text form through a stock driver, parsed by the standard library and never by
// Read's own decoders. Half of them straddle partition boundaries where there are
// any. Verification looks each up among the staged rows.
type Sampler interface {
	// Sample returns at most n rows in the schema of the scanned table. The caller releases them.
	Sample(ctx context.Context, table TableScan, n int) (arrow.RecordBatch, error)
}

// Table is one table as Discover found it.
type Table struct {
	// Schema is the namespace beside the source's default one, else "".
	Schema string `json:"schema,omitempty"`
	Name   string `json:"name"`
	// Comment is the table's comment at the source.
	Comment string   `json:"comment,omitempty"`
	Columns []Column `json:"columns"` // may be none, in PostgreSQL
	// Key is the primary key's columns, or those of a unique index over columns that
	// are never null; empty where there is neither.
	Key []string `json:"key,omitempty"`
	// Rows and Bytes are the source's estimates, -1 where it has none.
	Rows  int64 `json:"rows"`
	Bytes int64 `json:"bytes"`
	// View says that the table is a view: read whole, in one partition.
	View  bool     `json:"view,omitempty"`
	Notes []string `json:"notes,omitempty"`
}

// Ref is how a config names the table: name, or schema.name outside the default namespace.
func (t Table) Ref() string {
	if t.Schema == "" {
		return t.Name
	}
	return t.Schema + "." + t.Name
}

// Column is one column as Discover found it: what Read will produce when nothing else is asked.
type Column struct {
	Name string `json:"name"`
	// Type is the Arrow type that holds every value of the column without loss.
	Type Type `json:"type"`
	// Kind is one of batch.Kind…, or "".
	Kind string `json:"kind,omitempty"`
	// Native is the type in the source's own words.
	Native   string   `json:"native"`
	Nullable bool     `json:"nullable"`
	Comment  string   `json:"comment,omitempty"`
	Notes    []string `json:"notes,omitempty"`
}

// Field is the column as an Arrow field with kitamae's metadata.
func (c Column) Field() arrow.Field {
	return batch.Field(c.Name, c.Type.DataType, c.Nullable, c.Kind, c.Native, c.Comment)
}

// TableScan asks for one table: which columns, in which order, of which rows.
type TableScan struct {
	Table Table `json:"table"`
	// Columns are those to read, in order: Table's own, or with Type changed to boolean
	// where the config asks for it.
	Columns []Column `json:"columns"`
	// Where is a condition in the source's SQL, "" for all rows.
	Where conf.Filled `json:"where,omitempty"`
	// Cursor is a column that only grows; After is a value it had ([ScannedTable.Reached] of an earlier scan): only rows
	// beyond it are read. After is "" the first time.
	Cursor string `json:"cursor,omitempty"`
	After  string `json:"after,omitempty"`
	// Until, unless nil, is the value of Cursor up to which rows are read, Reached of the scan that divided the table; else it is the
	// greatest value there is.
	Until *string `json:"until,omitempty"`
	// Key replaces Table.Key where the config names one.
	Key []string `json:"key,omitempty"`
	// Resume are the table's partitions of an earlier chunked Scan, in another process perhaps: a scan that is chunked
	// again divides the table in the same way and returns them in the same order. Others ignore it.
	Resume []Partition `json:"resume,omitempty"`
}

// ScanRequest asks for one consistent view over tables.
type ScanRequest struct {
	Tables []TableScan
	// Portable asks for partitions that other processes can read, each with a view of its own: Resume makes them theirs. A source
	// that is told not to by its spec says so by a fault; one without Caps.Portable does not look at it.
	Portable bool
	// Connections bounds how many data connections the source may hold at once; one
	// more is allowed for control.
	Connections int
	// BatchBytes is about how large a batch may grow, MaxValueBytes how large one value
	// may be (fault "value.too_large" beyond it).
	BatchBytes, MaxValueBytes int
	// Waiting, unless nil, is told when reading waits on purpose, as the server is busy, and why; "" when it goes on.
	Waiting func(why string)
}

// Guarantee says how consistent a scan is.
type Guarantee string

// From strongest to weakest.
const (
	Database Guarantee = "database" // one snapshot over all tables
	PerTable Guarantee = "table"    // each table by itself is one snapshot
	Chunked  Guarantee = "chunked"  // ranges read one after the other
)

// Scan is a fixed view and how each table of it is divided.
type Scan struct {
	Guarantee Guarantee `json:"guarantee"`
	// Position names the view in the source's words: a binlog position, GTID set, snapshot ID.
	Position string `json:"position,omitempty"`
	// Portable says that partitions can be read by other processes: a request with the same tables, Portable and the
	// partitions as Resume makes the same ones there.
	Portable bool           `json:"portable,omitempty"`
	Tables   []ScannedTable `json:"tables"` // in the order of the request
	Notes    []string       `json:"notes,omitempty"`
}

// ScannedTable is one table of a scan.
type ScannedTable struct {
	Partitions []Partition `json:"partitions"` // at least one
	// Rows is the estimate the division was made with, -1 where there is none.
	Rows int64 `json:"rows"`
	// Guarantee is the table's own where it is another than the scan's.
	Guarantee Guarantee `json:"guarantee,omitempty"`
	// Reached is the cursor's greatest value in the view, in the source's own text form: the partitions hold no row
	// beyond it. Without such a row it is TableScan.After.
	Reached string   `json:"reached,omitempty"`
	Notes   []string `json:"notes,omitempty"`
}

// Partition, Cursor and Stage are opaque: only their owner looks inside.
type (
	Partition = json.RawMessage
	Cursor    = json.RawMessage
	Stage     = json.RawMessage
)

// Reading is one partition being read.
type Reading struct {
	// Rows has the columns of the TableScan in order. Errors are faults.
	Rows batch.Stream
	// Result says what only reading can tell. It is called after Rows has ended without error.
	Result func() ReadResult
}

// ReadResult is what only reading can tell.
type ReadResult struct {
	// Changed counts values that could not be kept, by column and what became of them,
	// as in {"birthday": {"zero date, now null": 3}}.
	Changed map[string]map[string]int64 `json:"changed,omitempty"`
	Notes   []string                    `json:"notes,omitempty"`
	// From and To are when the first and the last row were read, UTC.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Bytes is how much came from the source.
	Bytes int64 `json:"bytes"`
	// Counted is how many rows the source itself counts in the partition, in the very views it was read in; nil where it
	// did not count. Sources whose scans are chunked count, as no later count sees the same rows.
	Counted *int64 `json:"counted,omitempty"`
}
