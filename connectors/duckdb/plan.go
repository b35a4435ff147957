package duckdb

import (
	"context"
	"fmt"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/duck"
	"github.com/kitamae/kitamae/fault"
)

// PlanTable compares with the published file, which may be absent.
func (d *dest) PlanTable(ctx context.Context, req connector.PlanRequest) (*connector.TablePlan, error) {
	live, err := d.look(ctx)
	if err != nil {
		return nil, err
	}
	cols, err := columns(req.Schema)
	if err != nil {
		return nil, fmt.Errorf("plan %s: %w", req.Name, err)
	}
	plan := &connector.TablePlan{Name: req.Name, Comment: req.Comment, Mode: req.Mode, Columns: cols, Rows: -1}
	for _, key := range req.Key {
		for _, c := range cols {
			if c.From == key {
				plan.Key = append(plan.Key, c.Name)
			}
		}
	}
	old := live.relations[fold(req.Name)]
	switch {
	case old == nil:
	case old.view:
		return nil, fault.New(fault.Config, "duckdb.name_taken", "rename the view, or set tables."+req.Name+".name",
			"%s has a view called %s", d.path, old.name)
	case !old.made:
		return nil, fault.New(fault.Config, "duckdb.not_ours", "rename or drop that table, or set tables."+req.Name+".name",
			"%s has a table %s that kitamae did not make", d.path, old.name)
	default:
		plan.Exists, plan.Rows, plan.Reached = true, old.rows, old.reached
		plan.Changes = changes(old, cols)
		if req.Mode == connector.Append {
			if err := keep(plan, old); err != nil {
				return nil, err
			}
		}
		if old.name != req.Name {
			plan.Changes = append(plan.Changes, fmt.Sprintf("table %s: renamed to %s", old.name, req.Name))
		}
	}
	return plan, nil
}

// wholeTypes are the digits of the whole types, signed ones only: UINTEGER and BIGINT are no chain.
var wholeTypes = map[string]int{"TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19, "HUGEINT": 38}

func widens(from, to string) bool {
	return connector.Wider(from, to, wholeTypes) || to == "VARCHAR" && (from == "UUID" || from == "JSON")
}

// keep fits the plan to the rows that stay.
func keep(plan *connector.TablePlan, old *relation) error {
	var there []connector.ThereColumn
	for _, c := range old.columns {
		there = append(there, connector.ThereColumn{Name: c.name, Native: c.typ})
	}
	for i, c := range plan.Columns {
		plan.Columns[i].Native = canonical(c.Native)
	}
	return connector.KeepColumns(plan, there, func(a, b string) bool { return fold(a) == fold(b) }, widens)
}

// changes says how the columns will differ, one line each.
func changes(old *relation, cols []connector.ColumnPlan) []string {
	var lines []string
	there := map[string]column{}
	for _, c := range old.columns {
		there[fold(c.name)] = c
	}
	for _, c := range cols {
		was, ok := there[fold(c.Name)]
		native := canonical(c.Native)
		switch {
		case !ok:
			lines = append(lines, fmt.Sprintf("column %s: new", c.Name))
		case was.typ != native:
			lines = append(lines, fmt.Sprintf("column %s: %s -> %s", c.Name, was.typ, native))
		}
		delete(there, fold(c.Name))
	}
	for _, c := range old.columns {
		if _, gone := there[fold(c.name)]; gone {
			lines = append(lines, fmt.Sprintf("column %s: gone", c.name))
		}
	}
	return lines
}

// canonical is a type as DuckDB's catalog prints it.
func canonical(native string) string {
	if native == "TIMESTAMPTZ" {
		return "TIMESTAMP WITH TIME ZONE"
	}
	if native == "TIMESTAMPTZ[]" {
		return "TIMESTAMP WITH TIME ZONE[]"
	}
	return native
}

// table is a table's full name in SQL.
func table(db *duck.DB, name string) string { return duck.Idents(db.Name, "main", name) }
