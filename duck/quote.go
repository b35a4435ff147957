package duck

import "strings"

// Ident quotes a name.
func Ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Idents quotes the parts of a name and joins them with dots, as in
// "kura"."main"."users".
func Idents(parts ...string) string {
	quoted := make([]string, len(parts))
	for i, p := range parts {
		quoted[i] = Ident(p)
	}
	return strings.Join(quoted, ".")
}

// Literal quotes text. A NUL, which SQL text can't carry, is dropped.
func Literal(text string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(text, "\x00", ""), "'", "''") + "'"
}
