package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// lane is connections that share one snapshot. Readers borrow them.
type lane struct {
	idle chan *conn
	// open, unless nil, makes a connection in place of a lost one, as nothing is lost with it: idle then holds nil for it.
	open func(context.Context) (*conn, error)

	mu     sync.Mutex
	live   int           // not lost
	gone   chan struct{} // closed when none is left
	closed bool
}

func newLane(conns ...*conn) *lane {
	l := &lane{idle: make(chan *conn, len(conns)), live: len(conns), gone: make(chan struct{})}
	for _, c := range conns {
		l.idle <- c
	}
	return l
}

// acquire waits for a connection.
func (l *lane) acquire(ctx context.Context) (*conn, error) {
	select {
	case c := <-l.idle:
		return l.ready(ctx, c)
	default:
	}
	select {
	case c := <-l.idle:
		return l.ready(ctx, c)
	case <-l.gone:
		return nil, snapshotLost(errors.New("no connection of the snapshot is left"))
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (l *lane) ready(ctx context.Context, c *conn) (*conn, error) {
	if c != nil {
		return c, nil
	}
	c, err := l.open(ctx)
	if err != nil {
		l.idle <- nil
	}
	return c, err
}

// release takes c back and says how many connections the snapshot has left.
func (l *lane) release(c *conn) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.broken && !l.closed {
		l.idle <- c
		return l.live
	}
	c.close()
	if l.open != nil && !l.closed {
		l.idle <- nil
		return l.live
	}
	l.live--
	if l.live == 0 {
		close(l.gone)
	}
	return l.live
}

// close ends the snapshot. Connections in use end when they are released.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for {
		select {
		case c := <-l.idle:
			if c != nil {
				c.close()
			}
			if l.live--; l.live == 0 {
				close(l.gone)
			}
		default:
			return
		}
	}
}

func snapshotLost(err error) error {
	return fault.Wrap(fault.Source, "source.snapshot_lost", "keep the server from ending the connections of a long run (wait_timeout, failover, KILL)", err)
}

const savepoint = "kitamae"

// beginSnapshot starts the transaction whose first moment everything on c is read at. The
// savepoint lets go of metadata locks; see [conn.releaseLocks].
func (c *conn) beginSnapshot(ctx context.Context) error {
	for _, sql := range []string{"ROLLBACK", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", "SAVEPOINT " + savepoint} {
		if _, err := c.query(ctx, sql); err != nil {
			return err
		}
	}
	c.snapshot = true
	return nil
}

// releaseLocks lets go of the metadata locks of what was read, without leaving the snapshot: an ALTER TABLE
// of the application would else wait for the end of the run, and every query behind it.
func (c *conn) releaseLocks() {
	if c.broken || !c.snapshot {
		return
	}
	_ = c.raw.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.my.Execute("ROLLBACK TO SAVEPOINT " + savepoint); err != nil {
		c.broken = true // the transaction is not what we think
		return
	}
	_ = c.raw.SetDeadline(time.Time{})
}

// settle is the pause of an attempt at a common snapshot that begins after so long; 0
// gives up. Short pauses find gaps between commits that come in quick succession.
func settle(after time.Duration) time.Duration {
	switch {
	case after < 300*time.Millisecond:
		return 10 * time.Millisecond
	case after < time.Second:
		return 3 * time.Millisecond
	case after < 4*time.Second:
		return time.Millisecond
	}
	return 0
}

// snapshot opens a snapshot on every connection and finds out whether they are one and the same.
//
// MariaDB tells each connection the exact binlog position of its snapshot. MySQL tells only the server's current
// position: if it is the same before the first and after the last snapshot was opened, nothing was
// committed in between. But the binlog position moves a moment before a commit becomes
// visible, and the set of GTIDs a moment after, so a pause stands on either side: a
// commit would have to hang in there for longer than that to be seen by one connection and not by another.
func (s *Source) snapshot(ctx context.Context, conns []*conn) (one bool, position string, note string, err error) {
	for begun := time.Now(); ; {
		pause := settle(time.Since(begun))
		if pause == 0 {
			return false, "", "the server commits too often for its position to stand still", nil
		}
		before, ok, err := s.position(ctx)
		if err != nil {
			return false, "", "", err
		}
		if ok && !s.mariadb {
			sleep(ctx, pause)
		}
		for _, c := range conns {
			if err := c.beginSnapshot(ctx); err != nil {
				return false, "", "", failed(ctx, "open a snapshot of", place(s.spec), "", err)
			}
		}
		if !ok {
			return len(conns) == 1, "", "the server does not show its binlog position or GTIDs to this user", nil
		}
		if !s.mariadb {
			sleep(ctx, pause)
		}
		after, ok, err := s.position(ctx)
		if err != nil {
			return false, "", "", err
		}
		same := ok && before == after
		if s.mariadb && same {
			if position, same, err = snapshotPositions(ctx, conns); err != nil {
				return false, "", "", err
			}
		} else {
			position = after.String()
		}
		if same {
			return true, position, "", nil
		}
		if len(conns) == 1 { // one snapshot is one view wherever it lies
			return true, "", "", nil
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// position is how far the server's history of changes has come, as far as it shows.
type position struct {
	binlog string // file and offset
	gtid   string // executed
	slave  string // what replication has applied here, where that is not in the binlog
}

func (p position) String() string {
	var parts []string
	for _, s := range []string{p.binlog, p.gtid} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, " ")
}

// position reads the server's. ok is false when it can't be read or doesn't tell everything.
func (s *Source) position(ctx context.Context) (p position, ok bool, err error) {
	if s.mariadb {
		return s.mariadbPosition(ctx)
	}
	res, err := s.control(ctx, "SELECT @@global.log_bin, @@global.gtid_mode, @@global.gtid_executed, @@global.log_replica_updates")
	if err != nil {
		return p, false, s.positionFault(ctx, err)
	}
	gtidMode, _ := text(res, 0, 1)
	if gtidMode == "ON" {
		p.gtid, _ = text(res, 0, 2)
		p.gtid = strings.ReplaceAll(p.gtid, "\n", "")
	}
	if on, _ := text(res, 0, 0); on == "0" {
		return p, gtidMode == "ON", nil
	}
	status, err := s.showFirst(ctx, "SHOW BINARY LOG STATUS", "SHOW MASTER STATUS")
	if err != nil {
		return p, false, err
	}
	if status == nil || status["Binlog_Do_DB"]+status["Binlog_Ignore_DB"] != "" {
		return p, gtidMode == "ON" && status == nil, nil
	}
	p.binlog = status["File"] + ":" + status["Position"]
	replica, err := s.showFirst(ctx, "SHOW REPLICA STATUS")
	if err != nil {
		return p, false, err
	}
	if replica != nil {
		p.slave = replica["Relay_Source_Log_File"] + ":" + replica["Exec_Source_Log_Pos"]
	}
	return p, true, nil
}

func (s *Source) mariadbPosition(ctx context.Context) (p position, ok bool, err error) {
	res, err := s.control(ctx, "SELECT @@global.log_bin, @@global.gtid_binlog_pos, @@global.gtid_slave_pos")
	if err != nil {
		return p, false, s.positionFault(ctx, err)
	}
	on, _ := text(res, 0, 0)
	p.slave, _ = text(res, 0, 2)
	status, err := s.showFirst(ctx, "SHOW BINLOG STATUS", "SHOW MASTER STATUS")
	if err != nil {
		return p, false, err
	}
	filtered := status != nil && status["Binlog_Do_DB"]+status["Binlog_Ignore_DB"] != ""
	// What the binlog says is compared by the connections' own positions; only what is missing in it matters here.
	return p, on == "1" && !filtered, nil
}

// snapshotPositions asks each connection for the binlog position its snapshot stands at.
func snapshotPositions(ctx context.Context, conns []*conn) (position string, same bool, err error) {
	for i, c := range conns {
		res, err := c.query(ctx, "SHOW STATUS LIKE 'binlog_snapshot_%'")
		if err != nil {
			return "", false, failed(ctx, "read the position of", "the snapshot", "", err)
		}
		at := map[string]string{}
		for k := range res.Values {
			name, _ := text(res, k, 0)
			at[strings.ToLower(name)], _ = text(res, k, 1)
		}
		here := at["binlog_snapshot_file"] + ":" + at["binlog_snapshot_position"]
		if at["binlog_snapshot_file"] == "" || i > 0 && here != position {
			return "", false, nil
		}
		position = here
	}
	return position, true, nil
}

// showFirst runs the first statement the server knows and allows, and returns its
// only row by column name; nil when there is none.
func (s *Source) showFirst(ctx context.Context, statements ...string) (map[string]string, error) {
	for _, sql := range statements {
		res, err := s.control(ctx, sql)
		var refused *mysql.MyError
		if errors.As(err, &refused) {
			continue
		}
		if err != nil {
			return nil, s.positionFault(ctx, err)
		}
		if len(res.Values) == 0 {
			return nil, nil
		}
		row := map[string]string{}
		for k, f := range res.Fields {
			row[string(f.Name)], _ = text(res, 0, k)
		}
		return row, nil
	}
	return nil, nil
}

func (s *Source) positionFault(ctx context.Context, err error) error {
	return failed(ctx, "read the binlog position of", place(s.spec), "", err)
}

// openData opens a data connection.
func (s *Source) openData(ctx context.Context) (*conn, error) {
	c, err := s.dial.open(ctx)
	if err == nil {
		c.end = s.end
	}
	return c, err
}

// openAll opens the data connections a scan may use: n, or fewer where the server has no more.
func (s *Source) openAll(ctx context.Context, n int) (conns []*conn, notes []string, err error) {
	for len(conns) < n {
		c, err := s.openData(ctx)
		if fault.HasCode(err, "mysql.too_many_connections") && len(conns) > 0 {
			return conns, []string{fmt.Sprintf("the server gave %d of %d connections: %v", len(conns), n, err)}, nil
		}
		if err != nil {
			closeAll(conns)
			return nil, nil, err
		}
		conns = append(conns, c)
	}
	return conns, nil, nil
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		c.close()
	}
}

// lanes ties the connections together by what they see, and each table to what reads it.
// Where the snapshots are not known to be one, a table belongs to one connection alone:
// all its partitions are then read in that connection's snapshot.
func lanes(one bool, conns []*conn, weights []int64) (all []*lane, of []int, guarantee connector.Guarantee) {
	of = make([]int, len(weights))
	if one {
		return []*lane{newLane(conns...)}, of, connector.Database
	}
	for _, c := range conns {
		all = append(all, newLane(c))
	}
	load := make([]int64, len(conns))
	for _, t := range heaviestFirst(weights) {
		best := 0
		for k := range load {
			if load[k] < load[best] {
				best = k
			}
		}
		of[t] = best
		load[best] += max(weights[t], 1)
	}
	return all, of, connector.PerTable
}
