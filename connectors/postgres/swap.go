package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// A table of another shape is made beside the old one, filled, and takes its name. What hangs on the old one is read from
// the catalog before, and made again after. What is gone with a dropped column in PostgreSQL itself (indexes and
// constraints over it) goes here, too, and is noted; what can't be made again is a reason to leave everything as it was.

// dependent is one thing to take away before a swap and to make again after it.
type dependent struct {
	What    string   // "view public.active", for people
	Before  string   // SQL, "" for what goes with the table
	After   string   // SQL
	Columns []string // of the table that it needs; empty where the statement itself would tell
	Goes    bool     // with its columns
	May     bool     // be lost, if it can't be made again
}

// dependentsSQL lists what hangs on the table %[1]d called %[2]s, in the order of making it again.
const dependentsSQL = `
WITH RECURSIVE needs AS (
  SELECT d.refobjid AS on_oid, r.ev_class AS oid FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
  WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND r.ev_class <> d.refobjid
), views AS (
  SELECT oid, 1 AS depth FROM needs WHERE on_oid = %[1]d
  UNION SELECT n.oid, v.depth + 1 FROM needs n JOIN views v ON n.on_oid = v.oid WHERE v.depth < 50
), ordered AS (
  SELECT c.oid, c.relkind, c.relowner, c.reloptions, c.relacl, c.relispopulated, v.depth,
    format('%%I.%%I', n.nspname, c.relname) AS name, CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END AS kind
  FROM (SELECT oid, max(depth) AS depth FROM views GROUP BY oid) v JOIN pg_class c ON c.oid = v.oid JOIN pg_namespace n ON n.oid = c.relnamespace
), grants AS (
  SELECT o.oid, a.privilege_type, a.is_grantable, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS who, o.owner, a.grantee
  FROM (SELECT oid, relacl, relowner AS owner FROM ordered UNION ALL SELECT oid, relacl, relowner FROM pg_class WHERE oid = %[1]d) o, aclexplode(o.relacl) a
), column_of AS (
  SELECT d.classid, d.objid, array_agg(a.attname::text ORDER BY a.attnum) AS names FROM pg_depend d
  JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %[1]d AND d.refobjsubid > 0 GROUP BY 1, 2
), everything AS (
  SELECT 10 AS step, 0 AS depth, 'owner' AS what, '' AS before, format('ALTER TABLE %%s OWNER TO %%I', %[2]s, pg_get_userbyid(relowner)) AS after,
    NULL::text[] AS columns, false AS goes, false AS may FROM pg_class WHERE oid = %[1]d AND relowner <> quote_ident(current_user)::regrole
  UNION ALL SELECT 20, 0, format('column %%s not null', attname), '', format('ALTER TABLE %%s ALTER COLUMN %%I SET NOT NULL', %[2]s, attname), ARRAY[attname::text], true, false
    FROM pg_attribute WHERE attrelid = %[1]d AND attnum > 0 AND attnotnull AND NOT attisdropped
  UNION ALL SELECT 21, 0, format('default of column %%s', t.attname), '', format('ALTER TABLE %%s ALTER COLUMN %%I SET DEFAULT %%s', %[2]s, t.attname, pg_get_expr(e.adbin, e.adrelid)),
    ARRAY[t.attname::text], true, true FROM pg_attrdef e JOIN pg_attribute t ON t.attrelid = e.adrelid AND t.attnum = e.adnum WHERE e.adrelid = %[1]d AND t.attgenerated = ''
  UNION ALL SELECT 22, 0, format('identity of column %%s', t.attname), '', format('ALTER TABLE %%s ALTER COLUMN %%I ADD GENERATED %%s AS IDENTITY (START WITH %%s)', %[2]s, t.attname,
      CASE t.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, coalesce(pg_sequence_last_value(pg_get_serial_sequence(%[2]s, t.attname)::regclass), 0) + 1),
    ARRAY[t.attname::text], true, true FROM pg_attribute t WHERE t.attrelid = %[1]d AND t.attidentity <> '' AND NOT t.attisdropped
  UNION ALL SELECT 30, CASE k.contype WHEN 'f' THEN 1 ELSE 0 END, format('constraint %%s', k.conname), '', format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s; COMMENT ON CONSTRAINT %%2$I ON %%1$s IS %%4$L', %[2]s, k.conname, pg_get_constraintdef(k.oid), obj_description(k.oid, 'pg_constraint')),
    (SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE a.attrelid = %[1]d AND a.attnum = ANY (k.conkey)), true, false
    FROM pg_constraint k WHERE k.conrelid = %[1]d AND k.contype IN ('p', 'u', 'c', 'x', 'f')
  UNION ALL SELECT 40, 0, format('index %%s', c.relname), '', pg_get_indexdef(i.indexrelid)
      || format('; COMMENT ON INDEX %%s IS %%L', i.indexrelid::regclass, obj_description(i.indexrelid, 'pg_class')), cc.names, true, false
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid LEFT JOIN column_of cc ON cc.classid = 'pg_class'::regclass AND cc.objid = i.indexrelid
    WHERE i.indrelid = %[1]d AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = %[1]d AND k.contype IN ('p', 'u', 'x'))
  UNION ALL SELECT 45, 0, format('statistics %%s', s.stxname), '', pg_get_statisticsobjdef(s.oid)
      || format('; COMMENT ON STATISTICS %%I.%%I IS %%L', s.stxnamespace::regnamespace::text, s.stxname, obj_description(s.oid, 'pg_statistic_ext')), cc.names, true, false
    FROM pg_statistic_ext s LEFT JOIN column_of cc ON cc.classid = 'pg_statistic_ext'::regclass AND cc.objid = s.oid WHERE s.stxrelid = %[1]d
  UNION ALL SELECT 50, 0, format('foreign key %%s of %%s', k.conname, k.conrelid::regclass), format('ALTER TABLE %%s DROP CONSTRAINT %%I', k.conrelid::regclass, k.conname),
    format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s; COMMENT ON CONSTRAINT %%2$I ON %%1$s IS %%4$L', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid), obj_description(k.oid, 'pg_constraint')), NULL, false, false
    FROM pg_constraint k WHERE k.confrelid = %[1]d AND k.conrelid <> %[1]d AND k.contype = 'f' AND k.conparentid = 0
  UNION ALL SELECT 60, 0, 'row security', '', format('ALTER TABLE %%s ENABLE ROW LEVEL SECURITY', %[2]s), NULL, false, false FROM pg_class WHERE oid = %[1]d AND relrowsecurity
  UNION ALL SELECT 60, 0, 'row security', '', format('ALTER TABLE %%s FORCE ROW LEVEL SECURITY', %[2]s), NULL, false, false FROM pg_class WHERE oid = %[1]d AND relforcerowsecurity
  UNION ALL SELECT 61, 0, format('policy %%s', p.polname), '', format('CREATE POLICY %%I ON %%s AS %%s FOR %%s TO %%s', p.polname, %[2]s,
      CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
      CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
      (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ') FROM unnest(p.polroles) r))
      || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '') || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')
      || format('; COMMENT ON POLICY %%I ON %%s IS %%L', p.polname, %[2]s, obj_description(p.oid, 'pg_policy')), NULL, false, false
    FROM pg_policy p WHERE p.polrelid = %[1]d
  UNION ALL SELECT 62, 0, format('trigger %%s', t.tgname), '', pg_get_triggerdef(t.oid) || CASE t.tgenabled WHEN 'O' THEN '' ELSE format('; ALTER TABLE %%s %%s TRIGGER %%I', %[2]s,
      CASE t.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, t.tgname) END
      || format('; COMMENT ON TRIGGER %%I ON %%s IS %%L', t.tgname, %[2]s, obj_description(t.oid, 'pg_trigger')), NULL, false, false
    FROM pg_trigger t WHERE t.tgrelid = %[1]d AND NOT t.tgisinternal
  UNION ALL SELECT 63, 0, format('rule %%s', r.rulename), '', pg_get_ruledef(r.oid) || format(' COMMENT ON RULE %%I ON %%s IS %%L', r.rulename, %[2]s, obj_description(r.oid, 'pg_rewrite')), NULL, false, false FROM pg_rewrite r WHERE r.ev_class = %[1]d AND r.rulename <> '_RETURN'
  UNION ALL SELECT 70, 0, 'grant', '', format('GRANT %%s ON %%s TO %%s%%s', g.privilege_type, %[2]s, g.who, CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), NULL, false, false
    FROM grants g WHERE g.oid = %[1]d AND g.grantee <> g.owner
  UNION ALL SELECT 71, 0, format('grant on column %%s', t.attname), '', format('GRANT %%s (%%I) ON %%s TO %%s%%s', a.privilege_type, t.attname, %[2]s,
      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), ARRAY[t.attname::text], true, false
    FROM pg_attribute t, aclexplode(t.attacl) a WHERE t.attrelid = %[1]d AND NOT t.attisdropped
  UNION ALL SELECT 80, o.depth, format('%%s %%s', lower(o.kind), o.name), format('DROP %%s IF EXISTS %%s', o.kind, o.name),
      format('CREATE %%s %%s%%s AS %%s', o.kind, o.name, coalesce(' WITH (' || array_to_string(o.reloptions, ', ') || ')', ''), rtrim(pg_get_viewdef(o.oid), '; '))
      || CASE WHEN o.relkind = 'm' AND NOT o.relispopulated THEN ' WITH NO DATA' ELSE '' END
      || coalesce((SELECT string_agg('; ' || pg_get_indexdef(i.indexrelid) || format('; COMMENT ON INDEX %%s IS %%L', i.indexrelid::regclass, obj_description(i.indexrelid, 'pg_class')), '') FROM pg_index i WHERE i.indrelid = o.oid), '')
      || coalesce((SELECT string_agg('; ' || pg_get_triggerdef(t.oid), '') FROM pg_trigger t WHERE t.tgrelid = o.oid AND NOT t.tgisinternal), '')
      || coalesce((SELECT string_agg(format('; GRANT %%s ON %%s TO %%s%%s', g.privilege_type, o.name, g.who, CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), '')
          FROM grants g WHERE g.oid = o.oid AND g.grantee <> g.owner), '')
      || coalesce(format('; COMMENT ON %%s %%s IS %%L', o.kind, o.name, obj_description(o.oid, 'pg_class')), '')
      || coalesce((SELECT string_agg(format('; COMMENT ON COLUMN %%s.%%I IS %%L', o.name, a.attname, col_description(o.oid, a.attnum)), '')
          FROM pg_attribute a WHERE a.attrelid = o.oid AND a.attnum > 0 AND col_description(o.oid, a.attnum) IS NOT NULL), '')
      || CASE WHEN o.relowner <> quote_ident(current_user)::regrole THEN format('; ALTER %%s %%s OWNER TO %%I', o.kind, o.name, pg_get_userbyid(o.relowner)) ELSE '' END, NULL, false, false
    FROM ordered o
  UNION ALL SELECT 99, 0, format('publication %%s', p.pubname), '', '', NULL, false, false FROM pg_publication_rel pr JOIN pg_publication p ON p.oid = pr.prpubid WHERE pr.prrelid = %[1]d
)
SELECT what, before, after, coalesce(columns, '{}'), goes, may FROM everything ORDER BY step, depth, what`

// swap puts a table of another shape in the old one's place.
func (d *dest) swap(ctx context.Context, c *conn, p *publishing, old *there) error {
	plan := p.table.Plan
	name, fresh := d.table(plan.Name), ident(d.schema, shortName("_kitamae_new_"+plan.Name))
	if err := d.exec(ctx, c, "creating "+plan.Name, "CREATE TABLE "+fresh+" ("+columnsDDL(plan)+")"); err != nil {
		return err
	}
	if err := d.insert(ctx, c, p, fresh); err != nil {
		return err
	}
	// from here on nobody changes what is read from the catalog
	if err := d.exec(ctx, c, "locking "+plan.Name, "LOCK TABLE "+name+" IN ACCESS EXCLUSIVE MODE"); err != nil {
		return err
	}
	all, err := list[dependent](ctx, c, "asking what depends on "+plan.Name, fmt.Sprintf(dependentsSQL, old.OID, literal(name)))
	if err != nil {
		return err
	}
	for _, dep := range slices.Backward(all) {
		if dep.After == "" {
			return d.refused(p, dep.What, fmt.Errorf("it would lose the table"))
		}
		if dep.Before != "" {
			if err := d.exec(ctx, c, "taking away "+dep.What, dep.Before); err != nil {
				return d.refused(p, dep.What, err)
			}
		}
	}
	err = d.exec(ctx, c, "replacing "+plan.Name, "DROP TABLE "+name+"; ALTER TABLE "+fresh+" RENAME TO "+ident(plan.Name)+"; "+comments(name, plan))
	if err != nil {
		return err // what else depends on the table stands in it
	}
	for _, dep := range all {
		if dep.Goes && !p.has(dep.Columns) {
			p.notes = append(p.notes, dep.What+" is gone with its column")
			continue
		}
		if err := d.makeAgain(ctx, c, p, dep); err != nil {
			return d.refused(p, dep.What, err)
		}
	}
	return nil
}

// makeAgain makes a dependent of the new table, or notes that one that may be lost is.
func (d *dest) makeAgain(ctx context.Context, c *conn, p *publishing, dep dependent) error {
	doing := "making " + dep.What + " again"
	if !dep.May {
		return d.exec(ctx, c, doing, dep.After)
	}
	if err := d.exec(ctx, c, doing, "SAVEPOINT kitamae_dependent"); err != nil {
		return err
	}
	err := d.exec(ctx, c, doing, dep.After)
	if err == nil {
		return d.exec(ctx, c, doing, "RELEASE SAVEPOINT kitamae_dependent")
	}
	p.notes = append(p.notes, fmt.Sprintf("the %s is gone: %v", dep.What, err))
	return d.exec(ctx, c, doing, "ROLLBACK TO SAVEPOINT kitamae_dependent")
}

func (d *dest) refused(p *publishing, what string, err error) error {
	return fault.New(fault.Destination, "postgres.dependents", "change or drop what depends on the table, then run again",
		"table %s has other columns now, and %s can't be kept: %w", p.table.Plan.Name, what, err)
}

// has says whether the planned table has all the columns.
func (p *publishing) has(columns []string) bool {
	have := map[string]bool{}
	for _, c := range p.table.Plan.Columns {
		have[c.Name] = true
	}
	return !slices.ContainsFunc(columns, func(name string) bool { return !have[name] })
}

// evolve fits a table that keeps its rows to the plan: new columns are added, null for the rows that are there, and widened ones altered.
// Of a merge, the rows that come again go.
func (d *dest) evolve(ctx context.Context, c *conn, p *publishing, old *there) error {
	plan, into := p.table.Plan, d.table(p.table.Plan.Name)
	types := map[string]string{}
	for _, col := range old.columns {
		types[col.Name] = col.Type
	}
	var stmts []string
	for _, col := range plan.Columns {
		was, ok := types[col.Name]
		switch {
		case !ok:
			stmts = append(stmts, "ALTER TABLE "+into+" ADD COLUMN "+ident(col.Name)+" "+col.Native)
		case widens(was, col.Native):
			stmts = append(stmts, "ALTER TABLE "+into+" ALTER COLUMN "+ident(col.Name)+" TYPE "+col.Native)
		}
	}
	if len(stmts) > 0 {
		if err := d.exec(ctx, c, "changing "+plan.Name, strings.Join(stmts, "; ")); err != nil {
			return d.refused(p, "what stands over a changed column", err)
		}
	}
	if plan.Mode != connector.Merge {
		return nil
	}
	for _, r := range p.table.Receipts {
		var on []string
		for _, k := range plan.Key {
			i := slices.IndexFunc(plan.Columns, func(c connector.ColumnPlan) bool { return c.Name == k })
			on = append(on, fmt.Sprintf("t.%s = s.c%d", ident(k), i+1))
		}
		err := d.exec(ctx, c, "merging into "+plan.Name, fmt.Sprintf("DELETE FROM %s t USING %s s WHERE %s", into, d.taskTable(p.stage, r.Task), strings.Join(on, " AND ")))
		if err != nil {
			return err
		}
	}
	return nil
}

// types is the server's catalog of types.
func (c *conn) types(ctx context.Context) (catalog, error) {
	all, err := list[pgType](ctx, c, "asking for types", typesSQL)
	if err != nil {
		return nil, err
	}
	types := catalog{}
	for _, t := range all {
		types[t.OID] = t
	}
	return types, nil
}
