package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"testing"
)

const (
	longFile     = 600  // lines; above, the file says why: a line beginning "// long:"
	tooLongFile  = 1000 // lines; above, split it
	longFunction = 100  // lines
)

// reason is how a file or a function defends its length.
const reason = "// long:"

// TestFileSizes keeps files readable in one sitting.
func TestFileSizes(t *testing.T) {
	for _, f := range repo(t, ".go", ".sh") {
		n := len(f.lines())
		switch {
		case f.generated():
		case n > tooLongFile:
			t.Errorf("%s has %d lines, more than %d: split it", f.path, n, tooLongFile)
		case n > longFile && !strings.Contains(string(f.text), reason):
			t.Errorf("%s has %d lines, more than %d: split it, or say why in a line beginning %q", f.path, n, longFile, reason)
		}
	}
}

// TestFunctionSizes keeps functions on a screen. Tables of tests are data, not control flow.
func TestFunctionSizes(t *testing.T) {
	for _, f := range repo(t, ".go") {
		if f.generated() || strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		tree, fset := parse(t, f)
		for _, d := range tree.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1
			if n > longFunction && !strings.Contains(comment(fn.Doc), reason) {
				t.Errorf("%s: %s has %d lines, more than %d", fset.Position(fn.Pos()), fn.Name.Name, n, longFunction)
			}
		}
	}
}

// comment is the group's text with its directives, which Text drops.
func comment(g *ast.CommentGroup) string {
	if g == nil {
		return ""
	}
	var b strings.Builder
	for _, c := range g.List {
		b.WriteString(c.Text + "\n")
	}
	return b.String()
}

func parse(t *testing.T, f file) (*ast.File, *token.FileSet) {
	t.Helper()
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, f.path, f.text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return tree, fset
}

// forbidden is what no file may contain. The patterns are written so that they don't match themselves.
var forbidden = []struct {
	name    string
	pattern *regexp.Regexp
	in      string // extensions
}{
	{"a skipped test", regexp.MustCompile(`\b[tb]\.Skip(Now|f)?[(]`), ".go"},
	{"an unfinished thought", regexp.MustCompile(`\b(TO[D]O|FIX[M]E|XX[X])\b`), ".go .sh .md .yml"},
	{"a sleep in a test", regexp.MustCompile(`^[^/]*time\.Sleep[(]`), "_test.go"},
	{"a path of one machine", regexp.MustCompile(`(^|[\s"'=(:])/(wo[r]k|ro[o]t|ho[m]e/\w+)(/|\b)`), ""},
	{"a registry's host name", regexp.MustCompile(`(deb|security)\.debian\.or[g]|registry\.npmjs\.or[g]|pypi\.or[g]|proxy\.golang\.or[g]|repo1?\.maven\.or[g]`), ""},
}

// TestForbidden keeps out what rots or leaks.
func TestForbidden(t *testing.T) {
	for _, f := range repo(t) {
		if f.path == "go.sum" {
			continue
		}
		for i, line := range f.lines() {
			for _, no := range forbidden {
				if applies(no.in, f.path) && no.pattern.MatchString(line) {
					t.Errorf("%s:%d: %s: %s", f.path, i+1, no.name, strings.TrimSpace(line))
				}
			}
		}
	}
}

func applies(suffixes, path string) bool {
	if suffixes == "" {
		return true
	}
	for s := range strings.FieldsSeq(suffixes) {
		if strings.HasSuffix(path, s) {
			return true
		}
	}
	return false
}

// TestPackageComments: every package says what it is in a comment that begins as godoc wants it.
func TestPackageComments(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range repo(t, ".go") {
		if strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		tree, _ := parse(t, f)
		dir := f.path[:max(strings.LastIndex(f.path, "/"), 0)]
		text := tree.Doc.Text()
		if strings.HasPrefix(text, "Package "+tree.Name.Name+" ") || tree.Name.Name == "main" && strings.HasPrefix(text, "Command ") {
			documented[dir] = true
		} else if !documented[dir] {
			documented[dir] = false
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: no file begins with a comment \"// Package …\" (or \"// Command …\")", dir)
		}
	}
}
