package postgres

import (
	"context"
	"fmt"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// table is a published table's full name in SQL.
func (d *dest) table(name string) string { return ident(d.schema, name) }

// there is a table as it is published.
type there struct {
	OID     uint32
	Kind    string
	columns []thereColumn
	made    bool // by kitamae
	rows    int64
	reached string
}

type thereColumn struct{ Name, Type string }

// look finds the table of a name, nil for none.
func (d *dest) look(ctx context.Context, c *conn, name string) (*there, error) {
	found, err := list[struct {
		OID  uint32
		Kind string
	}](ctx, c, "looking for "+name, fmt.Sprintf(`SELECT c.oid, c.relkind::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = %s AND c.relname = %s`, literal(d.schema), literal(name)))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	t := &there{OID: found[0].OID, Kind: found[0].Kind, rows: -1}
	if t.columns, err = d.columnsOf(ctx, c, t.OID); err != nil {
		return nil, err
	}
	meta := false
	if err := c.value(ctx, "looking for the metadata", "SELECT to_regclass("+literal(metaTable("tables"))+") IS NOT NULL", &meta); err != nil || !meta {
		return t, err
	}
	latest, err := list[struct {
		Total   *int64
		Reached *string
	}](ctx, c, "asking what was published", fmt.Sprintf(`SELECT total, reached FROM %s WHERE "schema" = %s AND "table" = %s ORDER BY number DESC LIMIT 1`,
		metaTable("tables"), literal(d.schema), literal(name)))
	if err != nil || len(latest) == 0 {
		return t, err
	}
	t.made = true
	if latest[0].Total != nil {
		t.rows = *latest[0].Total
	}
	if latest[0].Reached != nil {
		t.reached = *latest[0].Reached
	}
	return t, nil
}

func (d *dest) columnsOf(ctx context.Context, c *conn, oid uint32) ([]thereColumn, error) {
	return list[thereColumn](ctx, c, "asking for columns", fmt.Sprintf(`SELECT attname::text, pg_catalog.format_type(atttypid, atttypmod)
		FROM pg_catalog.pg_attribute WHERE attrelid = %d AND attnum > 0 AND NOT attisdropped ORDER BY attnum`, oid))
}

// PlanTable compares with the table that is there.
func (d *dest) PlanTable(ctx context.Context, req connector.PlanRequest) (*connector.TablePlan, error) {
	p := &connector.TablePlan{Name: shortName(req.Name), Comment: req.Comment, Mode: req.Mode, Columns: targetColumns(req.Schema), Rows: -1}
	if p.Name != req.Name {
		p.Notes = append(p.Notes, fmt.Sprintf("named %s, as PostgreSQL's names end at %d bytes", p.Name, maxName))
	}
	for _, key := range req.Key {
		for _, c := range p.Columns {
			if c.From == key {
				p.Key = append(p.Key, c.Name)
			}
		}
	}
	err := d.with(ctx, func(c *conn) error {
		old, err := d.look(ctx, c, p.Name)
		switch {
		case err != nil || old == nil:
			return err
		case old.Kind != "r":
			return fault.New(fault.Config, "postgres.name_taken", "rename what is there, or set tables."+req.Name+".name",
				"schema %s has something called %s that is no plain table", d.schema, p.Name)
		case !old.made:
			return fault.New(fault.Config, "postgres.not_ours", "rename or drop that table, or set tables."+req.Name+".name",
				"schema %s has a table %s that kitamae did not make", d.schema, p.Name)
		}
		p.Exists, p.Rows, p.Reached = true, old.rows, old.reached
		if err := d.compare(p, old); err != nil || p.Mode != connector.Replace || sameShape(*p, old) {
			return err
		}
		return d.foresee(ctx, c, p, old)
	})
	return p, err
}

// wholeTypes are the digits of the whole types.
var wholeTypes = map[string]int{"smallint": 5, "integer": 10, "bigint": 19}

func widens(from, to string) bool {
	return connector.Wider(from, to, wholeTypes) || to == "text" && (from == "uuid" || from == "json")
}

// compare says how the columns will differ.
func (d *dest) compare(p *connector.TablePlan, old *there) error {
	if p.Mode != connector.Replace {
		var columns []connector.ThereColumn
		for _, c := range old.columns {
			columns = append(columns, connector.ThereColumn{Name: c.Name, Native: c.Type})
		}
		return connector.KeepColumns(p, columns, func(a, b string) bool { return a == b }, widens)
	}
	types := map[string]string{}
	for _, c := range old.columns {
		types[c.Name] = c.Type
	}
	for _, c := range p.Columns {
		was, ok := types[c.Name]
		delete(types, c.Name)
		switch {
		case !ok:
			p.Changes = append(p.Changes, fmt.Sprintf("column %s: new", c.Name))
		case was != c.Native:
			p.Changes = append(p.Changes, fmt.Sprintf("column %s: %s -> %s", c.Name, was, c.Native))
		}
	}
	for _, c := range old.columns {
		if _, gone := types[c.Name]; gone {
			p.Changes = append(p.Changes, fmt.Sprintf("column %s: gone", c.Name))
		}
	}
	return nil
}
