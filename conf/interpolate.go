package conf

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expanded is a scalar after its ${…} were replaced.
type expanded struct {
	text string
	// used are the environment variables whose values are in text, absent those whose
	// default stands in for them.
	used, absent []string
	values       []string // of those used
}

// expand replaces ${NAME} and ${NAME:-default} in text; $${ stands for ${ itself. A variable
// that is set to nothing takes the default too, as in a shell. Values are not expanded again.
func expand(text string, lookup func(string) (string, bool)) (expanded, error) {
	var out strings.Builder
	var e expanded
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			break
		}
		if i > 0 && text[i-1] == '$' {
			out.WriteString(text[:i-1] + "${")
			text = text[i+2:]
			continue
		}
		out.WriteString(text[:i])
		inside, rest, closed := strings.Cut(text[i+2:], "}")
		if !closed {
			return e, errors.New("a ${ without its }: write $${ for the characters themselves")
		}
		name, fallback, hasFallback := strings.Cut(inside, ":-")
		if !variableName.MatchString(name) {
			// What stands there may be a part of a password: it is not repeated.
			return e, errors.New("a ${ that is neither ${NAME} nor ${NAME:-default}: write $${ for the characters themselves")
		}
		value, set := "", false
		if lookup != nil {
			value, set = lookup(name)
		}
		switch {
		case hasFallback && value == "":
			value = fallback
			e.absent = append(e.absent, name)
		case !set:
			return e, fmt.Errorf("the environment variable %s is not set: set it, or write ${%s:-default}", name, name)
		default:
			e.used, e.values = append(e.used, name), append(e.values, value)
		}
		out.WriteString(value)
		text = rest
	}
	out.WriteString(text)
	e.text = out.String()
	return e, nil
}

// from is an Origin's From for a value that stood at the place.
func (e expanded) from(at Place) string {
	here := fmt.Sprintf("%s:%d", at.File, at.Line)
	switch {
	case len(e.used) > 0:
		return fmt.Sprintf("env %s (%s)", strings.Join(e.used, ", "), here)
	case len(e.absent) > 0:
		return fmt.Sprintf("%s (%s is not set)", here, strings.Join(e.absent, ", "))
	}
	return here
}
