package mysql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/sqlkit"
)

var (
	_ connector.Source  = (*Source)(nil)
	_ connector.Counter = (*Source)(nil)
	_ connector.Sampler = (*Source)(nil)
)

// Source reads one database. It holds a control connection outside of any snapshot, and
// the data connections of the latest scan.
type Source struct {
	spec    Spec
	dial    *dialer
	mariadb bool
	pool    *batch.Pool
	sizing  sizing
	role    role
	// chunked says that tables are read in short transactions, and throttle when the next one may begin.
	chunked  bool
	throttle *sqlkit.Throttle
	// between, where it is set, may change what is left to read after a chunk, for tests that break the loop.
	between func(rest *partition)

	ctlMu  sync.Mutex
	ctl    *conn
	closed bool

	mu   sync.Mutex
	view *view // of the latest Scan; nil before
}

func newSource(ctx context.Context, spec Spec, env connector.Env) (*Source, error) {
	d, err := newDialer(ctx, spec, env)
	if err != nil {
		return nil, err
	}
	c, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	s := &Source{spec: spec, dial: d, mariadb: c.mariadb(), pool: &batch.Pool{}, sizing: defaultSizing(), ctl: c}
	s.throttle = s.newThrottle()
	if err := s.settle(ctx, c); err != nil {
		c.close()
		return nil, err
	}
	return s, nil
}

// control runs one statement on the control connection, which it opens again when it was lost.
func (s *Source) control(ctx context.Context, sql string) (*mysql.Result, error) {
	s.ctlMu.Lock()
	defer s.ctlMu.Unlock()
	for again := true; ; again = false {
		if s.ctl.broken {
			s.ctl.close()
			c, err := s.dial.open(ctx)
			if err != nil {
				return nil, err
			}
			s.ctl = c
		}
		res, err := s.ctl.query(ctx, sql)
		if err != nil && again && s.ctl.broken && ctx.Err() == nil {
			continue // a connection that idled is known to be lost only when it is used
		}
		return res, err
	}
}

// killTimeout bounds how long a query that nobody wants any more may hold up its reader.
const killTimeout = 3 * time.Second

// kill stops what c is doing at the server, as well as it can.
func (s *Source) kill(ctx context.Context, c *conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTimeout)
	defer cancel()
	_, _ = s.control(ctx, fmt.Sprintf("KILL QUERY %d", c.id))
}

// end ends a broken connection's session, as well as it can. A server that hears nothing of a lost connection keeps its locks and its
// snapshot for hours: an ALTER TABLE would wait for it, and every query behind that.
func (s *Source) end(id uint32) {
	s.ctlMu.Lock()
	closed := s.closed
	s.ctlMu.Unlock()
	if closed {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), killTimeout)
	defer cancel()
	_, _ = s.control(ctx, fmt.Sprintf("KILL %d", id))
}

// Read opens one partition of the latest scan. The query starts when Rows is ranged over.
func (s *Source) Read(ctx context.Context, p connector.Partition) (*connector.Reading, error) {
	v, err := s.current()
	if err != nil {
		return nil, err
	}
	var part partition
	if err := json.Unmarshal(p, &part); err != nil || part.Table < 0 || part.Table >= len(v.tables) || !part.valid() {
		return nil, fault.New(fault.Internal, "mysql.partition", "", "partition %s is not of this scan", p)
	}
	r := &reading{src: s, view: v, t: &v.tables[part.Table], part: part, ctx: ctx}
	return &connector.Reading{Rows: r.rows, Result: func() connector.ReadResult { return r.result }}, nil
}

func (s *Source) current() (*view, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil {
		return nil, fault.New(fault.Internal, "mysql.no_scan", "", "nothing was scanned yet")
	}
	return s.view, nil
}

// Close lets go of every connection.
func (s *Source) Close() error {
	s.mu.Lock()
	v := s.view
	s.view = nil
	s.mu.Unlock()
	if v != nil {
		v.close()
	}
	s.ctlMu.Lock()
	defer s.ctlMu.Unlock()
	s.ctl.close()
	s.ctl.broken, s.closed = true, true
	return s.dial.tunnel.Close()
}

// reading is one partition under way.
type reading struct {
	src    *Source
	view   *view
	t      *viewTable
	part   partition
	ctx    context.Context
	result connector.ReadResult
}

// rows is the stream.
func (r *reading) rows(yield func(arrow.RecordBatch, error) bool) {
	c, err := r.t.lane.acquire(r.ctx)
	if err != nil {
		yield(nil, err)
		return
	}
	r.result = connector.ReadResult{From: time.Now().UTC(), Changed: map[string]map[string]int64{}}
	var more bool
	if r.view.chunked {
		more, err = r.chunks(c, yield)
	} else {
		more, err = r.run(c, r.part, yield)
	}
	left := r.t.lane.release(c)
	if err == nil || !more {
		return
	}
	if f := (*fault.Error)(nil); r.ctx.Err() == nil && !errors.As(err, &f) && lost(err) && !errors.Is(err, errMalformed) {
		yield(nil, r.connectionLost(left, err))
		return
	}
	yield(nil, failed(r.ctx, "read", r.t.scan.Table.Ref(), r.t.scan.Where.Reveal(), err))
}

// connectionLost says what the loss of a connection means: other connections may share
// the snapshot, and the partition can be read again, or the snapshot is gone for good.
func (r *reading) connectionLost(left int, err error) error {
	err = fmt.Errorf("read %s: connection to %s lost: %w", r.t.scan.Table.Ref(), place(r.src.spec), err)
	if left > 0 {
		return fault.Again(fault.Wrap(fault.Source, "mysql.connection_lost", "", err))
	}
	return snapshotLost(err)
}

// run reads one range over c. more is false when the consumer stopped.
func (r *reading) run(c *conn, part partition, yield func(arrow.RecordBatch, error) bool) (more bool, err error) {
	ctx := r.ctx
	stop := c.watch(ctx, func() { r.src.kill(ctx, c) })
	stopped := false
	defer func() {
		if !stopped && stop() && err == nil {
			err = context.Cause(ctx)
		}
	}()
	st, err := c.execute(r.t.query(part))
	if err != nil {
		return true, err
	}
	defer func() {
		if !st.ended {
			if !stopped {
				stopped = true
				stop()
			}
			r.src.abandon(ctx, st)
		}
		st.close()
		c.releaseLocks()
	}()
	b, err := batch.NewBuilder(r.t.schema, r.src.pool, r.view.req.BatchBytes)
	if err != nil {
		return true, err
	}
	defer b.Release()
	d, err := r.t.decoder(st.columns, b, r.view.maxValue)
	if err != nil {
		return true, err
	}
	c.in.inspect = d.inspect
	more, err = r.pump(st, d, b, yield)
	r.result.To = time.Now().UTC()
	r.result.Bytes += c.in.bytes
	for k := range d.cells {
		d.cells[k].changed(r.result.Changed)
	}
	return more, err
}

// largeRow is a row of so many bytes that the batch's size is looked at right behind it.
const largeRow = 32 << 10

// pump decodes rows into batches until the answer ends or yield says no.
func (r *reading) pump(st *statement, d *rowDecoder, b *batch.Builder, yield func(arrow.RecordBatch, error) bool) (more bool, err error) {
	hand := func() (bool, error) {
		rec, err := b.Batch()
		if err != nil {
			return true, err
		}
		defer rec.Release()
		return yield(rec, nil), nil
	}
	for {
		p, err := st.row()
		if errors.Is(err, io.EOF) {
			if b.Rows() > 0 {
				return hand()
			}
			return true, nil
		}
		if err == nil {
			err = d.row(p)
		}
		if err != nil {
			return true, err
		}
		if b.Full() || len(p) >= largeRow && b.Large() {
			if more, err := hand(); !more || err != nil {
				return more, err
			}
		}
	}
}

// abandon ends an answer nobody wants any more, so that the connection and its snapshot
// can serve the next partition. Where that does not work in time the connection is broken.
func (s *Source) abandon(ctx context.Context, st *statement) {
	c := st.c
	if c.broken {
		return
	}
	s.kill(ctx, c)
	_ = c.raw.SetDeadline(time.Now().Add(killTimeout))
	c.in.inspect = discard
	for !st.ended && !c.broken {
		_, _ = st.row()
	}
	if !c.broken {
		_, _ = c.my.Execute("DO 0") // takes the kill where it came too late for the query
		_ = c.raw.SetDeadline(time.Time{})
	}
}
