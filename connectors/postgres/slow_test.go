package postgres

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/kitamae/kitamae/internal/servertest"
)

// slowConn is a connection whose writes end only when their answer has been read and the next read waits, as happens on a busy machine: pgx
// reads in the background as soon as a write takes 15 ms. Only the ping that ends the reading in the background is as quick as ever.
type slowConn struct {
	net.Conn
	mu      sync.Mutex
	moved   *sync.Cond
	reading int
	got     bool // since the latest write
}

func (c *slowConn) Read(p []byte) (int, error) {
	c.see(func() { c.reading++ })
	n, err := c.Conn.Read(p)
	c.see(func() { c.reading--; c.got = true })
	return n, err
}

func (c *slowConn) see(change func()) {
	c.mu.Lock()
	change()
	c.mu.Unlock()
	c.moved.Broadcast()
}

func (c *slowConn) Write(p []byte) (int, error) {
	c.see(func() { c.got = false })
	n, err := c.Conn.Write(p)
	if bytes.Contains(p, []byte("-- ping")) {
		return n, err
	}
	over := false
	defer time.AfterFunc(100*time.Millisecond, func() { c.see(func() { over = true }) }).Stop() // nobody reads in the background
	c.mu.Lock()
	defer c.mu.Unlock()
	for !over && !(c.got && c.reading > 0) {
		c.moved.Wait()
	}
	return n, err
}

// TestSlowWrites: rows are read whole on a connection whose writes are slow.
func TestSlowWrites(t *testing.T) {
	server := servertest.Postgres(t)
	db := servertest.FreshDatabase(t, server)
	server.Exec(t, db, "CREATE TABLE t AS SELECT g AS id, 'これ' || g AS memo FROM generate_series(1, 3000) g")
	for _, way := range []string{"snapshot", "chunked"} {
		t.Run(way, func(t *testing.T) {
			spec := specFor(server, db)
			spec.Read = way
			s := open(t, spec)
			dial := s.srv.config.DialFunc
			s.srv.config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				slow := &slowConn{Conn: c}
				slow.moved = sync.NewCond(&slow.mu)
				return slow, nil
			}
			sc := scan(t, s, wants(discover(t, s)["t"]))
			for range 3 {
				if n := len(readTable(t, s, sc, 0)); n != 3000 {
					t.Errorf("%d rows, want 3000", n)
				}
			}
		})
	}
}
