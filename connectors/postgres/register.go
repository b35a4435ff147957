package postgres

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// register keeps values in rows of _kitamae.leases, which stay, over a session of its own: a lease is renewed while rows are copied. It needs no more rights than
// staging does, or those of [grantMeta] where another user made the table.
type register struct{ d *dest }

var _ connector.Register = (*register)(nil)

func openRegister(ctx context.Context, spec DestSpec, env connector.Env) (connector.Register, error) {
	d, err := newDest(ctx, spec, env)
	if err != nil {
		return nil, err
	}
	return &register{d}, nil
}

// where finds the row of key.
func (r *register) where(key string) string {
	return fmt.Sprintf(` WHERE "schema" = %s AND name = %s`, literal(r.d.schema), literal(key))
}

// Get implements [connector.Register].
func (r *register) Get(ctx context.Context, key string) (value []byte, version string, err error) {
	err = r.with(ctx, func(c *conn) (err error) {
		value, version, err = r.row(ctx, c, key)
		return err
	})
	return value, version, err
}

// with is [dest.with] for the table of leases, which another user may have made.
func (r *register) with(ctx context.Context, f func(*conn) error) error {
	err := r.d.with(ctx, f)
	if fault.HasCode(err, "postgres.permission") {
		return fault.For(err, fault.Destination, grantMeta(r.d.srv.spec.User))
	}
	return err
}

// row is the value and its version, nothing where no run has made the table yet.
func (r *register) row(ctx context.Context, c *conn, key string) (value []byte, version string, err error) {
	there := false
	if err := c.value(ctx, "looking for leases", "SELECT to_regclass("+literal(metaTable("leases"))+") IS NOT NULL", &there); err != nil || !there {
		return nil, "", err
	}
	rows, err := list[struct{ Value, Version string }](ctx, c, "reading the lease", "SELECT value, version FROM "+metaTable("leases")+r.where(key))
	if err != nil || len(rows) == 0 {
		return nil, "", err
	}
	return []byte(rows[0].Value), rows[0].Version, nil
}

// Put implements [connector.Register]. The version is this call's own, so that it is found again where the answer was lost.
func (r *register) Put(ctx context.Context, key string, value []byte, version string) (string, error) {
	next, changed := rand.Text(), false
	err := r.with(ctx, func(c *conn) (err error) {
		changed, err = r.change(ctx, c, key, string(value), version, next)
		return err
	})
	if err != nil {
		if _, now, readErr := r.Get(ctx, key); readErr == nil && now == next {
			return next, nil
		}
		return "", err
	}
	if !changed {
		return "", fmt.Errorf("%s: %w", key, fault.ErrConflict)
	}
	return next, nil
}

// change writes the row, if it is as version says.
func (r *register) change(ctx context.Context, c *conn, key, value, version, next string) (bool, error) {
	sql := fmt.Sprintf("UPDATE %s SET value = %s, version = %s", metaTable("leases"), literal(value), literal(next)) + r.where(key) + " AND version = " + literal(version)
	if version == "" {
		if err := r.d.createMeta(ctx, c); err != nil {
			return false, err
		}
		sql = insert("leases", literal(r.d.schema), literal(key), literal(value), literal(next)) + " ON CONFLICT DO NOTHING"
	}
	results, err := c.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		return false, r.d.explain(ctx, "writing the lease", err)
	}
	return results[0].CommandTag.RowsAffected() == 1, nil
}

// Close ends the session.
func (r *register) Close() error { return r.d.Close() }
