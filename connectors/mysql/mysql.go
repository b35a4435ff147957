// Package mysql reads MySQL 8 and 9, MariaDB 10.6 and newer and Aurora MySQL. Logging in
// is go-mysql's work; rows are decoded by this package from the socket's bytes straight
// into Arrow buffers. It writes nothing to a server, ever.
package mysql

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/sqlkit"
)

// Spec configures a MySQL or MariaDB database to read from.
type Spec struct {
	// Host is the server's name or address. Give a reader's where there is one.
	Host string `yaml:"host" json:"host"`
	// Port is the server's TCP port.
	Port int `yaml:"port" json:"port" conf:"min=1,max=65535"`
	// Socket is the path of a Unix socket, in place of host and port.
	Socket string `yaml:"socket" json:"socket"`
	// User is who logs in. It needs SELECT on the tables, and REPLICATION CLIENT (MariaDB: BINLOG MONITOR)
	// for several connections to share one snapshot on MySQL.
	User string `yaml:"user" json:"user" conf:"required"`
	// Password is a secret reference, such as secret:env:DB_PASSWORD.
	Password conf.Secret `yaml:"password" json:"password" conf:"secret"`
	// Auth is password, the default, or iam: this machine's AWS role logs in to Amazon RDS or Aurora, without any password. The role
	// needs rds-db:connect, the user AWSAuthenticationPlugin.
	Auth string `yaml:"auth" json:"auth" conf:"enum=password|iam"`
	// Database is the database whose tables are read.
	Database string `yaml:"database" json:"database" conf:"required"`
	// TLS says how the connection is encrypted.
	TLS sqlkit.TLS `yaml:"tls" json:"tls"`
	// SSH is a tunnel to a database that is only reached from inside; host and port are then as seen from its far end.
	SSH sqlkit.SSH `yaml:"ssh" json:"ssh"`
	// ConnectTimeout is how long logging in may take.
	ConnectTimeout time.Duration `yaml:"connect_timeout" json:"connect_timeout" conf:"min=1s,max=10m"`
	// ReadTimeout is how long the server may be silent in the middle of an answer before the connection counts as
	// lost. Raise it where a view, or a table's where, computes for longer before its first row.
	ReadTimeout time.Duration `yaml:"read_timeout" json:"read_timeout" conf:"min=1s,max=24h"`
	// Read is snapshot (all tables as of one moment) or chunked (short statements of 1 to 3 seconds along each table's key: no
	// long transaction, but a table's parts are seconds or minutes apart). Left out, it is chunked on Aurora, where a long
	// snapshot on a reader holds back the writer's purge, and snapshot elsewhere.
	Read string `yaml:"read" json:"read" conf:"enum=snapshot|chunked"`
	// AllowWriter lets a run read from an Aurora writer, chunked. Without it only readers are read.
	AllowWriter bool `yaml:"allow_writer" json:"allow_writer"`
	// Throttle says when chunked reading waits for the server; a snapshot is never stretched by waiting.
	Throttle Throttle `yaml:"throttle" json:"throttle"`
	// StatementTimeout is after how long the server ends one statement of kitamae's by itself; 0 is never.
	StatementTimeout time.Duration `yaml:"statement_timeout" json:"statement_timeout" conf:"min=0s,max=24h"`
}

// Throttle says when chunked reading waits, between two short statements, until the server has less to do.
type Throttle struct {
	// ThreadsRunning is how many threads may be at work (Threads_running, kitamae's own among them). 0 switches it off.
	ThreadsRunning int `yaml:"threads_running" json:"threads_running" conf:"min=0"`
	// HistoryList is how long the list of old row versions may be that wait for purge. MySQL tells it with PROCESS only. 0 switches it off.
	HistoryList int `yaml:"history_list" json:"history_list" conf:"min=0"`
	// ReplicaLag is how far the replica that is read may be behind. 0 switches it off.
	ReplicaLag time.Duration `yaml:"replica_lag" json:"replica_lag" conf:"min=0s,max=24h"`
}

var defaults = Spec{
	Port: 3306, SSH: sqlkit.SSHDefaults, ConnectTimeout: 15 * time.Second, ReadTimeout: 10 * time.Minute, StatementTimeout: time.Hour,
	Throttle: Throttle{ThreadsRunning: 25, HistoryList: 1_000_000, ReplicaLag: 10 * time.Second},
}

// Connector is what connectors/all adds.
var Connector = connector.Connector{
	Name:    "mysql",
	Summary: "MySQL 8 and 9, MariaDB 10.6 and newer, Aurora MySQL",
	Caps:    connector.Caps{Portable: true},
	Source:  connector.NewEnd[Spec, connector.Source](defaults, openSource, place),
	Schemes: []string{"mysql", "mariadb"},
	FromURL: fromURL,
	Grants:  grants,
}

// openSource checks the spec and logs in once, so that a wrong password is known before
// anything else is tried. The connection stays as the control connection.
func openSource(ctx context.Context, spec Spec, env connector.Env) (connector.Source, error) {
	if !spec.TLS.Known() {
		return nil, fault.New(fault.Config, "mysql.spec", "write verify, skip-verify or off",
			"source.mysql.tls.mode: %q is not a mode", spec.TLS.Mode)
	}
	switch {
	case spec.Host == "" && spec.Socket == "":
		return nil, fault.New(fault.Config, "mysql.spec", "set source.mysql.host or source.mysql.socket", "no server is named")
	case spec.Host != "" && spec.Socket != "":
		return nil, fault.New(fault.Config, "mysql.spec", "keep either source.mysql.host or source.mysql.socket", "both a host and a socket are named")
	case spec.User == "":
		return nil, fault.New(fault.Config, "mysql.spec", "set source.mysql.user", "no user is named")
	case spec.Database == "":
		return nil, fault.New(fault.Config, "mysql.spec", "set source.mysql.database", "no database is named")
	}
	s, err := newSource(ctx, spec, env)
	if err != nil {
		return nil, err // not a typed nil
	}
	return s, nil
}

func place(spec Spec) string {
	return spec.Database + " on " + spec.address()
}

// address is the server's, for dialling and for people.
func (s Spec) address() string {
	if s.Socket != "" {
		return s.Socket
	}
	return net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
}

// local says whether the server is on this machine, so that no network is to be distrusted.
func (s Spec) local() bool {
	if s.Socket != "" || strings.EqualFold(s.Host, "localhost") {
		return true
	}
	ip := net.ParseIP(s.Host)
	return ip != nil && ip.IsLoopback()
}

// fromURL understands mysql://user:password@host:3306/database with the query parameters
// socket, tls, ca_file, server_name, read and allow_writer.
func fromURL(u *url.URL) (any, error) {
	const form = "write it as mysql://user@host/database"
	spec := defaults
	spec.Host = u.Hostname()
	spec.Database = strings.TrimPrefix(u.Path, "/")
	if u.User != nil {
		spec.User = u.User.Username()
		password, _ := u.User.Password()
		spec.Password = conf.Secret(password)
	}
	if p := u.Port(); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > 65535 {
			return nil, fault.New(fault.Config, "mysql.url", form, "%s is not a port", p)
		}
		spec.Port = n
	}
	for key, vals := range u.Query() {
		if key == "allow_writer" {
			spec.AllowWriter = vals[0] == "true"
			continue
		}
		into := map[string]*string{"read": &spec.Read, "socket": &spec.Socket, "tls": &spec.TLS.Mode, "ca_file": &spec.TLS.CAFile, "server_name": &spec.TLS.ServerName}[key]
		if into == nil {
			return nil, fault.New(fault.Config, "mysql.url", "known are socket, tls, ca_file, server_name, read and allow_writer", "unknown parameter %q", key)
		}
		*into = vals[0]
	}
	if spec.Socket != "" {
		spec.Host = ""
	} else if spec.Host == "" {
		spec.Host = "localhost"
	}
	if spec.Database == "" || strings.Contains(spec.Database, "/") {
		return nil, fault.New(fault.Config, "mysql.url", form, "the URL names no database")
	}
	if spec.User == "" {
		return nil, fault.New(fault.Config, "mysql.url", form, "the URL names no user")
	}
	return &spec, nil
}

// quoteName makes an identifier of any name.
func quoteName(name string) string {
	return "`" + strings.ReplaceAll(name, "`", "``") + "`"
}
