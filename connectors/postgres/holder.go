package postgres

import (
	"context"
	"fmt"
	"strings"
)

// holdersSQL names, the longest transaction first, who holds the lock of commits or a table of the schema. A session that gave up waiting
// is no longer blocked by anybody, so that pg_blocking_pids has nothing to say of it.
const holdersSQL = `SELECT concat('process ', a.pid, ' of user ', a.usename, ' (', coalesce(nullif(a.application_name, ''), 'no application name'), ')',
  ' from ' || host(a.client_addr), ', since ' || to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC')
FROM pg_catalog.pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_catalog.pg_backend_pid() AND a.pid IN (
  SELECT l.pid FROM pg_catalog.pg_locks l WHERE l.granted AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) AND (
    l.locktype = 'advisory' AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = %s
    OR l.relation IN (SELECT oid FROM pg_catalog.pg_class WHERE relnamespace = to_regnamespace(%s))))
ORDER BY a.xact_start LIMIT 3`

// holders says who holds what a commit waited for. It asks on a session of its own, as the one that waited is in a failed transaction.
func (d *dest) holders(ctx context.Context) string {
	var names []string
	err := d.with(ctx, func(c *conn) error {
		rows, err := list[struct{ Name string }](ctx, c, "asking who holds the table", fmt.Sprintf(holdersSQL, metaKey, literal(ident(d.schema))))
		for _, r := range rows {
			names = append(names, r.Name)
		}
		return err
	})
	if err != nil || len(names) == 0 { // the fault is the lock's, whoever had it
		return "a reader or a migration did for " + d.mayWait.String()
	}
	return "now these do: " + strings.Join(names, "; ")
}
