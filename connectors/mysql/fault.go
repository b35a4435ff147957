package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/agnivade/levenshtein"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/kitamae/kitamae/fault"
)

// Error numbers of the server that kitamae tells apart.
const (
	erConCount         = 1040
	erDBAccessDenied   = 1044
	erAccessDenied     = 1045
	erBadDB            = 1049
	erServerShutdown   = 1053
	erBadField         = 1054
	erParse            = 1064
	erNonUniqTable     = 1066
	erTableAccess      = 1142
	erColumnAccess     = 1143
	erNoSuchTable      = 1146
	erNetReadError     = 1158
	erNetWriteTimeout  = 1161
	erTooManyUserConns = 1203
	erUserLimit        = 1226
	erNeedsPrivilege   = 1227
	erInterrupted      = 1317
	erViewInvalid      = 1356
	erTableDefChanged  = 1412
	erAccessNoPassword = 1698
	erConnectionKilled = 1927 // MariaDB
	erStatementTimeout = 1969 // MariaDB
	erQueryTimeout     = 3024 // MySQL
	erSecureTransport  = 3159
)

// refused says why logging in did not work and what to do about it.
func (d *dialer) refused(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if f := (*fault.Error)(nil); errors.As(err, &f) { // the tunnel's
		return err
	}
	var (
		my       *mysql.MyError
		dns      *net.DNSError
		cert     *tls.CertificateVerificationError
		unknown  x509.UnknownAuthorityError
		record   tls.RecordHeaderError
		place    = d.spec.address()
		user     = d.spec.User
		wrapped  = fmt.Errorf("connect to %s: %w", place, err)
		tlsHint  = "give the authority that signed the server's certificate as source.mysql.tls.ca_file; for Amazon RDS write its own name, which ends in rds.amazonaws.com, as host or source.mysql.tls.server_name"
		hostHint = "check source.mysql.host and source.mysql.port"
	)
	if d.spec.Socket != "" {
		hostHint = "check source.mysql.socket"
	}
	switch {
	case errors.As(err, &my):
		return d.denied(ctx, my)
	case errors.As(err, &dns):
		return fault.New(fault.Config, "mysql.host", "check source.mysql.host", "host %q is not known: %v", d.spec.Host, dns)
	case errors.As(err, &cert), errors.As(err, &unknown), errors.As(err, &record):
		return fault.Wrap(fault.Config, "mysql.tls", tlsHint, wrapped)
	case hungUp(err):
		return fault.Again(fault.Wrap(fault.Source, "mysql.connect", "see the server's log: it, or something before it, hangs up; it may be starting", wrapped))
	case strings.Contains(err.Error(), "does not support TLS"):
		return fault.New(fault.Config, "mysql.tls", "turn TLS on at the server, or set source.mysql.tls.mode: off if the network between is trusted",
			"%s does not speak TLS", place)
	case strings.Contains(err.Error(), "tls:"):
		return fault.Wrap(fault.Config, "mysql.tls", "check source.mysql.tls and the server's TLS settings", wrapped)
	case strings.Contains(err.Error(), "auth plugin"):
		return fault.Wrap(fault.Config, "mysql.auth", "give the user a password: caching_sha2_password, mysql_native_password and ed25519 are spoken", wrapped)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fault.New(fault.Source, "mysql.refused", hostHint+"; is the server running?", "nothing listens at %s", place).Again()
	case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		return fault.Wrap(fault.Config, "mysql.socket", "check source.mysql.socket", wrapped)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fault.Again(fault.Wrap(fault.Source, "mysql.timeout", hostHint+" and that a firewall lets this machine through", wrapped))
	}
	return fault.Wrap(fault.Source, "mysql.connect", hostHint+fmt.Sprintf(" (user %q)", user), wrapped)
}

// hungUp says whether the connection ended before an answer, rather than with one.
func hungUp(err error) bool {
	for _, end := range []error{mysql.ErrBadConn, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// denied translates what the server itself answered to a login.
func (d *dialer) denied(ctx context.Context, my *mysql.MyError) error {
	place, user := d.spec.address(), d.spec.User
	switch my.Code {
	case erAccessDenied, erAccessNoPassword:
		if d.iam != nil {
			return fault.New(fault.Config, "mysql.auth",
				"allow the AWS role rds-db:connect on this user, turn IAM authentication on at the database, and CREATE USER … IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'",
				"%s refused the AWS role as user %q: %s", place, user, my.Message)
		}
		return fault.New(fault.Config, "mysql.auth", "check source.mysql.user and the secret behind source.mysql.password",
			"%s refused user %q: %s", place, user, my.Message)
	case erDBAccessDenied:
		return fault.New(fault.Config, "mysql.grant", fmt.Sprintf("GRANT SELECT ON %s.* TO the user, or check source.mysql.database", quoteName(d.spec.Database)),
			"%s: user %q may not use database %q", place, user, d.spec.Database)
	case erBadDB:
		hint := "check source.mysql.database"
		if near := d.nearestDatabase(ctx); near != "" {
			hint = fmt.Sprintf("did you mean %q? (source.mysql.database)", near)
		}
		return fault.New(fault.Config, "mysql.database", hint, "%s has no database %q", place, d.spec.Database)
	case erConCount, erTooManyUserConns, erUserLimit:
		return fault.New(fault.Source, "mysql.too_many_connections", "lower limits.connections, or raise the server's max_connections or the user's limit",
			"%s has no connection left: %s", place, my.Message).Again()
	case erServerShutdown:
		return fault.New(fault.Source, "mysql.connect", "wait for the server to be back", "%s is being shut down: %s", place, my.Message).Again()
	case erSecureTransport:
		return fault.New(fault.Config, "mysql.tls", "set source.mysql.tls.mode: verify", "%s insists on TLS", place)
	}
	return fault.Wrap(fault.Source, "mysql.connect", "look at the server's error log", fmt.Errorf("connect to %s: %w", place, my))
}

// nearestDatabase asks the server which databases there are; "" when it will not say.
func (d *dialer) nearestDatabase(ctx context.Context) string {
	c, err := d.login(ctx, "")
	if err != nil {
		return ""
	}
	defer c.close()
	res, err := c.query(ctx, "SHOW DATABASES")
	if err != nil {
		return ""
	}
	var names []string
	for i := range res.Values {
		if name, _ := text(res, i, 0); name != "information_schema" && name != "performance_schema" && name != "mysql" && name != "sys" {
			names = append(names, name)
		}
	}
	return nearest(d.spec.Database, names)
}

// nearest is the name most like want, "" when none is near.
func nearest(want string, names []string) string {
	best, dist := "", len([]rune(want))/2+1
	for _, name := range names {
		if n := levenshtein.ComputeDistance(strings.ToLower(want), strings.ToLower(name)); n < dist {
			best, dist = name, n
		}
	}
	return best
}

// lost says whether err means that the connection is gone, and its snapshot with it.
func lost(err error) bool {
	var my *mysql.MyError
	if !errors.As(err, &my) {
		return true // the network's, or an answer no one can follow
	}
	switch my.Code {
	case erServerShutdown, erConnectionKilled, erNetReadError, erNetReadError + 1, erNetReadError + 2, erNetWriteTimeout:
		return true
	}
	return false
}

// failed turns an error met while reading table into a fault.
func failed(ctx context.Context, doing string, table string, where string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if f := (*fault.Error)(nil); errors.As(err, &f) {
		return err
	}
	wrapped := fmt.Errorf("%s %s: %w", doing, table, err)
	var my *mysql.MyError
	switch {
	case errors.Is(err, errMalformed):
		return fault.Wrap(fault.Source, "mysql.protocol", "the server or something in between speaks another protocol; please report it", wrapped)
	case !errors.As(err, &my):
		return fault.Again(fault.Wrap(fault.Source, "mysql.connection_lost", "", wrapped))
	}
	switch my.Code {
	case erTableDefChanged:
		return changed(table, my.Message)
	case erBadField, erParse, erNonUniqTable:
		if where != "" {
			return fault.Wrap(fault.Config, "mysql.where", "check the table's where: it is SQL of the source", wrapped)
		}
		return changed(table, my.Message)
	case erNoSuchTable:
		return fault.New(fault.Source, "mysql.table_missing", "run kitamae plan to see what is there now", "table %s is not there any more", table)
	case erTableAccess, erColumnAccess, erNeedsPrivilege:
		return fault.Wrap(fault.Source, "mysql.grant", fmt.Sprintf("GRANT SELECT ON %s TO the user", quoteName(table)), wrapped)
	case erViewInvalid:
		return fault.Wrap(fault.Source, "mysql.view", "repair the view, or skip it in tables", wrapped)
	case erStatementTimeout, erQueryTimeout:
		return fault.Wrap(fault.Source, "mysql.statement_timeout", "read: chunked makes statements short; or raise source.mysql.statement_timeout", wrapped)
	case erInterrupted:
		return fault.Again(fault.Wrap(fault.Source, "mysql.killed", "somebody or a time limit of the server stopped the query", wrapped))
	}
	return fault.Wrap(fault.Source, "mysql.read", "", wrapped)
}

// changed is the fault for a table altered between planning and reading.
func changed(table, what string) *fault.Error {
	return fault.New(fault.Source, "mysql.table_changed", "run again; the next run plans with the table as it is now",
		"the definition of table %s changed while it was read: %s", table, what)
}
