package conf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"

	"github.com/kitamae/kitamae/fault"
)

// Place is where something stands in a file. Line and Column count from 1, Column in characters.
type Place struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String is file:line:column, as editors and terminals understand it.
func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Problem is one thing that is wrong with a config.
type Problem struct {
	Place
	// Path is the key's way from the top, as in `source.mysql.port`; "" for the file as a whole.
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
}

// String is file:line:column: path: message.
func (p Problem) String() string {
	var parts []string
	for _, s := range []string{p.Place.String(), p.Path, p.Message} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ": ")
}

// Problems are all the things wrong with a config.
type Problems []Problem

// Error is one line per problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Add appends a problem.
func (ps *Problems) Add(at Place, path, format string, args ...any) {
	*ps = append(*ps, Problem{Place: at, Path: path, Message: fmt.Sprintf(format, args...)})
}

// Err is nil for no problems, else a fault with all of them in the order of the file.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	sorted := slices.Clone(ps)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return fault.Wrap(fault.Config, "config.invalid", "docs/reference/kitamae-yml.md describes every key", slices.Compact(sorted))
}

// Nearest is the name a person most likely meant by typed, "" when none is close.
func Nearest(typed string, names []string) string {
	best, bestDistance := "", 1+max(1, utf8.RuneCountInString(typed)/3)
	for _, name := range names {
		d := distance(strings.ToLower(typed), strings.ToLower(name))
		if name != typed && (d < bestDistance || d == bestDistance && best != "" && name < best) {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance counts slips of the fingers: letters left out, added, wrong, and two swapped.
func distance(a, b string) int {
	d := levenshtein.ComputeDistance(a, b)
	x, y := []rune(a), []rune(b)
	if d != 2 || len(x) != len(y) {
		return d
	}
	for i := range len(x) - 1 {
		if x[i] != y[i] {
			if x[i] == y[i+1] && x[i+1] == y[i] {
				return 1
			}
			break
		}
	}
	return d
}

// DidYouMean is " (did you mean X?)", or "" when no name is close.
func DidYouMean(typed string, names []string) string {
	if near := Nearest(typed, names); near != "" {
		return " (did you mean " + near + "?)"
	}
	return ""
}
