package postgres

import (
	"context"
	"slices"

	"github.com/kitamae/kitamae/conf"
)

// beyond makes the table's condition hold for the rows after its cursor only, up to the greatest value in the view, which it keeps.
func (v *view) beyond(ctx context.Context, t *scanned) error {
	if t.scan.Cursor == "" {
		return nil
	}
	if !slices.ContainsFunc(t.relation.columns, func(c columnRow) bool { return c.Name == t.scan.Cursor }) {
		return t.altered("column %s is gone", t.scan.Cursor)
	}
	name, where := ident(t.scan.Cursor), t.scan.Where.Reveal()
	and := func(condition string) {
		if where != "" {
			condition = "(" + where + "\n) AND " + condition
		}
		t.scan.Where = conf.Filled(condition)
	}
	// a literal in quotes takes the column's own type
	after := name + " IS NOT NULL"
	if t.scan.After != "" {
		after = name + " > " + literal(t.scan.After)
	}
	if until := t.scan.Until; until != nil {
		t.reached = *until
		if *until == t.scan.After {
			and("false") // there was nothing new
		} else {
			and(after + " AND " + name + " <= " + literal(*until))
		}
		return nil
	}
	and(after)
	var reached *string
	if err := v.owner.value(ctx, "looking for the cursor of "+t.ref(), "SELECT max("+name+")::text FROM "+t.from()+t.filter(""), &reached); err != nil {
		return err
	}
	if reached == nil {
		t.reached = t.scan.After
		and("false") // nothing new
		return nil
	}
	t.reached = *reached
	and(after + " AND " + name + " <= " + literal(t.reached))
	return nil
}
