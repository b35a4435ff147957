package native

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"github.com/dustin/go-humanize"
	"go.yaml.in/yaml/v3"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
)

// Draft is what `kitamae init` knows when it writes the first kitamae.yml.
type Draft struct {
	Connector connector.Connector
	Spec      any // a pointer, as FromURL made it
	Tables    []connector.Table
}

// PasswordVariable is the environment variable from which a written config takes a password
// that the URL or the environment brought: `init` itself looks there, too.
const PasswordVariable = "KITAMAE_PASSWORD"

const skeletonHead = `# Written by "kitamae init". "kitamae plan" shows what a run would do, "kitamae run" does it.
# Values take ${ENV} and ${ENV:-default}; secrets also secret:env:NAME and secret:file:PATH.

`

const skeletonTail = `
# limits:
#   connections: 2      # data connections to the source at once
#   memory: 512MiB      # left out: half of what the container or machine has, at most 1GiB
# timezone: Asia/Tokyo  # the business day's zone; left out: UTC
# verify: full          # left out: aggregates
`

// Skeleton writes a commented kitamae.yml. It loads as it is, and no secret is in it.
func Skeleton(in Draft) ([]byte, error) {
	if in.Connector.Source == nil {
		return nil, fault.New(fault.Config, "init.no_source", "see `kitamae connectors`", "%s is not a source", in.Connector.Name)
	}
	v := reflect.Indirect(reflect.ValueOf(in.Spec))
	w := &writer{docs: docs()}
	w.out.WriteString(skeletonHead)
	fmt.Fprintf(&w.out, "source:\n  %s:\n", in.Connector.Name)
	w.structure(v, reflect.ValueOf(in.Connector.Source.NewSpec()).Elem(), "    ", "")
	w.out.WriteString("\n# Left out, the destination is this:\n# destination:\n#   duckdb:\n#     path: kura.duckdb\n\n")
	w.tables(in.Tables)
	w.out.WriteString(skeletonTail)
	return w.out.Bytes(), nil
}

// writer writes YAML with comments, which an encoder does not.
type writer struct {
	out  bytes.Buffer
	docs conf.Docs
}

// structure writes the keys of v: those that differ from the defaults and those that are
// required as they are, the others commented out. mark is "# " inside what is commented out.
func (w *writer) structure(v, defaults reflect.Value, indent, mark string) {
	for _, f := range conf.Fields(v.Type()) {
		value := v.FieldByIndex(f.Index)
		was := defaults.FieldByIndex(f.Index)
		set := !reflect.DeepEqual(value.Interface(), was.Interface())
		keyMark := mark
		if !set && !f.Check.Required {
			keyMark = "# "
		}
		text, single := conf.Text(value)
		if !single && value.Kind() != reflect.Struct {
			continue // maps have no place in a URL, and no short default
		}
		w.comment(indent, w.docs.Field(f))
		switch {
		case !single:
			fmt.Fprintf(&w.out, "%s%s%s:\n", indent, keyMark, f.Key)
			w.structure(value, was, indent+"  ", keyMark)
		case f.Type == reflect.TypeFor[conf.Secret]():
			w.secret(indent, keyMark, f.Key, set)
		default:
			line := indent + keyMark + f.Key + ":"
			switch value.Kind() {
			case reflect.String:
				text = quote(text)
			case reflect.Slice:
				text = flow(value)
			}
			if text != `""` || keyMark == "" {
				line += " " + text
			}
			w.out.WriteString(line + "\n")
		}
	}
}

func (w *writer) secret(indent, mark, key string, set bool) {
	if set {
		fmt.Fprintf(&w.out, "%s# It is not written here: set the environment variable %s before a run.\n", indent, PasswordVariable)
	}
	fmt.Fprintf(&w.out, "%s%s%s: secret:env:%s\n", indent, mark, key, PasswordVariable)
}

// commentWidth is how wide comments are, in characters without their indent.
const commentWidth = 96

func (w *writer) comment(indent, text string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > commentWidth {
			fmt.Fprintf(&w.out, "%s# %s\n", indent, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	if line != "" {
		fmt.Fprintf(&w.out, "%s# %s\n", indent, line)
	}
}

func (w *writer) tables(tables []connector.Table) {
	w.out.WriteString("tables:\n  \"*\": {} # every table, whole\n")
	if len(tables) == 0 {
		w.out.WriteString("  # No table was found that this user may read.\n")
		return
	}
	fmt.Fprintf(&w.out, "  # Found: %d. A line of its own changes how a table is taken, as in\n", len(tables))
	w.out.WriteString("  #   users: {columns: {drop: [memo]}, where: \"deleted_at IS NULL\"}\n  #   \"tmp_*\": skip\n")
	if anyLeftOut(tables) {
		w.out.WriteString("  # Columns that look like credentials are left out until they are named: {columns: {include: [name]}}\n")
	}
	for _, t := range tables {
		fmt.Fprintf(&w.out, "  # %s: {}%s\n", quote(escapePattern(t.Ref())), remark(t))
	}
}

// remark says what is known about a table: size, comment, what is left out.
func remark(t connector.Table) string {
	var parts []string
	switch {
	case t.View:
		parts = append(parts, "a view: taken only if named here")
	case t.Rows >= 0:
		parts = append(parts, "about "+humanize.Comma(t.Rows)+" rows")
	}
	if t.Bytes > 0 {
		parts = append(parts, humanize.IBytes(uint64(t.Bytes)))
	}
	if t.Comment != "" {
		parts = append(parts, t.Comment)
	}
	if left := leftOut(t); len(left) > 0 {
		parts = append(parts, "left out: "+strings.Join(left, ", "))
	}
	if len(parts) == 0 {
		return ""
	}
	return " # " + oneLine(strings.Join(parts, "; "))
}

func leftOut(t connector.Table) []string {
	var names []string
	for _, c := range t.Columns {
		if job.LooksLikeCredential(c.Name) {
			names = append(names, c.Name)
		}
	}
	return names
}

func anyLeftOut(tables []connector.Table) bool {
	for _, t := range tables {
		if len(leftOut(t)) > 0 {
			return true
		}
	}
	return false
}

// escapePattern is a table's name as a rule that means just this table.
func escapePattern(name string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `{`, `\{`).Replace(name)
}

// oneLine keeps a comment from ending early.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == '\u0085' }), " ")
}

// flow is a list of single values on one line.
func flow(list reflect.Value) string {
	items := make([]string, list.Len())
	for i := range items {
		item := list.Index(i)
		items[i], _ = conf.Text(item)
		if item.Kind() == reflect.String {
			items[i] = quote(items[i])
			if strings.ContainsAny(items[i], "[]{},") && items[i][0] != '"' && items[i][0] != '\'' {
				items[i] = fmt.Sprintf("%q", items[i])
			}
		}
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// quote is text as a YAML scalar on one line, in quotes where it needs them, that means
// itself: nothing in it is a variable.
func quote(s string) string {
	s = strings.ReplaceAll(s, "${", "$${")
	n := yaml.Node{Kind: yaml.ScalarNode, Value: s, Tag: "!!str"}
	if oneLine(s) != s || strings.HasPrefix(s, "secret:") || s == "" {
		n.Style = yaml.DoubleQuotedStyle
	}
	out, err := yaml.Marshal(&n)
	if err != nil { // not text: as Go quotes it, which YAML reads as well
		return fmt.Sprintf("%q", s)
	}
	return strings.TrimSuffix(string(out), "\n")
}
