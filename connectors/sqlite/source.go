package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the stock driver, for Sample

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

var (
	_ connector.Source  = (*source)(nil)
	_ connector.Counter = (*source)(nil)
	_ connector.Sampler = (*source)(nil)
)

// source reads one file.
type source struct {
	path string // absolute or relative to the working folder
	pool *batch.Pool

	mu      sync.Mutex
	leftOut []string // what Discover could not read, for the scan's notes
	view    *view    // of the latest Scan
}

// newSource looks whether path is a SQLite file that can be read.
func newSource(_ context.Context, path string) (*source, error) {
	if err := checkFile(path); err != nil {
		return nil, err
	}
	c, err := open(path)
	if err != nil {
		return nil, err
	}
	c.close()
	return &source{path: path, pool: &batch.Pool{}}, nil
}

// Close lets go of every connection.
func (s *source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view != nil {
		s.view.close()
		s.view = nil
	}
	return nil
}

// current is the latest Scan's view.
func (s *source) current() (*view, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil {
		return nil, fault.New(fault.Internal, "sqlite.no_scan", "", "%s is read before Scan", s.path)
	}
	return s.view, nil
}

// view is one state of the database that several connections have in common: each is in
// a read transaction that began while nobody committed.
type view struct {
	path    string
	data    []*conn
	idle    chan *conn // of data
	control *conn
	stock   *sql.Conn // database/sql's, of db, for Sample
	db      *sql.DB

	ready bool

	mu     sync.Mutex // held while control or stock is used
	tables []scanned
	limits limits
}

// limits of reading, from the ScanRequest.
type limits struct{ batchBytes, valueBytes int }

// viewPatience is how long a common state is tried for while others keep committing.
const viewPatience = 20 * time.Second

// openView opens connections for reading and one for control, in one state of the database.
func openView(ctx context.Context, path string, connections int) (*view, error) {
	v := &view{path: path, idle: make(chan *conn, connections)}
	until := time.Now().Add(viewPatience)
	if err := v.connect(ctx, connections, until); err != nil {
		v.close()
		return nil, err
	}
	for {
		same, err := v.begin(ctx)
		switch {
		case same:
			for _, c := range v.data {
				v.idle <- c
			}
			v.ready = true
			return v, nil
		case err != nil && !fault.HasCode(err, "sqlite.locked"), time.Now().After(until) && err != nil:
			v.close()
			return nil, err
		case time.Now().After(until):
			v.close()
			return nil, fault.New(fault.Source, "sqlite.busy", "run it at a quieter time, or with limits.connections: 1",
				"%s is written so often that no two connections see the same state", path).Again()
		}
		// A writer that waits for readers to go lets no new ones in: all step aside before the next try.
		v.rollback(ctx)
	}
}

func (v *view) connect(ctx context.Context, connections int, until time.Time) (err error) {
	for range connections {
		c, err := v.open(ctx, until)
		if err != nil {
			return err
		}
		v.data = append(v.data, c)
	}
	if v.control, err = v.open(ctx, until); err != nil {
		return err
	}
	abs, err := filepath.Abs(v.path)
	if err != nil {
		return err
	}
	dsn := url.URL{Scheme: "file", Path: abs, RawQuery: fmt.Sprintf("mode=ro&_pragma=busy_timeout(%d)", busyMilliseconds)}
	if v.db, err = sql.Open("sqlite", dsn.String()); err != nil {
		return err
	}
	v.stock, err = v.db.Conn(ctx)
	return err
}

// open is [open], again while writers keep the file locked; each try waits [busyMilliseconds] by itself.
func (v *view) open(ctx context.Context, until time.Time) (*conn, error) {
	for {
		c, err := open(v.path)
		if !fault.HasCode(err, "sqlite.locked") || ctx.Err() != nil || time.Now().After(until) {
			return c, err
		}
	}
}

// readSchema is the cheapest statement that makes a transaction begin to read.
const readSchema = "SELECT count(*) FROM sqlite_schema"

// begin starts a read transaction on every connection and says whether nobody committed in
// between: SQLite's data_version changes for a connection when another one commits.
func (v *view) begin(ctx context.Context) (same bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, fault.Wrap(fault.Interrupted, "run.interrupted", "", err)
	}
	before, err := v.control.number("PRAGMA data_version")
	if err != nil {
		return false, err
	}
	for _, c := range v.data {
		if err := c.run("BEGIN", readSchema); err != nil {
			return false, err
		}
	}
	if err := v.stockBegin(ctx); err != nil {
		return false, err
	}
	if err := v.control.run("BEGIN", readSchema); err != nil { // last: its data_version stands for the end
		return false, err
	}
	after, err := v.control.number("PRAGMA data_version")
	return err == nil && before == after, err
}

func (v *view) stockBegin(ctx context.Context) error {
	if _, err := v.stock.ExecContext(ctx, "BEGIN"); err != nil {
		return stockFault(v.path, err)
	}
	var n int
	return stockFault(v.path, v.stock.QueryRowContext(ctx, readSchema).Scan(&n))
}

// rollback ends the transactions there are; a connection without one says so, and that is no matter.
func (v *view) rollback(ctx context.Context) {
	for _, c := range append([]*conn{v.control}, v.data...) {
		_ = c.run("ROLLBACK")
	}
	_, _ = v.stock.ExecContext(ctx, "ROLLBACK")
}

// take waits for a data connection.
func (v *view) take(ctx context.Context) (*conn, error) {
	select {
	case c := <-v.idle:
		return c, nil
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Interrupted, "run.interrupted", "", ctx.Err())
	}
}

func (v *view) give(c *conn) { v.idle <- c }

// close ends all transactions, after the last reader has given its connection back: freeing one
// that is in use would crash the process.
func (v *view) close() {
	if v.ready {
		for range v.data {
			<-v.idle
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, c := range v.data {
		c.close()
	}
	if v.control != nil {
		v.control.close()
	}
	if v.stock != nil {
		v.stock.Close()
	}
	if v.db != nil {
		v.db.Close()
	}
}
