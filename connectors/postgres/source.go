package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/sqlkit"
)

var (
	_ connector.Counter = (*source)(nil)
	_ connector.Sampler = (*source)(nil)
)

// source is one database. Its control connection lists the catalog and then owns the
// snapshot; the data connections belong to the view.
type source struct {
	srv   *server
	pool  *batch.Pool
	sizes sizes
	// chunked says that tables are read in short transactions, and throttle when the next one may begin.
	chunked  bool
	throttle *sqlkit.Throttle
	// between, where it is set, may change what is left to read after a chunk, for tests that break the loop.
	between func(rest *partition)

	mu      sync.Mutex // guards control
	control *conn

	viewMu sync.Mutex
	latest *view
	views  int64
}

func newSource(srv *server) *source {
	s := &source{srv: srv, pool: &batch.Pool{}, sizes: defaultSizes}
	s.throttle = s.newThrottle()
	return s
}

// open logs in, finds out which server answers and decides how it is read.
func (s *source) open(ctx context.Context) error {
	return s.withControl(ctx, func(c *conn) error {
		r, err := c.askRole(ctx)
		if err == nil {
			s.chunked, err = s.srv.spec.chunked(r)
			s.srv.chunked = s.chunked
		}
		return err
	})
}

// withControl lends the control connection, which is made anew where it was lost.
func (s *source) withControl(ctx context.Context, f func(*conn) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.control.alive() {
		c, err := s.srv.connect(ctx)
		if err != nil {
			return err
		}
		s.control = c
	}
	return f(s.control)
}

// view is the latest Scan's, if id is 0 or its own.
func (s *source) view(id int64) (*view, error) {
	s.viewMu.Lock()
	defer s.viewMu.Unlock()
	if s.latest == nil || (id != 0 && s.latest.id != id) {
		return nil, lostSnapshot(fmt.Errorf("it belongs to an earlier scan"))
	}
	return s.latest, nil
}

// Read opens one partition of the latest Scan.
func (s *source) Read(ctx context.Context, p connector.Partition) (*connector.Reading, error) {
	var part partition
	if err := json.Unmarshal(p, &part); err != nil {
		return nil, fault.Wrap(fault.Internal, "postgres.partition", "", fmt.Errorf("a partition of another source: %w", err))
	}
	v, err := s.view(part.View)
	if err != nil {
		return nil, err
	}
	if part.Table < 0 || part.Table >= len(v.tables) {
		return nil, fault.New(fault.Internal, "postgres.partition", "", "a partition of table %d of %d", part.Table, len(v.tables))
	}
	r := &reading{view: v, table: v.tables[part.Table], part: part}
	rows := func(yield func(arrow.RecordBatch, error) bool) { r.rows(ctx, yield) }
	return &connector.Reading{Rows: rows, Result: func() connector.ReadResult { return r.result }}, nil
}

// Count asks the server how many rows the table has in the snapshot.
func (s *source) Count(ctx context.Context, table connector.TableScan) (int64, error) {
	v, err := s.view(0)
	if err != nil {
		return 0, err
	}
	t, err := v.find(table)
	if err != nil {
		return 0, err
	}
	n := int64(0)
	err = v.with(ctx, func(c *conn) error {
		return c.value(ctx, "counting "+t.ref(), "SELECT count(*) FROM "+t.from()+t.filter(""), &n)
	})
	return n, err
}

// Close lets go of every connection.
func (s *source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letGo()
	if s.control.alive() {
		s.control.close()
	}
	return s.srv.tunnel.Close()
}

// letGo ends the latest view. s.mu is held.
func (s *source) letGo() {
	s.viewMu.Lock()
	v := s.latest
	s.latest = nil
	s.viewMu.Unlock()
	if v != nil {
		v.close()
	}
}

// reading is one partition on its way.
type reading struct {
	view   *view
	table  *scanned
	part   partition
	result connector.ReadResult
}

// rows runs the partition's statement and yields its batches.
func (r *reading) rows(ctx context.Context, yield func(arrow.RecordBatch, error) bool) {
	r.result = connector.ReadResult{From: time.Now().UTC()}
	c, err := r.view.use(ctx)
	if err != nil {
		yield(nil, fmt.Errorf("table %s: %w", r.table.ref(), err))
		return
	}
	// A connection blocked in a read ends at once when the context does.
	stop := context.AfterFunc(ctx, func() { _ = c.PgConn().Conn().SetReadDeadline(time.Unix(1, 0)) })
	w := &wire{conn: c.PgConn().Conn(), buf: c.buf}
	f := &flow{reading: r, conn: c, wire: w}
	if r.view.chunked {
		err = r.chunks(ctx, f, yield)
	} else {
		err = f.run(ctx, yield)
	}
	c.buf = w.buf
	interrupted := !stop()
	switch {
	case f.idle && !interrupted:
		r.view.done(c)
	case f.broken || interrupted:
		c.stop()
		r.view.done(c)
	default:
		f.abandon()
		r.view.done(c)
	}
	if err != nil {
		yield(nil, c.srv.explain(ctx, "reading "+r.table.ref(), err))
		return
	}
	r.result.To = time.Now().UTC()
}
