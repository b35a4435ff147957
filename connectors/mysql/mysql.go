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
	// Database is the database whose tables are read.
	Database string `yaml:"database" json:"database" conf:"required"`
	// TLS says how the connection is encrypted.
	TLS TLS `yaml:"tls" json:"tls"`
	// ConnectTimeout is how long logging in may take.
	ConnectTimeout time.Duration `yaml:"connect_timeout" json:"connect_timeout" conf:"min=1s,max=10m"`
}

// TLS says how the connection is encrypted.
type TLS struct {
	// Mode is verify (encrypt, and check the server's certificate), skip-verify (encrypt only) or off. Left
	// out, it is off for this machine and Unix sockets and verify for everything else.
	Mode string `yaml:"mode" json:"mode" conf:"enum=verify|skip-verify|off"`
	// CAFile is a PEM file of the authorities that may have signed the server's certificate, for those the
	// system does not know (Amazon RDS: global-bundle.pem). A relative path starts at the config file's folder.
	CAFile string `yaml:"ca_file" json:"ca_file"`
	// ServerName is the name the certificate must carry when it is not host.
	ServerName string `yaml:"server_name" json:"server_name"`
}

// The values of TLS.Mode.
const (
	tlsVerify     = "verify"
	tlsSkipVerify = "skip-verify"
	tlsOff        = "off"
)

var defaults = Spec{Port: 3306, ConnectTimeout: 15 * time.Second}

// Connector is what connectors/all adds.
var Connector = connector.Connector{
	Name:    "mysql",
	Summary: "MySQL 8 and 9, MariaDB 10.6 and newer, Aurora MySQL",
	Source:  connector.NewEnd[Spec, connector.Source](defaults, openSource, place),
	Schemes: []string{"mysql", "mariadb"},
	FromURL: fromURL,
}

// openSource checks the spec and logs in once, so that a wrong password is known before
// anything else is tried. The connection stays as the control connection.
func openSource(ctx context.Context, spec Spec, env connector.Env) (connector.Source, error) {
	switch spec.TLS.Mode {
	case "", tlsVerify, tlsSkipVerify, tlsOff:
	default:
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
// socket, tls, ca_file and server_name.
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
		into := map[string]*string{"socket": &spec.Socket, "tls": &spec.TLS.Mode, "ca_file": &spec.TLS.CAFile, "server_name": &spec.TLS.ServerName}[key]
		if into == nil {
			return nil, fault.New(fault.Config, "mysql.url", "known are socket, tls, ca_file and server_name", "unknown parameter %q", key)
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
