package sqlite

import (
	"regexp"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/fault"
)

// cursorLiteral is what SQLite's quote() makes of numbers and texts: the form in which a cursor's value is kept, as a column may hold both.
var cursorLiteral = regexp.MustCompile(`^(-?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?|'([^']|'')*')$`)

// beyond makes the table's condition hold for the rows after its cursor only, up to the greatest value in the view, which it keeps.
func (v *view) beyond(t *scanned) error {
	if t.asked.Cursor == "" {
		return nil
	}
	name, where := quote(t.asked.Cursor), t.asked.Where.Reveal()
	and := func(condition string) {
		if where != "" {
			condition = "(\n" + where + "\n) AND " + condition
		}
		t.asked.Where = conf.Filled(condition)
	}
	check := func(value string) error {
		if cursorLiteral.MatchString(value) {
			return nil
		}
		return fault.New(fault.Config, "sqlite.cursor", "choose a column of numbers or texts that only grow",
			"the cursor of %s, %s, stands at %.50q", t.asked.Table.Name, t.asked.Cursor, value)
	}
	after := name + " IS NOT NULL"
	if t.asked.After != "" {
		if err := check(t.asked.After); err != nil {
			return err
		}
		after = name + " > " + t.asked.After
	}
	and(after)
	reached, err := v.control.text("SELECT quote(max(" + name + ")) FROM " + t.from(partition{}))
	if err != nil {
		return err
	}
	if reached == "NULL" {
		t.reached = t.asked.After
		and("0") // nothing new
		return nil
	}
	t.reached = reached
	and(after + " AND " + name + " <= " + reached)
	return check(reached)
}
