package house

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/internal/servertest"
)

// architectureLines is how much a newcomer reads in ten minutes.
const architectureLines = 200

func TestArchitectureIsShort(t *testing.T) {
	f := named(t, "docs/ARCHITECTURE.md")
	if n := len(f.lines()); n > architectureLines {
		t.Errorf("%s has %d lines, want at most %d", f.path, n, architectureLines)
	}
}

func named(t *testing.T, name string) file {
	t.Helper()
	for _, f := range repo(t) {
		if f.path == name {
			return f
		}
	}
	t.Fatalf("there is no %s", name)
	return file{}
}

var faultCode = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$`)

// TestFaultCodes: every code a fault is made with is a literal of the form area.what, and docs/reference/errors.md
// explains it.
func TestFaultCodes(t *testing.T) {
	documented := string(named(t, "docs/reference/errors.md").text)
	for _, f := range repo(t, ".go") {
		if strings.HasSuffix(f.path, "_test.go") || strings.HasPrefix(f.path, "internal/") {
			continue
		}
		tree, fset := parse(t, f)
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 3 || !makesFault(call.Fun) {
				return true
			}
			lit, ok := call.Args[1].(*ast.BasicLit)
			if !ok {
				t.Errorf("%s: a fault's code must be a string literal, so that it can be found", fset.Position(call.Pos()))
				return true
			}
			code, err := strconv.Unquote(lit.Value)
			if err != nil || !faultCode.MatchString(code) {
				t.Errorf("%s: fault code %s is not of the form area.what", fset.Position(call.Pos()), lit.Value)
			} else if !strings.Contains(documented, "`"+code+"`") {
				t.Errorf("%s: fault code %s is not in docs/reference/errors.md", fset.Position(call.Pos()), code)
			}
			return true
		})
	}
}

func makesFault(fun ast.Expr) bool {
	sel, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	return ok && pkg.Name == "fault" && (sel.Sel.Name == "New" || sel.Sel.Name == "Wrap")
}

var (
	link    = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`^#{1,6} +(.*)$`)
	fence   = regexp.MustCompile("^\\s*(```|~~~)")
)

// TestLinks: every relative link in the documentation leads to a file, and its anchor to a heading.
func TestLinks(t *testing.T) {
	root, err := servertest.Root()
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string]map[string]bool{}
	for _, f := range repo(t, ".md") {
		anchors[f.path] = headings(f)
	}
	for _, f := range repo(t, ".md") {
		for i, line := range prose(f) {
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				target, anchor, _ := strings.Cut(m[1], "#")
				if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
					continue
				}
				to := f.path
				if target != "" {
					to = path.Join(path.Dir(f.path), target)
				}
				if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(to))); err != nil {
					t.Errorf("%s:%d: %s leads nowhere", f.path, i+1, m[1])
				} else if known := anchors[to]; anchor != "" && known != nil && !known[anchor] {
					t.Errorf("%s:%d: %s has no heading #%s", f.path, i+1, to, anchor)
				}
			}
		}
	}
}

// prose is the file's lines with those inside code fences emptied.
func prose(f file) []string {
	lines := f.lines()
	inside := false
	for i, line := range lines {
		if fence.MatchString(line) {
			inside = !inside
			lines[i] = ""
		} else if inside {
			lines[i] = ""
		}
	}
	return lines
}

// headings are the anchors the file's headings get: lower case, spaces as hyphens, punctuation gone.
func headings(f file) map[string]bool {
	known := map[string]bool{}
	for _, line := range prose(f) {
		m := heading.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 127:
				return r
			}
			return -1
		}, strings.ToLower(strings.TrimSpace(m[1])))
		known[slug] = true
	}
	return known
}
