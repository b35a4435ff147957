package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/sqlkit"
)

var (
	_ connector.Checker = (*source)(nil)
	_ connector.Checker = (*dest)(nil)
)

// Check tries what a run needs of the server, and what it is better off with.
func (s *source) Check(ctx context.Context) []connector.Check {
	checks := []func(context.Context, *conn, *connector.Check) error{s.srv.checkLogin, s.srv.checkTLS, s.checkGrants, s.checkReadOnly, s.checkSnapshot}
	out := make([]connector.Check, len(checks))
	for i, link := range []string{"login", "TLS", "grants", "read-only", "snapshot"} {
		c := &out[i]
		c.Link = link
		if err := s.withControl(ctx, func(conn *conn) error { return checks[i](ctx, conn, c) }); err != nil {
			c.Fault = err
		}
	}
	return out
}

func (s *server) checkLogin(ctx context.Context, c *conn, out *connector.Check) error {
	var user, version string
	var replica bool
	if err := c.value(ctx, "asking who is logged in", "SELECT current_user, current_setting('server_version'), pg_is_in_recovery()", &user, &version, &replica); err != nil {
		return err
	}
	version, _, _ = strings.Cut(version, " ")
	out.Found = fmt.Sprintf("as %s, PostgreSQL %s", user, version)
	if replica {
		out.Found += ", a replica"
	}
	return nil
}

func (s *server) checkTLS(ctx context.Context, c *conn, out *connector.Check) error {
	var version string
	if err := c.value(ctx, "asking for the encryption", "SELECT coalesce((SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()), '')", &version); err != nil {
		return err
	}
	config := s.config.TLSConfig
	switch {
	case config != nil && config.InsecureSkipVerify:
		out.Advice = true
		return fault.New(fault.Config, "postgres.tls", "set postgres.tls.mode: verify", "%s, but anybody may pretend to be the server", version)
	case config != nil:
		out.Found = version + ", the server's certificate verified"
	case onThisMachine(s.spec.Host):
		out.Found = "in the clear, within this machine"
	case s.tunnel != nil:
		out.Found = "in the SSH tunnel; in the clear behind it"
	default:
		out.Advice = true
		return fault.New(fault.Config, "postgres.tls", "set postgres.tls.mode: verify", "rows cross the network in the clear")
	}
	return nil
}

// relationsHaving lists the tables of the config's schemas for which a condition on c, a row of pg_class, holds.
func (s *source) relationsHaving(ctx context.Context, c *conn, condition string) ([]string, error) {
	rows, err := list[struct{ Name string }](ctx, c, "asking for grants", `SELECT n.nspname || '.' || c.relname
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND n.nspname IN (`+literals(s.srv.spec.Schemas)+`) AND `+condition+` ORDER BY 1`)
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = strings.TrimPrefix(r.Name, publicSchema+".")
	}
	return names, err
}

func (s *source) checkGrants(ctx context.Context, c *conn, out *connector.Check) error {
	if err := c.checkSchemas(ctx); err != nil {
		return err
	}
	grant := fmt.Sprintf("GRANT USAGE ON SCHEMA %[2]s TO %[1]s; GRANT SELECT ON ALL TABLES IN SCHEMA %[2]s TO %[1]s",
		ident(s.srv.spec.User), ident(s.srv.spec.Schemas[0]))
	all, err := s.relationsHaving(ctx, c, "true")
	if err != nil {
		return err
	}
	denied, err := s.relationsHaving(ctx, c, "NOT (has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT'))")
	if err != nil {
		return err
	}
	switch {
	case len(all) == 0:
		return fault.New(fault.Source, "postgres.permission", "check source.postgres.database and schemas", "there are no tables in %s", strings.Join(s.srv.spec.Schemas, ", "))
	case len(denied) > 0:
		return fault.New(fault.Source, "postgres.permission", grant, "user %q may not read %s", s.srv.spec.User, sqlkit.Some(denied))
	}
	out.Found = fmt.Sprintf("%d tables can be read", len(all))
	return nil
}

func (s *source) checkReadOnly(ctx context.Context, c *conn, out *connector.Check) error {
	const ownUser = "give kitamae a user of its own with SELECT"
	var super bool
	if err := c.value(ctx, "asking for the user's rights", "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user", &super); err != nil {
		return err
	}
	writable, err := s.relationsHaving(ctx, c, "has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')")
	if err != nil {
		return err
	}
	out.Advice = true
	switch {
	case super:
		return fault.New(fault.Source, "postgres.writes", ownUser, "user %q is a superuser", s.srv.spec.User)
	case len(writable) > 0:
		return fault.New(fault.Source, "postgres.writes", ownUser, "user %q could also change %s", s.srv.spec.User, sqlkit.Some(writable))
	}
	out.Found = "the user can change no table"
	return nil
}

// checkSnapshot exports a snapshot, as several connections need it to see one state of all tables.
func (s *source) checkSnapshot(ctx context.Context, c *conn, out *connector.Check) error {
	var name string
	err := c.exec(ctx, "beginning a snapshot", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	if err == nil {
		err = c.value(ctx, "exporting a snapshot", "SELECT pg_catalog.pg_export_snapshot()", &name)
	}
	if end := c.exec(ctx, "ending the snapshot", "ROLLBACK"); err == nil {
		err = end
	}
	out.Found = "one for all connections"
	return err
}

// Check tries what a run needs to write. It makes nothing.
func (d *dest) Check(ctx context.Context) []connector.Check {
	checks := []func(context.Context, *conn, *connector.Check) error{d.srv.checkLogin, d.srv.checkTLS, d.checkRights}
	out := make([]connector.Check, len(checks))
	for i, link := range []string{"login", "TLS", "rights"} {
		c := &out[i]
		c.Link = link
		if err := d.with(ctx, func(conn *conn) error { return checks[i](ctx, conn, c) }); err != nil {
			c.Fault = err
		}
	}
	return out
}

// checkRights asks for the right to make schemas, where one is missing, and tables in them.
func (d *dest) checkRights(ctx context.Context, c *conn, out *connector.Check) error {
	var database bool
	if err := c.value(ctx, "asking for the user's rights", "SELECT has_database_privilege(current_database(), 'CREATE')", &database); err != nil {
		return err
	}
	for _, schema := range []string{d.schema, metaSchema} {
		var there, may bool
		err := c.value(ctx, "asking for the user's rights", "SELECT count(*) > 0, coalesce(bool_and(has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE')), false)"+
			" FROM pg_catalog.pg_namespace WHERE nspname = "+literal(schema), &there, &may)
		switch {
		case err != nil:
			return err
		case !there && !database:
			return fault.New(fault.Destination, "postgres.permission", fmt.Sprintf("GRANT CREATE ON DATABASE %s TO %s", ident(d.srv.spec.Database), ident(d.srv.spec.User)),
				"user %q may not make the schema %s", d.srv.spec.User, schema)
		case there && !may:
			return fault.New(fault.Destination, "postgres.permission", fmt.Sprintf("GRANT USAGE, CREATE ON SCHEMA %s TO %s", ident(schema), ident(d.srv.spec.User)),
				"user %q may not make tables in the schema %s", d.srv.spec.User, schema)
		}
	}
	var foreign string
	err := c.value(ctx, "asking for the user's rights", `SELECT coalesce(string_agg(relname, ', ' ORDER BY relname), '') FROM pg_catalog.pg_class
		WHERE relnamespace = to_regnamespace(`+literal(metaSchema)+`) AND relname IN (`+literals(metaNames())+`)
		AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT') AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))`, &foreign)
	switch {
	case err != nil:
		return err
	case foreign != "":
		return fault.New(fault.Destination, "postgres.permission", grantMeta(d.srv.spec.User), "user %q may not write %s in the schema %s, which another user made",
			d.srv.spec.User, foreign, metaSchema)
	}
	out.Found = "tables can be made in " + d.schema
	return nil
}
