package mysql

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/sqlkit"
)

var _ connector.Checker = (*Source)(nil)

// Check tries what a run needs of the server, and what it is better off with.
func (s *Source) Check(ctx context.Context) []connector.Check {
	return []connector.Check{s.checkLogin(ctx), s.checkTLS(ctx), s.checkGrants(ctx), s.checkReadOnly(ctx), s.checkPosition(ctx)}
}

// ask returns the first row's columns as text.
func (s *Source) ask(ctx context.Context, doing, sql string) ([]string, error) {
	res, err := s.control(ctx, sql)
	if err != nil || len(res.Values) == 0 {
		return nil, failed(ctx, doing, place(s.spec), "", err)
	}
	row := make([]string, len(res.Values[0]))
	for k := range row {
		row[k], _ = text(res, 0, k)
	}
	return row, nil
}

func (s *Source) checkLogin(ctx context.Context) connector.Check {
	c := connector.Check{Link: "login"}
	row, err := s.ask(ctx, "ask who is logged in at", "SELECT CURRENT_USER(), VERSION(), @@global.read_only")
	if c.Fault = err; err != nil {
		return c
	}
	name := "MySQL "
	if s.mariadb {
		name = "MariaDB "
	}
	c.Found = fmt.Sprintf("as %s, %s%s", row[0], name, strings.TrimSuffix(row[1], "-MariaDB"))
	if row[2] != "0" {
		c.Found += ", a reader"
	}
	return c
}

func (s *Source) checkTLS(ctx context.Context) connector.Check {
	c := connector.Check{Link: "TLS"}
	row, err := s.ask(ctx, "ask for the encryption of", "SHOW SESSION STATUS LIKE 'Ssl_version'")
	switch {
	case err != nil:
		c.Fault = err
	case s.dial.tls != nil && s.dial.tls.InsecureSkipVerify:
		c.Advice = true
		c.Fault = fault.New(fault.Config, "mysql.tls", "set source.mysql.tls.mode: verify", "%s, but anybody may pretend to be the server", row[1])
	case s.dial.tls != nil:
		c.Found = row[1] + ", the server's certificate verified"
	case s.spec.local():
		c.Found = "in the clear, within this machine"
	case s.dial.tunnel != nil:
		c.Found = "in the SSH tunnel; in the clear behind it"
	default:
		c.Advice = true
		c.Fault = fault.New(fault.Config, "mysql.tls", "set source.mysql.tls.mode: verify", "rows and password cross the network in the clear")
	}
	return c
}

// checkGrants asks each table for nothing, which needs the right to read it.
func (s *Source) checkGrants(ctx context.Context) connector.Check {
	c := connector.Check{Link: "grants"}
	grant := fmt.Sprintf("GRANT SELECT ON %s.* TO the user", quoteName(s.spec.Database))
	tables, err := s.Discover(ctx)
	if err != nil {
		c.Fault = err
		return c
	}
	if len(tables) == 0 {
		c.Fault = fault.New(fault.Source, "mysql.grant", grant, "user %q sees no table in %s", s.spec.User, s.spec.Database)
		return c
	}
	var denied []string
	for _, t := range tables {
		_, err := s.control(ctx, "SELECT 1 FROM "+quoteName(t.Name)+" LIMIT 0")
		if ctx.Err() != nil {
			c.Fault = context.Cause(ctx)
			return c
		}
		if err != nil && !t.View { // a view may be broken by itself, and is read only where it is named
			denied = append(denied, t.Name)
		}
	}
	if len(denied) > 0 {
		c.Fault = fault.New(fault.Source, "mysql.grant", grant, "user %q may not read %s", s.spec.User, sqlkit.Some(denied))
		return c
	}
	c.Found = fmt.Sprintf("%d tables can be read", len(tables))
	return c
}

// writes are the rights that a reader has no use for.
var writes = regexp.MustCompile(`\b(ALL PRIVILEGES|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|SUPER|FILE|GRANT OPTION)\b`)

func (s *Source) checkReadOnly(ctx context.Context) connector.Check {
	c := connector.Check{Link: "read-only"}
	res, err := s.control(ctx, "SHOW GRANTS")
	if err != nil {
		c.Fault = failed(ctx, "list the grants at", place(s.spec), "", err)
		return c
	}
	var rights []string
	for i := range res.Values {
		line, _ := text(res, i, 0)
		verbs, _, _ := strings.Cut(line, " ON ")
		if strings.HasSuffix(line, "WITH GRANT OPTION") {
			verbs += ", GRANT OPTION"
		}
		for _, right := range writes.FindAllString(strings.TrimPrefix(verbs, "GRANT "), -1) {
			if !slices.Contains(rights, right) {
				rights = append(rights, right)
			}
		}
	}
	if len(rights) > 0 {
		c.Advice = true
		c.Fault = fault.New(fault.Source, "mysql.writes", "give kitamae a user of its own with SELECT, and REPLICATION CLIENT (MariaDB: BINLOG MONITOR)",
			"user %q could also change things: %s", s.spec.User, sqlkit.Some(rights))
		return c
	}
	c.Found = "the user can change nothing"
	return c
}

func (s *Source) checkPosition(ctx context.Context) connector.Check {
	c := connector.Check{Link: "binlog position"}
	p, ok, err := s.position(ctx)
	switch {
	case err != nil:
		c.Fault = err
	case !ok:
		c.Advice = true
		c.Fault = fault.New(fault.Source, "mysql.position",
			"turn the binlog on, and GRANT REPLICATION CLIENT (MariaDB: BINLOG MONITOR) ON *.* TO the user; or set limits.connections: 1",
			"it can't be read: with several connections each table is one snapshot, but not all tables together")
	case p.String() == "":
		c.Found = "each connection tells that of its snapshot"
	default:
		c.Found = p.String()
	}
	return c
}
