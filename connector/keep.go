package connector

import (
	"fmt"
	"strings"

	"github.com/kitamae/kitamae/fault"
)

// ThereColumn is a column of a published table: its name and its type in the destination's own words.
type ThereColumn struct{ Name, Native string }

// KeepColumns fits a plan whose mode keeps the rows that are there to their columns, and fills in its Changes: a column that is
// new is added, null for the old rows; one that no longer comes stays, null for the new ones; one whose type grew
// is widened. widens says whether every value of one native type is one of another. same compares names as the destination does.
func KeepColumns(p *TablePlan, there []ThereColumn, same func(a, b string) bool, widens func(from, to string) bool) error {
	p.Changes = nil
	for _, c := range p.Columns {
		was, ok := find(there, c.Name, same)
		switch {
		case !ok:
			p.Changes = append(p.Changes, fmt.Sprintf("column %s: new, null in the rows that are there", c.Name))
		case was.Native == c.Native || widens(c.Native, was.Native):
		case widens(was.Native, c.Native):
			p.Changes = append(p.Changes, fmt.Sprintf("column %s: %s -> %s", c.Name, was.Native, c.Native))
		default:
			return fault.New(fault.Config, "append.column_type",
				fmt.Sprintf("set its type to text, give the new column another name (columns: {rename: {%s: …}}), or publish the table anew with mode: replace", c.From),
				"table %s keeps its rows, and column %s was %s in them and now is %s", p.Name, c.Name, was.Native, c.Native)
		}
	}
	for _, t := range there {
		comes := false
		for _, c := range p.Columns {
			comes = comes || same(c.Name, t.Name)
		}
		if !comes {
			p.Changes = append(p.Changes, fmt.Sprintf("column %s: no longer comes, null from now on", t.Name))
		}
	}
	return nil
}

func find(there []ThereColumn, name string, same func(a, b string) bool) (ThereColumn, bool) {
	for _, t := range there {
		if same(t.Name, name) {
			return t, true
		}
	}
	return ThereColumn{}, false
}

// Wider says whether one SQL type holds every value of another: whole numbers by their digits, decimals, floats. whole are the
// digits of the destination's signed whole types by their names.
func Wider(from, to string, whole map[string]int) bool {
	fromInt, fromScale, okFrom := digits(from, whole)
	toInt, toScale, okTo := digits(to, whole)
	if okFrom && okTo {
		_, target := whole[to]
		if _, both := whole[from]; both && target {
			return toInt > fromInt
		}
		return !target && from != to && toInt >= fromInt && toScale >= fromScale
	}
	low := strings.ToLower(from) + ">" + strings.ToLower(to)
	return low == "real>double precision" || low == "float>double"
}

// digits are those before and after the point.
func digits(native string, whole map[string]int) (before, after int, ok bool) {
	if n, ok := whole[native]; ok {
		return n, 0, true
	}
	var p, s int
	low := strings.ToLower(native)
	if n, _ := fmt.Sscanf(low, "numeric(%d,%d)", &p, &s); n == 2 && strings.HasSuffix(low, ")") {
		return p - s, s, true
	}
	if n, _ := fmt.Sscanf(low, "decimal(%d,%d)", &p, &s); n == 2 && strings.HasSuffix(low, ")") {
		return p - s, s, true
	}
	return 0, 0, false
}
