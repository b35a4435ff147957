package mysql

import (
	"context"
	"encoding/hex"
	"regexp"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// plainNumber is what may stand in SQL as it is.
var plainNumber = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// beyond makes the table's condition hold for the rows after its cursor only, up to the greatest value there is
// now, which it returns. That value is asked for before the snapshot: rows that come between wait for the next run.
func (s *Source) beyond(ctx context.Context, t *viewTable) (reached string, err error) {
	scan := &t.scan
	if scan.Cursor == "" {
		return "", nil
	}
	i := slices.IndexFunc(scan.Table.Columns, func(c connector.Column) bool { return c.Name == scan.Cursor })
	if i < 0 {
		return "", changed(scan.Table.Ref(), "column "+scan.Cursor+" is gone")
	}
	col, name := scan.Table.Columns[i], quoteName(scan.Cursor)
	where := scan.Where.Reveal()
	and := func(condition string) {
		if where != "" {
			condition = "(" + where + "\n) AND " + condition
		}
		scan.Where = conf.Filled(condition)
	}
	after := name + " IS NOT NULL"
	if scan.After != "" {
		lit, err := cursorLiteral(col, scan.After)
		if err != nil {
			return "", err
		}
		after = name + " > " + lit
	}
	until := func(value string) error {
		lit, err := cursorLiteral(col, value)
		and(after + " AND " + name + " <= " + lit)
		return err
	}
	switch {
	case scan.Until == nil:
	case *scan.Until == scan.After:
		and("1 = 0") // there was nothing new
		return scan.After, nil
	default:
		return *scan.Until, until(*scan.Until)
	}
	and(after)
	res, err := s.control(ctx, "SELECT CAST(MAX("+name+") AS CHAR) FROM "+t.from+t.where())
	if err != nil {
		return "", failed(ctx, "look for the cursor in", scan.Table.Ref(), where, err)
	}
	reached, ok := text(res, 0, 0)
	if !ok {
		and("1 = 0") // nothing new
		return scan.After, nil
	}
	return reached, until(reached)
}

// cursorLiteral is a value of the cursor's column in SQL. A number in quotes would be compared as a float.
func cursorLiteral(col connector.Column, value string) (string, error) {
	id := col.Type.ID()
	switch {
	case !arrow.IsInteger(id) && !arrow.IsDecimal(id):
		return "_utf8mb4 x'" + hex.EncodeToString([]byte(value)) + "'", nil
	case plainNumber.MatchString(value):
		return value, nil
	}
	return "", fault.New(fault.Config, "mysql.cursor", "publish the table anew: mode: replace for one run", "the cursor %s is %s, and where it stood is %.50q",
		col.Name, col.Native, value)
}
