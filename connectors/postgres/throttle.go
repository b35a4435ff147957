package postgres

import (
	"context"

	"github.com/kitamae/kitamae/sqlkit"
)

// newThrottle watches what the spec has limits for, over the control connection.
func (s *source) newThrottle() *sqlkit.Throttle {
	limits := s.srv.spec.Throttle
	return sqlkit.NewThrottle(
		sqlkit.Gauge{Says: "%.0f sessions are active at the server (limit %.0f)", Limit: float64(limits.ActiveSessions), Read: s.gauge(
			"SELECT pg_catalog.count(*)::float8 FROM pg_catalog.pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()")},
		// a replica that has replayed all it has received is not behind, however long ago the last change was
		sqlkit.Gauge{Says: "the replica is %.0f s behind (limit %.0f s)", Limit: limits.ReplicaLag.Seconds(), Read: s.gauge(
			`SELECT CASE WHEN pg_catalog.pg_is_in_recovery() AND pg_catalog.pg_last_wal_receive_lsn() <> pg_catalog.pg_last_wal_replay_lsn()
THEN EXTRACT(EPOCH FROM pg_catalog.now() - pg_catalog.pg_last_xact_replay_timestamp())::float8 ELSE 0 END`)},
	)
}

// gauge asks for one number; null is unknown.
func (s *source) gauge(sql string) func(context.Context) (float64, bool, error) {
	return func(ctx context.Context) (float64, bool, error) {
		var value *float64
		err := s.withControl(ctx, func(c *conn) error { return c.value(ctx, "looking how busy the server is", sql, &value) })
		if err != nil || value == nil {
			return 0, false, err
		}
		return *value, true, nil
	}
}
