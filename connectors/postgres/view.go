package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/sqlkit"
)

// view is one snapshot and the sessions that share it. The control connection owns the
// snapshot, and the locks that keep the tables from being rewritten; the data
// connections import it. Where a server refuses to export snapshots, the owner is
// the only connection and reads all by itself.
type view struct {
	id         int64
	src        *source
	owner      *conn
	snapshot   string // "" where the owner reads all by itself
	locked     []string
	chunked    bool // there is no snapshot: each statement has its own view
	waiting    func(why string)
	tables     []*scanned
	batchBytes int
	maxValue   int

	slots chan struct{} // one per data connection
	mu    sync.Mutex
	idle  []*conn
	over  bool
}

// scanned is one table of a view.
type scanned struct {
	reached string // of the cursor
	*relation
	scan   connector.TableScan
	key    []string
	keyAt  []int // the key's columns among those read
	names  []string
	read   []how
	schema *arrow.Schema
	parts  []partition
	pace   *sqlkit.Pace // of chunked reading
}

// savepoint is what a session goes back to after a failed statement.
const savepoint = "SAVEPOINT kitamae"

// use lends a data connection that sees the snapshot. It waits for one to be free.
func (v *view) use(ctx context.Context) (*conn, error) {
	select {
	case v.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Interrupted, "run.interrupted", "", fmt.Errorf("waiting for a connection: %w", context.Cause(ctx)))
	}
	c, err := v.session(ctx)
	if err != nil {
		<-v.slots
		return nil, err
	}
	return c, nil
}

// session is an idle data connection or a new one.
func (v *view) session(ctx context.Context) (*conn, error) {
	v.mu.Lock()
	idle, over := popAlive(&v.idle), v.over
	v.mu.Unlock()
	if idle != nil {
		return idle, nil
	}
	if over || v.snapshot == "" && !v.chunked {
		return nil, lostSnapshot(errors.New("its connection was lost"))
	}
	c, err := v.src.srv.connect(ctx)
	if err != nil || v.chunked {
		return c, err
	}
	if err := v.enter(ctx, c); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// enter makes a new session see the snapshot, and takes the locks the owner has: a session
// that asked for one later would wait behind an ALTER TABLE that itself waits for the owner.
func (v *view) enter(ctx context.Context, c *conn) error {
	_, err := c.PgConn().Exec(ctx, beginSQL+"; SET TRANSACTION SNAPSHOT "+literal(v.snapshot)).ReadAll()
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return lostSnapshot(fmt.Errorf("%s (SQLSTATE %s)", pg.Message, pg.Code))
	}
	if err != nil {
		return c.srv.explain(ctx, "entering the snapshot", err)
	}
	sql := savepoint
	if len(v.locked) > 0 && len(v.locked) <= maxLocked {
		sql = lockSQL(v.locked) + "; " + savepoint
	}
	return c.exec(ctx, "locking the tables against changes of their shape", sql)
}

// maxLocked is up to how many tables every session locks; beyond it only the owner does,
// as the server's lock table is small.
const maxLocked = 300

const beginSQL = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

func lockSQL(tables []string) string {
	return "LOCK TABLE " + strings.Join(tables, ", ") + " IN ACCESS SHARE MODE"
}

// done takes a connection back. One that failed a statement goes back to its savepoint, a lost one is forgotten.
func (v *view) done(c *conn) {
	defer func() { <-v.slots }()
	if c.alive() && v.chunked && c.PgConn().TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		c.failed = false
		if c.exec(ctx, "ending a short transaction", "ROLLBACK") != nil {
			c.stop()
		}
	} else if c.alive() && !v.chunked && (c.failed || c.PgConn().TxStatus() == 'E') {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		c.failed = false
		if c.exec(ctx, "going back to the savepoint", "ROLLBACK TO "+savepoint) != nil {
			c.stop()
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case !c.alive():
	case v.over && c != v.owner:
		c.close()
	default:
		v.idle = append(v.idle, c)
	}
}

// with lends a data connection to f.
func (v *view) with(ctx context.Context, f func(*conn) error) error {
	c, err := v.use(ctx)
	if err != nil {
		return err
	}
	defer v.done(c)
	return f(c)
}

// ownerLives asks the snapshot's owner for a sign of life.
func (v *view) ownerLives(ctx context.Context) error {
	if v.snapshot == "" {
		return nil
	}
	// not the caller's context: one that ended in the middle would cost the connection
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	v.src.mu.Lock()
	defer v.src.mu.Unlock()
	v.mu.Lock()
	over := v.over
	v.mu.Unlock()
	if over || !v.owner.alive() {
		return lostSnapshot(errors.New("its connection was lost or went to a later scan"))
	}
	if _, err := v.owner.PgConn().Exec(ctx, "SELECT 1").ReadAll(); err != nil {
		return lostSnapshot(err)
	}
	return nil
}

// close ends the snapshot. Connections that are being read from end when their reader is done.
func (v *view) close() {
	v.mu.Lock()
	v.over = true
	idle := v.idle
	v.idle = nil
	v.mu.Unlock()
	for _, c := range idle {
		if c != v.owner {
			c.close()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if v.chunked { // the owner has no transaction
		return
	}
	if v.snapshot == "" { // whoever reads does so through the owner
		select {
		case v.slots <- struct{}{}:
		case <-ctx.Done():
			v.owner.stop()
		}
	}
	if v.owner.alive() {
		if v.owner.exec(ctx, "ending the snapshot", "ROLLBACK") != nil {
			v.owner.stop()
		}
	}
}

// find is the view's table that a scan names.
func (v *view) find(want connector.TableScan) (*scanned, error) {
	for _, t := range v.tables {
		if t.scan.Table.Schema == want.Table.Schema && t.scan.Table.Name == want.Table.Name {
			return t, nil
		}
	}
	return nil, fault.New(fault.Internal, "postgres.partition", "", "table %s is not in the latest scan", want.Table.Ref())
}

// filter is the table's WHERE clause with one more condition, "" for neither.
func (t *scanned) filter(more string) string {
	where := ""
	if t.scan.Where != "" {
		where = "(" + t.scan.Where.Reveal() + "\n)" // the line's end closes a comment
	}
	switch {
	case where == "" && more == "":
		return ""
	case where == "":
		return " WHERE " + more
	case more == "":
		return " WHERE " + where
	}
	return " WHERE " + where + " AND " + more
}

// query is the statement that reads a partition.
func (t *scanned) query(p partition) string {
	exprs := make([]string, len(t.read))
	for i, h := range t.read {
		exprs[i] = h.expr(t.names[i])
	}
	selects := make([]string, len(p.From))
	for i, from := range p.From {
		selects[i] = "SELECT " + strings.Join(exprs, ", ") + " FROM " + from + t.filter(p.condition())
	}
	return strings.Join(selects, " UNION ALL ")
}
