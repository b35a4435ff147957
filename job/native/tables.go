package native

import (
	"strings"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/job"
)

// skip is the word that leaves a table out.
const skip = "skip"

// rules reads `tables:` in the order of the file. A rule is the word skip, or settings, or
// nothing, which is settings without any.
func rules(raw conf.Raw) []job.Rule {
	if !raw.Given() {
		return nil
	}
	entries := raw.Entries()
	if raw.Empty() {
		raw.Problem(`names no table: write "*": {} for every table, or remove the key`)
	}
	var out []job.Rule
	for _, e := range entries {
		rule := job.Rule{Pattern: e.Key, At: e.At, Path: e.Value.Path()}
		switch {
		case e.Value.Is(skip):
			rule.Skip = true
		case e.Value.IsScalar():
			e.Value.Problem("want settings such as {key: id}, or the word skip")
		default:
			e.Value.Decode(&rule.Settings)
		}
		out = append(out, rule)
	}
	return out
}

func list(names []string) string { return strings.Join(names, ", ") }
