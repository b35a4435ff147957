package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/sqlkit"
)

// DestSpec configures a PostgreSQL database to write to.
type DestSpec struct {
	// Host is the server's name or address, or the folder of its Unix socket.
	Host string `yaml:"host" json:"host" conf:"required"`
	// Port is the server's TCP port; a socket's name ends with it too.
	Port int `yaml:"port" json:"port" conf:"min=1,max=65535"`
	// User logs in. It owns the tables, and needs CREATE on the schema and on the database (for the schema _kitamae).
	User string `yaml:"user" json:"user" conf:"required"`
	// Password is a secret reference, such as secret:env:PGPASSWORD. Leave it out where the server asks for none.
	Password conf.Secret `yaml:"password" json:"password"`
	// Auth is password, the default, or iam: this machine's AWS role logs in to Amazon RDS or Aurora, without any password. The role
	// needs rds-db:connect, the user the role rds_iam.
	Auth string `yaml:"auth" json:"auth" conf:"enum=password|iam"`
	// Database is the database that is written to.
	Database string `yaml:"database" json:"database" conf:"required"`
	// Schema is where the tables go. It is made when it is absent.
	Schema string `yaml:"schema" json:"schema" conf:"required"`
	// TLS says how the connection is encrypted.
	TLS sqlkit.TLS `yaml:"tls" json:"tls"`
	// SSH is a tunnel to a database that is only reached from inside; host and port are then as seen from its far end.
	SSH sqlkit.SSH `yaml:"ssh" json:"ssh"`
	// ConnectTimeout bounds one login, from looking up the name to the first answer.
	ConnectTimeout time.Duration `yaml:"connect_timeout" json:"connect_timeout" conf:"min=1s,max=10m"`
	// ReadTimeout is how long the server may be silent over one statement that publishes a table, or builds an index again, before the
	// connection counts as lost. Over all others, and while it takes rows, it is at most 15 minutes.
	ReadTimeout time.Duration `yaml:"read_timeout" json:"read_timeout" conf:"min=1s,max=24h"`
}

var destDefaults = DestSpec{Port: 5432, Schema: publicSchema, SSH: sqlkit.SSHDefaults, ConnectTimeout: 15 * time.Second, ReadTimeout: time.Hour}

// mostSilence is how long a server may be silent over anything but a commit; a question may take [queryLimit].
const mostSilence = 15 * time.Minute

// mostWait is how long a reader or a migration may hold a table that is to be published.
const mostWait = 5 * time.Minute

// mostIdle is how long a session may be silent inside a transaction: kitamae never is between two statements, unless its process is paused
// (a frozen container, a suspended machine). The server then ends the session, so that whoever takes over need not wait for its locks.
const mostIdle = time.Minute

// login is the spec as far as logging in goes.
func (s DestSpec) login() Spec {
	return Spec{
		Host: s.Host, Port: s.Port, User: s.User, Password: s.Password, Auth: s.Auth, Database: s.Database,
		TLS: s.TLS, SSH: s.SSH, ConnectTimeout: s.ConnectTimeout, ReadTimeout: min(s.ReadTimeout, mostSilence),
	}
}

func destPlace(s DestSpec) string {
	if s.Schema == publicSchema {
		return place(s.login())
	}
	return s.Schema + " in " + place(s.login())
}

// dest is one schema of a database as a destination.
type dest struct {
	srv    *server
	schema string
	pool   *batch.Pool
	// patience is how long the server may be silent while it publishes.
	patience time.Duration
	// mayWait is how long a statement waits for a lock, mayIdle how long a session may be silent inside a transaction. The server
	// watches both.
	mayWait, mayIdle time.Duration

	// step is called between the steps of a commit, for tests that stop there.
	step func(done string)

	mu   sync.Mutex
	idle []*conn
	// lost are sessions that were hung up on, as SQL: the server may not have heard of it, and keep what they have locked.
	lost []string
}

var (
	_ connector.Destination = (*dest)(nil)
	_ connector.Warehouse   = (*dest)(nil)
)

// newDest checks the spec. It logs in at the first need.
func newDest(ctx context.Context, spec DestSpec, env connector.Env) (*dest, error) {
	srv, err := newServer(ctx, spec.login(), env)
	if err != nil {
		return nil, asDest(err)
	}
	return &dest{srv: srv, schema: spec.Schema, pool: &batch.Pool{}, patience: spec.ReadTimeout, mayWait: mostWait, mayIdle: mostIdle, step: func(string) {}}, nil
}

// openDest logs in once, so that a wrong config is known before anything is read.
func openDest(ctx context.Context, spec DestSpec, env connector.Env) (connector.Destination, error) {
	d, err := newDest(ctx, spec, env)
	if err != nil {
		return nil, err
	}
	if err := d.with(ctx, func(*conn) error { return nil }); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// with lends a session to f. One that f leaves inside a transaction, or broken, is ended.
func (d *dest) with(ctx context.Context, f func(*conn) error) error {
	c, err := d.take(ctx)
	if err != nil {
		return asDest(err)
	}
	err = f(c)
	if c.alive() && c.PgConn().TxStatus() != 'I' {
		_ = c.exec(context.WithoutCancel(ctx), "rolling back", "ROLLBACK") // a session that can't is ended below
	}
	if !c.alive() || c.PgConn().TxStatus() != 'I' {
		c.stop()
		d.mu.Lock()
		d.lost = append(d.lost, c.who)
		d.mu.Unlock()
		return asDest(err)
	}
	d.mu.Lock()
	d.idle = append(d.idle, c)
	d.mu.Unlock()
	return asDest(err)
}

// take is an idle session or a new one, once those that were lost are ended.
func (d *dest) take(ctx context.Context) (*conn, error) {
	c := d.idler()
	if c == nil {
		var err error
		if c, err = d.login(ctx); err != nil {
			return nil, err
		}
	}
	return c, d.endLost(ctx, c)
}

// idler is an idle session, nil for none.
func (d *dest) idler() *conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return popAlive(&d.idle)
}

func (d *dest) login(ctx context.Context) (*conn, error) {
	c, err := d.srv.connect(ctx)
	if err != nil {
		return nil, err
	}
	limits := fmt.Sprintf("; SET lock_timeout = %d; SET idle_in_transaction_session_timeout = %d", d.mayWait.Milliseconds(), d.mayIdle.Milliseconds())
	if err := c.exec(ctx, "setting up the session", "SET default_transaction_read_only = off; SET client_min_messages = error"+limits); err != nil {
		c.close()
		return nil, err
	}
	if err := c.value(ctx, "asking which session this is", "SELECT pg_catalog.format('(%s, %L)', pid, backend_start) FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()", &c.who); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// endLost ends the sessions that were lost, before anything waits for what they hold: a server that never heard of a lost connection
// would wait in the middle of a COPY for hours.
func (d *dest) endLost(ctx context.Context, c *conn) error {
	d.mu.Lock()
	lost := d.lost
	d.lost = nil
	d.mu.Unlock()
	if len(lost) == 0 {
		return nil
	}
	err := c.exec(ctx, "ending lost sessions", "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE (pid, backend_start) IN ("+strings.Join(lost, ", ")+")")
	if err != nil {
		c.stop()
	}
	return err
}

// Close ends all sessions. What is staged stays, for a commit that is asked for again.
func (d *dest) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.idle {
		c.close()
	}
	d.idle = nil
	return d.srv.tunnel.Close()
}

// asDest makes a fault of a session the destination's: logging in and explaining is the code that reads, too.
func asDest(err error) error {
	var f *fault.Error
	if err == nil || !errors.As(err, &f) {
		return err
	}
	kind, hint := f.Kind, strings.ReplaceAll(f.Hint, "source.postgres", "destination.postgres")
	if kind == fault.Source {
		kind = fault.Destination
	}
	if kind == f.Kind && hint == f.Hint {
		return err
	}
	return fault.For(err, kind, hint)
}

// explain makes a fault of what a statement that writes came to.
func (d *dest) explain(ctx context.Context, doing string, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || ctx.Err() != nil {
		return asDest(d.srv.explain(ctx, doing, err))
	}
	said := pg.Message
	if pg.Detail != "" {
		said += " (" + strings.ReplaceAll(pg.Detail, "\n", "; ") + ")"
	}
	what := fmt.Errorf("%s: %s (SQLSTATE %s): %w", doing, said, pg.Code, err)
	switch {
	case pg.Code == "42501":
		return fault.Wrap(fault.Destination, "postgres.permission", "GRANT CREATE ON DATABASE … and CREATE, USAGE ON SCHEMA "+d.schema+
			" to "+d.srv.spec.User+", which must own the tables it replaces", what)
	case pg.Code == "2BP01":
		return fault.Wrap(fault.Destination, "postgres.dependents", "change or drop what depends on the table, then run again", what)
	case strings.HasPrefix(pg.Code, "23"):
		return fault.Wrap(fault.Destination, "postgres.constraint", "drop the constraint, or correct the rows; a foreign key can be DEFERRABLE", what)
	case strings.HasPrefix(pg.Code, "53"):
		return fault.Wrap(fault.Destination, "postgres.resources", "make room at the server: disk, memory or connections", what)
	case pg.Code == "55P03":
		return fault.Wrap(fault.Destination, "postgres.locked", "run again when nobody holds the table; "+d.holders(ctx), what)
	case strings.HasPrefix(pg.Code, "22"), pg.Code == "42804":
		return fault.Wrap(fault.Destination, "postgres.value", "set the column's type to text, or leave it out", what)
	}
	return asDest(d.srv.explain(ctx, doing, err))
}
