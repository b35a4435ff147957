// Package postgres reads PostgreSQL databases. All tables come from one exported
// snapshot, over several connections, and binary values go straight into Arrow buffers.
package postgres

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
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
	// Database is the database whose tables are read.
	Database string `yaml:"database" json:"database" conf:"required"`
	// Schemas are the schemas whose tables are read. Tables outside public are named schema.table.
	Schemas []string `yaml:"schemas" json:"schemas"`
	// TLS says how the connection is protected.
	TLS tlsSpec `yaml:"tls" json:"tls"`
	// ConnectTimeout bounds one login, from looking up the name to the first answer.
	ConnectTimeout time.Duration `yaml:"connect_timeout" json:"connect_timeout" conf:"min=1s,max=10m"`
}

type tlsSpec struct {
	// Mode is verify (encrypt and check the server's certificate), skip-verify (encrypt only) or off.
	// Left out it is verify, and off for servers on this machine.
	Mode string `yaml:"mode" json:"mode" conf:"enum=verify|skip-verify|off"`
	// CAFile is a PEM file with the authorities to trust instead of the system's.
	CAFile string `yaml:"ca_file" json:"ca_file"`
	// ServerName is the name the certificate must have. Left out it is the host.
	ServerName string `yaml:"server_name" json:"server_name"`
}

// The modes of TLS.
const (
	tlsVerify     = "verify"
	tlsSkipVerify = "skip-verify"
	tlsOff        = "off"
)

var defaults = Spec{Port: 5432, Schemas: []string{publicSchema}, ConnectTimeout: 15 * time.Second}

// Connector is what connectors/all adds.
var Connector = connector.Connector{
	Name:    "postgres",
	Summary: "PostgreSQL 13 and newer, Aurora PostgreSQL",
	Source:  connector.NewEnd[Spec, connector.Source](defaults, openSource, place),
	Schemes: []string{"postgres", "postgresql"},
	FromURL: fromURL,
}

// openSource logs in once, so that a wrong config is known at once.
func openSource(ctx context.Context, spec Spec, env connector.Env) (connector.Source, error) {
	if spec.TLS.CAFile != "" && !filepath.IsAbs(spec.TLS.CAFile) {
		spec.TLS.CAFile = filepath.Join(env.Dir, spec.TLS.CAFile)
	}
	if len(spec.Schemas) == 0 {
		spec.Schemas = []string{publicSchema}
	}
	srv, err := newServer(spec)
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
		case "sslrootcert":
			spec.TLS.CAFile = value
		case "sslmode":
			mode, ok := map[string]string{
				"disable": tlsOff, "require": tlsSkipVerify, "verify-ca": tlsVerify, "verify-full": tlsVerify,
				"allow": "", "prefer": "",
			}[value]
			if !ok {
				return nil, badURL("sslmode %q is not one of disable, require, verify-full", value)
			}
			spec.TLS.Mode = mode
		default:
			return nil, badURL("parameter %q is not known: host, schemas, sslmode and sslrootcert are", key)
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
