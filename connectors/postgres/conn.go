package postgres

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/sqlkit"
)

// minVersion is the oldest server read, as server_version_num says it.
const minVersion = 13_00_00

// session pins what decides how values print and how long a session may live. It is set
// after login, not with it, since poolers refuse unknown startup parameters. jit and
// parallel workers would cost the server more than they bring to a plain scan. The server asks a silent client every minute whether
// it is there: else it would keep a lost one's locks for two hours, and an ALTER TABLE would wait for them.
const session = `SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'iso_8601';
SET bytea_output = 'hex'; SET extra_float_digits = 3; SET xmloption = 'content';
SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '20s';
SET standard_conforming_strings = on; SET default_transaction_read_only = on;
SET tcp_keepalives_idle = 60; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 6;
SET jit = off; SET max_parallel_workers_per_gather = 0`

// server is where to connect and how. It is safe for many goroutines.
type server struct {
	spec   Spec
	config *pgx.ConnConfig
	tunnel *sqlkit.Tunnel // nil: no tunnel
	iam    *sqlkit.IAM    // nil: with the password
	// chunked says that there is no snapshot that an error could lose. It is set before there are more sessions than one.
	chunked bool
}

// newServer checks the spec and prepares logging in. Nothing is taken from the
// environment or from ~/.pgpass: the config says all.
func newServer(ctx context.Context, spec Spec, env connector.Env) (*server, error) {
	config, err := pgx.ParseConfig("host=localhost port=5432 user=nobody password=none dbname=none sslmode=disable target_session_attrs=any passfile=/dev/null servicefile=/dev/null")
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "postgres.config", "", fmt.Errorf("preparing the login: %w", err))
	}
	tlsConfig, err := spec.TLS.Config(spec.Host, onThisMachine(spec.Host), env.Dir)
	if err != nil {
		return nil, fault.Wrap(fault.Config, "postgres.tls", "check source.postgres.tls.ca_file", err)
	}
	if onSocket(spec.Host) {
		tlsConfig = nil
	}
	var iam *sqlkit.IAM
	if spec.Auth == sqlkit.AuthIAM {
		if iam, err = sqlkit.NewIAM(ctx, spec.Host, spec.Port, spec.User, tlsConfig); err != nil {
			return nil, err
		}
	}
	tunnel, err := sqlkit.NewTunnel(spec.SSH, env.Dir, spec.ConnectTimeout)
	if err != nil {
		return nil, err
	}
	config.Host, config.Port = spec.Host, uint16(spec.Port)
	config.User, config.Password, config.Database = spec.User, spec.Password.Reveal(), spec.Database
	config.TLSConfig, config.Fallbacks = tlsConfig, nil
	config.ConnectTimeout = spec.ConnectTimeout
	config.RuntimeParams = map[string]string{"application_name": "kitamae", "client_encoding": "UTF8"}
	dial := (&net.Dialer{KeepAliveConfig: sqlkit.KeepAlive}).DialContext
	if tunnel != nil {
		dial = tunnel.DialContext
		config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	}
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return sqlkit.Patient(c, spec.ReadTimeout), nil
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	config.StatementCacheCapacity, config.DescriptionCacheCapacity = 0, 0
	config.BuildContextWatcherHandler = cancelling
	config.OnNotice = func(*pgconn.PgConn, *pgconn.Notice) {}
	return &server{spec: spec, config: config, tunnel: tunnel, iam: iam}, nil
}

// login is the configuration of one login.
func (s *server) login(ctx context.Context) (config *pgx.ConnConfig, err error) {
	config = s.config.Copy()
	if s.iam != nil {
		config.Password, err = s.iam.Password(ctx)
	}
	return config, err
}

// cancelling makes a context that ends stop the statement at the server; a server that doesn't answer is hung up on.
func cancelling(c *pgconn.PgConn) ctxwatch.Handler {
	return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: 2 * time.Second}
}

// conn is one session. It serves one goroutine at a time.
type conn struct {
	*pgx.Conn
	srv     *server
	version int // as server_version_num: 150018
	// encoded says that the server vouches for text being UTF-8; a SQL_ASCII database does not.
	encoded bool
	failed  bool      // its transaction needs to go back to the savepoint
	buf     []byte    // of the row loop, kept from one statement to the next
	began   time.Time // the statement sent last
	who     string    // of a destination's: its number at the server and its begin, as SQL
}

// connect logs in and pins the session.
func (s *server) connect(ctx context.Context) (*conn, error) {
	config, err := s.login(ctx)
	if err != nil {
		return nil, err
	}
	pc, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, s.explainLogin(ctx, err)
	}
	c := &conn{Conn: pc, srv: s, encoded: pc.PgConn().ParameterStatus("server_encoding") != "SQL_ASCII"}
	limit := fmt.Sprintf("; SET statement_timeout = %d", s.spec.StatementTimeout.Milliseconds())
	if err := c.exec(ctx, "setting up the session", session+limit); err != nil {
		c.close()
		return nil, err
	}
	if err := c.value(ctx, "asking the version", "SELECT current_setting('server_version_num')::int", &c.version); err != nil {
		c.close()
		return nil, err
	}
	if c.version < minVersion {
		c.close()
		return nil, fault.New(fault.Source, "postgres.version", "upgrade the server", "%s runs PostgreSQL %d, which is older than 13",
			place(s.spec), c.version/10000)
	}
	if c.version >= 17_00_00 {
		if err := c.exec(ctx, "setting up the session", "SET transaction_timeout = 0"); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

// setPatience changes how long the server may be silent.
func (c *conn) setPatience(patience time.Duration) {
	socket := c.PgConn().Conn()
	if t, ok := socket.(*tls.Conn); ok {
		socket = t.NetConn()
	}
	socket.(*sqlkit.PatientConn).SetPatience(patience) // it was dialled so
}

// exec runs statements without results.
func (c *conn) exec(ctx context.Context, doing, sql string) error {
	c.began = time.Now()
	_, err := c.PgConn().Exec(ctx, sql).ReadAll()
	return c.explain(ctx, doing, err)
}

// value asks for one row.
func (c *conn) value(ctx context.Context, doing, sql string, into ...any) error {
	c.began = time.Now()
	return c.explain(ctx, doing, c.QueryRow(ctx, sql).Scan(into...))
}

// list asks for rows and scans each into a T by position.
func list[T any](ctx context.Context, c *conn, doing, sql string) ([]T, error) {
	c.began = time.Now()
	rows, err := c.Query(ctx, sql)
	if err != nil {
		return nil, c.explain(ctx, doing, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	return all, c.explain(ctx, doing, err)
}

// alive says whether the session can still be used.
func (c *conn) alive() bool { return c != nil && !c.IsClosed() }

// popAlive takes the session that was used last and still lives, nil for none; those that don't are forgotten. Whoever owns idle holds its lock.
func popAlive(idle *[]*conn) *conn {
	for len(*idle) > 0 {
		c := (*idle)[len(*idle)-1]
		*idle = (*idle)[:len(*idle)-1]
		if c.alive() {
			return c
		}
	}
	return nil
}

// close ends the session; a statement that still runs is told to stop first.
func (c *conn) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = c.Conn.Close(ctx) // nothing to lose: the transaction is read-only
}

// stop ends a session in the middle of an answer: the server is told to stop, then hung up on.
func (c *conn) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = c.PgConn().CancelRequest(ctx) // best effort: the server notices the closed connection too
	_ = c.PgConn().Conn().Close()
	_ = c.Conn.Close(ctx)
}

// databases lists the server's databases for a hint, or nothing.
func (s *server) databases(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	config, err := s.login(ctx)
	if err != nil {
		return nil
	}
	config.Database = "postgres"
	pc, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil
	}
	defer func() { _ = pc.Close(ctx) }()
	rows, err := pc.Query(ctx, "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate")
	if err != nil {
		return nil
	}
	names, _ := pgx.CollectRows(rows, pgx.RowTo[string])
	return names
}

// ident quotes names.
func ident(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// literal quotes a text; standard_conforming_strings is on.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// literals is a list of quoted texts or numbers for IN (…); it never is empty.
func literals[T string | uint32](values []T) string {
	parts := []string{"NULL"}
	for _, v := range values {
		switch v := any(v).(type) {
		case string:
			parts = append(parts, literal(v))
		case uint32:
			parts = append(parts, strconv.FormatUint(uint64(v), 10))
		}
	}
	return strings.Join(parts, ", ")
}
