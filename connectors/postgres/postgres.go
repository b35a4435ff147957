// Package postgres reads PostgreSQL databases and writes to them. All tables come from one exported
// snapshot, over several connections, and binary values go straight into Arrow buffers; they are
// staged by binary COPY, and published in one transaction.
package postgres

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/sqlkit"
)

// Spec configures a PostgreSQL database to read from.
type Spec struct {
	// Host is the server's name or address, or the folder of its Unix socket.
	Host string `yaml:"host" json:"host" conf:"required"`
	// Port is the server's TCP port; a socket's name ends with it too.
	Port int `yaml:"port" json:"port" conf:"min=1,max=65535"`
	// User logs in. It needs SELECT on the tables, nothing else.
	User string `yaml:"user" json:"user" conf:"required"`
	// Password is a secret reference, such as secret:env:PGPASSWORD. Leave it out where the server asks for none.
	Password conf.Secret `yaml:"password" json:"password"`
	// Auth is password, the default, or iam: this machine's AWS role logs in to Amazon RDS or Aurora, without any password. The role
	// needs rds-db:connect, the user the role rds_iam.
	Auth string `yaml:"auth" json:"auth" conf:"enum=password|iam"`
	// Database is the database whose tables are read.
	Database string `yaml:"database" json:"database" conf:"required"`
	// Schemas are the schemas whose tables are read. Tables outside public are named schema.table.
	Schemas []string `yaml:"schemas" json:"schemas"`
	// TLS says how the connection is encrypted.
	TLS sqlkit.TLS `yaml:"tls" json:"tls"`
	// SSH is a tunnel to a database that is only reached from inside; host and port are then as seen from its far end.
	SSH sqlkit.SSH `yaml:"ssh" json:"ssh"`
	// ConnectTimeout bounds one login, from looking up the name to the first answer.
	ConnectTimeout time.Duration `yaml:"connect_timeout" json:"connect_timeout" conf:"min=1s,max=10m"`
	// ReadTimeout is how long the server may be silent in the middle of an answer before the connection counts as
	// lost. Raise it where a view, or a table's where, computes for longer before its first row.
	ReadTimeout time.Duration `yaml:"read_timeout" json:"read_timeout" conf:"min=1s,max=24h"`
	// Read is snapshot (all tables as of one moment) or chunked (short statements of 1 to 3 seconds along each table's key: no
	// long transaction, but a table's parts are seconds or minutes apart). Left out, it is chunked on Aurora, where a long
	// snapshot on a reader holds back the writer's vacuum, and snapshot elsewhere.
	Read string `yaml:"read" json:"read" conf:"enum=snapshot|chunked"`
	// AllowWriter lets a run read from an Aurora writer, chunked. Without it only readers are read.
	AllowWriter bool `yaml:"allow_writer" json:"allow_writer"`
	// Throttle says when chunked reading waits for the server; a snapshot is never stretched by waiting.
	Throttle throttleSpec `yaml:"throttle" json:"throttle"`
	// StatementTimeout is after how long the server ends one statement of kitamae's by itself; 0 is never.
	StatementTimeout time.Duration `yaml:"statement_timeout" json:"statement_timeout" conf:"min=0s,max=24h"`
}

// throttleSpec says when chunked reading waits, between two short statements, until the server has less to do.
type throttleSpec struct {
	// ActiveSessions is how many sessions may be at work, kitamae's own among them. Without pg_monitor (or pg_read_all_stats) only
	// the user's own are seen. 0 switches it off.
	ActiveSessions int `yaml:"active_sessions" json:"active_sessions" conf:"min=0"`
	// ReplicaLag is how far the replica that is read may be behind. 0 switches it off.
	ReplicaLag time.Duration `yaml:"replica_lag" json:"replica_lag" conf:"min=0s,max=24h"`
}

var defaults = Spec{
	Port: 5432, Schemas: []string{publicSchema}, SSH: sqlkit.SSHDefaults, ConnectTimeout: 15 * time.Second, ReadTimeout: 10 * time.Minute, StatementTimeout: time.Hour,
	Throttle: throttleSpec{ActiveSessions: 25, ReplicaLag: 10 * time.Second},
}

// Connector is what connectors/all adds.
var Connector = connector.Connector{
	Name:     "postgres",
	Summary:  "PostgreSQL 13 and newer, Aurora PostgreSQL",
	Caps:     connector.Caps{Atomic: true, Durable: true, Resumes: true, Warehouse: true, Append: true, Merge: true, Shared: true, Portable: true},
	Source:   connector.NewEnd[Spec, connector.Source](defaults, openSource, place),
	Dest:     connector.NewEnd[DestSpec, connector.Destination](destDefaults, openDest, destPlace),
	Register: connector.NewEnd[DestSpec, connector.Register](destDefaults, openRegister, destPlace),
	Schemes:  []string{"postgres", "postgresql"},
	FromURL:  fromURL,
	Grants:   grants,
}

// openSource logs in once, so that a wrong config is known at once.
func openSource(ctx context.Context, spec Spec, env connector.Env) (connector.Source, error) {
	if len(spec.Schemas) == 0 {
		spec.Schemas = []string{publicSchema}
	}
	srv, err := newServer(ctx, spec, env)
	if err != nil {
		return nil, err
	}
	s := newSource(srv)
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func place(spec Spec) string {
	if onSocket(spec.Host) {
		return fmt.Sprintf("%s on %s", spec.Database, spec.Host)
	}
	return fmt.Sprintf("%s on %s", spec.Database, net.JoinHostPort(spec.Host, strconv.Itoa(spec.Port)))
}

func onSocket(host string) bool {
	return strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@")
}

// onThisMachine says whether what goes to host never leaves the machine.
func onThisMachine(host string) bool {
	addr, err := netip.ParseAddr(host)
	return onSocket(host) || host == "localhost" || (err == nil && addr.IsLoopback())
}

// fromURL understands postgres://user:password@host:port/database and libpq's parameters
// host (a socket's folder), sslmode and sslrootcert, and schemas (comma-separated).
func fromURL(u *url.URL) (any, error) {
	spec := defaults
	spec.Schemas = []string{publicSchema}
	spec.Host = u.Hostname()
	spec.User = u.User.Username()
	password, _ := u.User.Password()
	spec.Password = conf.Secret(password)
	spec.Database = strings.TrimPrefix(u.Path, "/")
	if port := u.Port(); port != "" {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return nil, badURL("port %q is not a port", port)
		}
		spec.Port = n
	}
	for key, values := range u.Query() {
		value := values[len(values)-1]
		switch key {
		case "host":
			spec.Host = value
		case "schemas", "schema":
			spec.Schemas = strings.Split(value, ",")
		case "read":
			spec.Read = value
		case "allow_writer":
			spec.AllowWriter = value == "true"
		case "sslrootcert":
			spec.TLS.CAFile = value
		case "sslmode":
			mode, ok := map[string]string{
				"disable": sqlkit.TLSOff, "require": sqlkit.TLSSkipVerify, "verify-ca": sqlkit.TLSVerify, "verify-full": sqlkit.TLSVerify,
				"allow": "", "prefer": "",
			}[value]
			if !ok {
				return nil, badURL("sslmode %q is not one of disable, require, verify-full", value)
			}
			spec.TLS.Mode = mode
		default:
			return nil, badURL("parameter %q is not known: host, schemas, sslmode, sslrootcert, read and allow_writer are", key)
		}
	}
	switch {
	case spec.Host == "":
		return nil, badURL("there is no host")
	case spec.Database == "":
		return nil, badURL("there is no database")
	}
	return &spec, nil
}

func badURL(format string, args ...any) error {
	return fault.New(fault.Config, "postgres.url", "write it as postgres://user@host:5432/database", "the URL: "+format, args...)
}
