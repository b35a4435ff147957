package mysql

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/sqlkit"
)

// pins are what every session sets before anything else. Nothing the server or its
// administrator chose may change what a value reads as; a stalled destination may make the
// server wait for an hour before it gives up.
const pins = "SET SESSION time_zone='+00:00', sql_mode='', net_write_timeout=3600, wait_timeout=86400," +
	" transaction_isolation='REPEATABLE-READ', transaction_read_only=1, sql_select_limit=DEFAULT"

// conn is one logged-in connection. It serves one goroutine at a time.
type conn struct {
	my  *client.Conn
	raw net.Conn // what go-mysql reads from: the TLS connection or the socket itself
	id  uint32   // the server's number for it
	in  packets  // the row loop's own buffer, over raw
	// broken is set when bytes of an answer may still be under way: the connection can only be closed.
	broken bool
	// end ends the session of a data connection that is broken, by way of another one; see [Source.end].
	end func(id uint32)
	// snapshot is set while a transaction with a savepoint is open; see [conn.beginSnapshot].
	snapshot bool
}

// dialer logs in to one server.
type dialer struct {
	spec    Spec
	tls     *tls.Config    // nil: in the clear
	tunnel  *sqlkit.Tunnel // nil: no tunnel
	iam     *sqlkit.IAM    // nil: with the password
	version string         // of kitamae
}

func newDialer(ctx context.Context, spec Spec, env connector.Env) (*dialer, error) {
	d := &dialer{spec: spec, version: env.Version}
	host := spec.Host
	if host == "" {
		host = "localhost"
	}
	var err error
	if d.tls, err = spec.TLS.Config(host, spec.local(), env.Dir); err != nil {
		return nil, fault.Wrap(fault.Config, "mysql.tls", "check source.mysql.tls.ca_file", err)
	}
	if spec.Auth == sqlkit.AuthIAM {
		if d.iam, err = sqlkit.NewIAM(ctx, spec.Host, spec.Port, spec.User, d.tls); err != nil {
			return nil, err
		}
	}
	if d.tunnel, err = sqlkit.NewTunnel(spec.SSH, env.Dir, spec.ConnectTimeout); err != nil {
		return nil, err
	}
	return d, nil
}

// open logs in and pins the session. Errors are faults.
func (d *dialer) open(ctx context.Context) (*conn, error) {
	c, err := d.login(ctx, d.spec.Database)
	if err != nil {
		return nil, d.refused(ctx, err)
	}
	stop := c.watch(ctx, nil)
	err = c.pin(d.spec.StatementTimeout)
	if stop(); err != nil {
		c.close()
		return nil, d.refused(ctx, fmt.Errorf("set up the session: %w", err))
	}
	return c, nil
}

// login does not pin anything; database may be "".
func (d *dialer) login(ctx context.Context, database string) (c *conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.spec.ConnectTimeout)
	defer cancel()
	password := d.spec.Password.Reveal()
	if d.iam != nil {
		if password, err = d.iam.Password(ctx); err != nil {
			return nil, err
		}
	}
	network, address := "tcp", d.spec.address()
	if d.spec.Socket != "" {
		network = "unix"
	}
	var sock net.Conn
	release := func() bool { return true }
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		var err error
		connect := (&net.Dialer{KeepAliveConfig: sqlkit.KeepAlive}).DialContext
		if d.tunnel != nil {
			connect = d.tunnel.DialContext
		}
		if sock, err = connect(ctx, network, address); err == nil {
			// The handshake knows nothing of ctx.
			release = context.AfterFunc(ctx, func() { sock.Close() })
			return sqlkit.Patient(sock, d.spec.ReadTimeout), nil
		}
		return sock, err
	}
	setup := func(my *client.Conn) error {
		if d.tls != nil {
			my.SetTLSConfig(d.tls)
		}
		my.SetAttributes(map[string]string{"program_name": "kitamae " + d.version})
		return my.SetCollation("utf8mb4_general_ci") // one that MySQL and MariaDB both know by number
	}
	defer func() { // the library trusts a handshake's lengths
		if r := recover(); r != nil {
			sock.Close()
			c, err = nil, fmt.Errorf("malformed handshake: %v", r)
		}
	}()
	my, err := client.ConnectWithDialer(ctx, network, address, d.spec.User, password, database, dial, setup)
	if err == nil && !release() {
		err = context.Cause(ctx)
	}
	if err != nil {
		if sock != nil {
			sock.Close()
		}
		if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			err = fmt.Errorf("no answer within %s: %w", d.spec.ConnectTimeout, os.ErrDeadlineExceeded)
		}
		return nil, err
	}
	return &conn{my: my, raw: my.Conn.Conn, id: my.GetConnectionID()}, nil
}

func (c *conn) mariadb() bool { return strings.Contains(c.my.GetServerVersion(), "MariaDB") }

// pin makes the session independent of the server's settings, read-only, and ends statements that take too long.
func (c *conn) pin(limit time.Duration) error {
	sets := []string{"SET NAMES utf8mb4", pins}
	if c.mariadb() {
		sets[1] = strings.NewReplacer("transaction_isolation", "tx_isolation", "transaction_read_only", "tx_read_only").Replace(pins)
		sets = append(sets, fmt.Sprintf("SET SESSION max_statement_time=%g", limit.Seconds()), "SET SESSION idle_transaction_timeout=0, idle_readonly_transaction_timeout=0")
	} else {
		sets = append(sets, fmt.Sprintf("SET SESSION max_execution_time=%d, information_schema_stats_expiry=0", limit.Milliseconds()))
	}
	for _, sql := range sets {
		if _, err := c.my.Execute(sql); err != nil {
			return err
		}
	}
	return nil
}

// watch makes everything under way on c fail as soon as ctx ends, and calls onEnd then.
// Call stop when the work is done; it says whether ctx ended before.
func (c *conn) watch(ctx context.Context, onEnd func()) (stop func() bool) {
	fired := make(chan struct{})
	off := context.AfterFunc(ctx, func() {
		defer close(fired)
		_ = c.raw.SetDeadline(time.Unix(1, 0))
		if onEnd != nil {
			onEnd()
		}
	})
	return func() bool {
		if off() {
			return false
		}
		<-fired
		c.broken = true
		return true
	}
}

// query runs one statement in the text protocol and returns the whole answer. Errors are
// the server's or the connection's own, not yet faults.
func (c *conn) query(ctx context.Context, sql string) (*mysql.Result, error) {
	if c.broken {
		return nil, net.ErrClosed
	}
	stop := c.watch(ctx, nil)
	res, err := c.my.Execute(sql)
	if stop() && err != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil && lost(err) {
		c.broken = true
	}
	return res, err
}

func (c *conn) close() {
	if !c.broken {
		_ = c.raw.SetDeadline(time.Now().Add(time.Second))
		_ = c.my.Quit()
	}
	_ = c.raw.Close()
	if c.broken && c.end != nil {
		c.end(c.id)
	}
}

// text is field k of row i as the server printed it; ok is false for null.
func text(res *mysql.Result, i, k int) (s string, ok bool) {
	v := res.Values[i][k]
	switch v.Type {
	case mysql.FieldValueTypeNull:
		return "", false
	case mysql.FieldValueTypeUnsigned:
		return fmt.Sprint(v.AsUint64()), true
	case mysql.FieldValueTypeSigned:
		return fmt.Sprint(v.AsInt64()), true
	case mysql.FieldValueTypeFloat:
		return fmt.Sprint(v.AsFloat64()), true
	}
	return string(v.AsString()), true
}

// number is field k of row i as a count, -1 for null or what is none.
func number(res *mysql.Result, i, k int) int64 {
	v := res.Values[i][k]
	switch v.Type {
	case mysql.FieldValueTypeUnsigned:
		return int64(min(v.AsUint64(), 1<<62))
	case mysql.FieldValueTypeSigned:
		return v.AsInt64()
	}
	if s, ok := text(res, i, k); ok { // EXPLAIN may print its numbers as text
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n
		}
	}
	return -1
}
