package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/kitamae/kitamae/connector"
)

// obstaclesSQL lists what a swap of the table %[1]d by one with the columns %[2]s would be refused for, as far as the catalog tells:
// what needs a column that is gone, what needs the table's own type, and publications.
const obstaclesSQL = `
SELECT DISTINCT CASE WHEN r.ev_class <> d.refobjid THEN format('view %%s', r.ev_class::regclass) ELSE pg_describe_object(d.classid, d.objid, 0) END
    || format(' needs column %%s', a.attname) AS what
  FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = d.objid
  LEFT JOIN pg_catalog.pg_constraint k ON d.classid = 'pg_catalog.pg_constraint'::regclass AND k.oid = d.objid
  WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = %[1]d AND a.attname <> ALL (%[2]s)
    AND (d.classid IN ('pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_policy'::regclass, 'pg_catalog.pg_trigger'::regclass) OR k.conrelid <> d.refobjid)
UNION SELECT pg_describe_object(d.classid, d.objid, d.objsubid) || ' needs the table''s type'
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_type t ON t.oid = c.reltype JOIN pg_catalog.pg_depend d ON d.refobjid IN (t.oid, t.typarray)
  WHERE c.oid = %[1]d AND d.refclassid = 'pg_catalog.pg_type'::regclass AND d.deptype = 'n'
UNION SELECT format('publication %%s', p.pubname) FROM pg_catalog.pg_publication_rel pr JOIN pg_catalog.pg_publication p ON p.oid = pr.prpubid WHERE pr.prrelid = %[1]d
ORDER BY 1`

// foresee notes what the plan's other columns will be refused for, while it can still be changed in peace.
func (d *dest) foresee(ctx context.Context, c *conn, p *connector.TablePlan, old *there) error {
	var names []string
	for _, col := range p.Columns {
		names = append(names, col.Name)
	}
	found, err := list[struct{ What string }](ctx, c, "asking what depends on "+p.Name, fmt.Sprintf(obstaclesSQL, old.OID, textArray(names)))
	if err != nil || len(found) == 0 {
		return err
	}
	var whats []string
	for _, f := range found {
		whats = append(whats, f.What)
	}
	p.Notes = append(p.Notes, "will be held back, as its columns change: "+strings.Join(whats, "; "))
	return nil
}
