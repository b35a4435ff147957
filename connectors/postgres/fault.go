package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/agnivade/levenshtein"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/kitamae/kitamae/fault"
)

// lostSnapshot is the fault after which the run fixes a new view.
func lostSnapshot(why error) error {
	return fault.Wrap(fault.Source, "source.snapshot_lost",
		"see the server's log for what ended the session; the unfinished tables start over under a new snapshot",
		fmt.Errorf("the snapshot is gone with the session that held it: %w", why))
}

// isFault says whether err is one already.
func isFault(err error) bool {
	var f *fault.Error
	return errors.As(err, &f)
}

// explain turns what went wrong on an open connection into a fault. doing says what was tried.
func (s *server) explain(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if isFault(err) {
		return err
	}
	if ctx.Err() != nil {
		return fault.Wrap(fault.Interrupted, "run.interrupted", "", fmt.Errorf("%s: %w", doing, context.Cause(ctx)))
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return s.explainServer(doing, pg)
	}
	f := fault.New(fault.Source, "postgres.connection", "see the server's log; the partition is read again",
		"%s: the connection to %s was lost: %w", doing, place(s.spec), err)
	return f.Again()
}

// explain is [server.explain] of the statement sent last. A server that ends one for its time limit gives the code of one that
// somebody canceled, and only words, in whatever language it speaks, tell them apart. So does the time it took: kitamae's own
// cancelling goes with a context that has ended.
func (c *conn) explain(ctx context.Context, doing string, err error) error {
	var pg *pgconn.PgError
	limit := c.srv.spec.StatementTimeout
	const clocks = 100 // the two machines' may differ by one part in so many
	if limit == 0 || ctx.Err() != nil || !errors.As(err, &pg) || pg.Code != queryCanceled || time.Since(c.began) < limit-limit/clocks {
		return c.srv.explain(ctx, doing, err)
	}
	return fault.Wrap(fault.Source, "postgres.statement_timeout", "read: chunked makes statements short; or raise source.postgres.statement_timeout",
		fmt.Errorf("%s: the server ended the statement after %s: %s (SQLSTATE %s)", doing, time.Since(c.began).Round(time.Millisecond), pg.Message, pg.Code))
}

// queryCanceled is the SQLSTATE of a statement that was ended before it was done.
const queryCanceled = "57014"

// explainServer turns an error the server reported into a fault.
func (s *server) explainServer(doing string, pg *pgconn.PgError) error {
	said := fmt.Errorf("%s: %s (SQLSTATE %s)", doing, pg.Message, pg.Code)
	switch pg.Code {
	case "42501":
		return fault.Wrap(fault.Source, "postgres.permission",
			fmt.Sprintf("GRANT SELECT ON the table TO %s (or pg_read_all_data, PostgreSQL 14 and newer)", s.spec.User), said)
	case "42P01", "42703", "0A000", "42883", "42846":
		return fault.Wrap(fault.Source, "postgres.table_changed", "run again; somebody altered the table meanwhile", said)
	case "42601", "42804", "22P02":
		return fault.Wrap(fault.Config, "postgres.where", "check the table's `where`: it is a condition in PostgreSQL's SQL", said)
	case "55P03":
		return fault.Wrap(fault.Source, "postgres.locked", "run again when the migration (ALTER, TRUNCATE, LOCK …) is through", said)
	case "53200":
		return fault.Wrap(fault.Source, "postgres.resources", "raise max_locks_per_transaction, or read fewer tables in one run", said)
	case "40001": // a standby had to choose between its replay and this snapshot
		if s.chunked {
			return fault.New(fault.Source, "postgres.conflict", "on a standby, raise max_standby_streaming_delay; the partition is read again", "%w", said).Again()
		}
		return fault.Wrap(fault.Source, "source.snapshot_lost",
			"on a standby, turn hot_standby_feedback on or raise max_standby_streaming_delay", said)
	case "25P03": // only a destination's sessions have this limit: see mostIdle
		return fault.New(fault.Destination, "postgres.paused", "look for what paused this process: a frozen container, a suspended or overloaded machine; what it had begun is undone, and tried again",
			"%w", said).Again()
	case queryCanceled: // canceled by somebody; see conn.explain for the time limit
		f := fault.New(fault.Source, "postgres.connection", "see the server's log; the partition is read again", "%w", said)
		return f.Again()
	case "57P01", "57P02", "57P03", "53300", "08006", "08003", "57P05":
		f := fault.New(fault.Source, "postgres.connection", "see the server's log; the partition is read again", "%w", said)
		return f.Again()
	}
	return fault.Wrap(fault.Source, "postgres.query", "see the server's log", said)
}

// explainLogin turns what went wrong before a session stood into a fault.
func (s *server) explainLogin(ctx context.Context, err error) error {
	spec, at := s.spec, place(s.spec)
	if ctx.Err() != nil {
		return fault.Wrap(fault.Interrupted, "run.interrupted", "", fmt.Errorf("connecting to %s: %w", at, context.Cause(ctx)))
	}
	if isFault(err) { // the tunnel's
		return err
	}
	var (
		pg       *pgconn.PgError
		dns      *net.DNSError
		unknown  x509.UnknownAuthorityError
		wrong    x509.HostnameError
		invalid  x509.CertificateInvalidError
		verify   *tls.CertificateVerificationError
		timeout  net.Error
		notThere = errors.Is(err, syscall.ENOENT)
	)
	switch {
	case errors.As(err, &pg):
		return s.refused(ctx, pg)
	case errors.As(err, &dns):
		return fault.New(fault.Config, "postgres.host", "check source.postgres.host", "there is no host %q: %s", spec.Host, dns.Err)
	case errors.As(err, &wrong):
		return fault.New(fault.Config, "postgres.tls",
			"use the host name the certificate was made for, or set source.postgres.tls.server_name",
			"the certificate of %s is for another name: %w", at, err)
	case errors.As(err, &unknown):
		return fault.New(fault.Config, "postgres.tls",
			"set source.postgres.tls.ca_file to the authority's PEM file; for Aurora and RDS write its own name, which ends in rds.amazonaws.com, as host or tls.server_name",
			"the certificate of %s is signed by an authority this machine does not know", at)
	case errors.As(err, &invalid), errors.As(err, &verify):
		return fault.New(fault.Config, "postgres.tls", "renew the server's certificate, or set source.postgres.tls.ca_file",
			"the certificate of %s is not valid: %w", at, err)
	case strings.Contains(err.Error(), "server refused TLS"):
		return fault.New(fault.Config, "postgres.tls",
			"turn ssl on at the server, or set source.postgres.tls.mode: off where the network is trusted",
			"%s does not speak TLS", at)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fault.New(fault.Source, "postgres.refused", "check source.postgres.port, and that the server runs and listens there (listen_addresses)",
			"nothing accepts connections at %s", at).Again()
	case notThere:
		return fault.New(fault.Config, "postgres.refused",
			"check source.postgres.host (a folder such as /var/run/postgresql) and port, and that the server runs",
			"there is no socket %s/.s.PGSQL.%d", spec.Host, spec.Port)
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Source, "postgres.timeout", "check the host, the port, and firewalls or security groups between here and there",
			"%s did not answer within %s", at, spec.ConnectTimeout).Again()
	}
	return fault.New(fault.Source, "postgres.connection", "check that the server runs and can be reached from here",
		"connecting to %s: %w", at, err).Again()
}

// refused explains a login the server turned down.
func (s *server) refused(ctx context.Context, pg *pgconn.PgError) error {
	spec := s.spec
	if s.iam != nil && strings.HasPrefix(pg.Code, "28") {
		return fault.New(fault.Config, "postgres.auth",
			"allow the AWS role rds-db:connect on this user, turn IAM authentication on at the database, and GRANT rds_iam TO the user",
			"%s refused the AWS role as user %q: %s", place(spec), spec.User, pg.Message)
	}
	switch pg.Code {
	case "28P01":
		return fault.New(fault.Config, "postgres.auth", "check source.postgres.user and the secret behind source.postgres.password",
			"%s refused user %q: wrong password, or no such user", place(spec), spec.User)
	case "28000":
		if strings.Contains(pg.Message, "pg_hba") {
			hint := "let this client in through pg_hba.conf"
			if strings.Contains(pg.Message, "no encryption") {
				hint += ", or set source.postgres.tls.mode: verify as it may only want encrypted connections"
			}
			return fault.New(fault.Source, "postgres.pg_hba", hint, "%s lets nobody in from here: %s", place(spec), pg.Message)
		}
		return fault.New(fault.Config, "postgres.auth", "check source.postgres.user and that it may log in",
			"%s refused user %q: %s", place(spec), spec.User, pg.Message)
	case "3D000":
		return fault.New(fault.Config, "postgres.database", didYouMean(spec.Database, s.databases(ctx), "check source.postgres.database"),
			"there is no database %q on %s", spec.Database, spec.Host)
	case "42501":
		return fault.New(fault.Source, "postgres.permission", fmt.Sprintf("GRANT CONNECT ON DATABASE %s TO %s", spec.Database, spec.User),
			"%s refused user %q: %s", place(spec), spec.User, pg.Message)
	case "53300":
		return fault.New(fault.Source, "postgres.connections", "lower limits.connections, or raise max_connections at the server",
			"%s has no connection left: %s", place(spec), pg.Message).Again()
	}
	return fault.New(fault.Source, "postgres.connection", "see the server's log",
		"%s refused the connection: %s (SQLSTATE %s)", place(spec), pg.Message, pg.Code).Again()
}

// didYouMean is a hint with the name nearest to want, or else otherwise.
func didYouMean(want string, have []string, otherwise string) string {
	best, found := 1+max(2, len(want)/3), ""
	for _, name := range have {
		if d := levenshtein.ComputeDistance(strings.ToLower(want), strings.ToLower(name)); d < best {
			best, found = d, name
		}
	}
	if found == "" {
		return otherwise
	}
	return fmt.Sprintf("did you mean %q?", found)
}
