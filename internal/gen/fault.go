package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// faultSite is one place in the code that makes a fault.
type faultSite struct {
	file, code, kind, hint, message string
}

// unknown stands for what is only known when the program runs.
const unknown = "…"

// faultSites finds the calls of fault.New and fault.Wrap, and inside the package itself the faults it makes.
func faultSites(f parsedFile, consts map[string]string) []faultSite {
	var sites []faultSite
	own := f.ast.Name.Name == "fault"
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if name := faultCall(n, own); name != "" && len(n.Args) >= 3 {
				site := faultSite{file: f.name, kind: kindOf(n.Args[0]), hint: phrase(n.Args[2], consts)}
				site.code, _ = literal(n.Args[1], consts)
				if name == "New" && len(n.Args) > 3 {
					site.message = withoutVerbs(phrase(n.Args[3], consts))
				}
				sites = append(sites, site)
			}
		case *ast.CompositeLit:
			if id, ok := n.Type.(*ast.Ident); ok && own && id.Name == "Error" {
				if site, ok := literalFault(n, consts); ok {
					site.file = f.name
					sites = append(sites, site)
				}
			}
		}
		return true
	})
	return sites
}

// faultCall is New or Wrap when n calls fault's.
func faultCall(n *ast.CallExpr, own bool) string {
	sel, ok := n.Fun.(*ast.SelectorExpr)
	if !ok || own {
		return ""
	}
	if pkg, ok := sel.X.(*ast.Ident); !ok || pkg.Name != "fault" || sel.Sel.Name != "New" && sel.Sel.Name != "Wrap" {
		return ""
	}
	return sel.Sel.Name
}

func literalFault(n *ast.CompositeLit, consts map[string]string) (faultSite, bool) {
	var site faultSite
	for _, e := range n.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		switch fmt.Sprint(kv.Key) {
		case "Kind":
			site.kind = kindOf(kv.Value)
		case "Code":
			site.code, _ = literal(kv.Value, consts)
		case "Hint":
			site.hint = phrase(kv.Value, consts)
		}
	}
	return site, site.code != ""
}

func kindOf(e ast.Expr) string {
	name := ""
	switch e := e.(type) {
	case *ast.SelectorExpr:
		name = e.Sel.Name
	case *ast.Ident:
		name = e.Name
	}
	if ast.IsExported(name) {
		return strings.ToLower(name)
	}
	return unknown
}

// literal is the text of an expression that is known at compile time.
func literal(e ast.Expr, consts map[string]string) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.Ident:
		s, ok := consts[e.Name]
		return s, ok
	case *ast.ParenExpr:
		return literal(e.X, consts)
	case *ast.BinaryExpr:
		a, ok := literal(e.X, consts)
		b, ok2 := literal(e.Y, consts)
		return a + b, ok && ok2
	}
	return "", false
}

// phrase is the text of an expression, with … for what is not known at compile time.
func phrase(e ast.Expr, consts map[string]string) string {
	if s, ok := literal(e, consts); ok {
		return s
	}
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return phrase(e.X, consts) + phrase(e.Y, consts)
	case *ast.CallExpr:
		if sel, ok := e.Fun.(*ast.SelectorExpr); ok && strings.HasPrefix(sel.Sel.Name, "Sprintf") && len(e.Args) > 0 {
			return withoutVerbs(phrase(e.Args[0], consts))
		}
	}
	return unknown
}

var verb = regexp.MustCompile(`%[-+# 0-9.*\[\]]*[a-zA-Z]`)

func withoutVerbs(format string) string {
	return strings.ReplaceAll(verb.ReplaceAllString(format, unknown), "%%", "%")
}

// errorsPage lists every code with who can fix it, what is said and what to do.
func errorsPage(sites []faultSite) []byte {
	byCode := map[string][]faultSite{}
	for _, s := range sites {
		if s.code != "" {
			byCode[s.code] = append(byCode[s.code], s)
		}
	}
	var b bytes.Buffer
	b.WriteString(head("Errors"))
	b.WriteString("Every fault has a kind, which says who can fix it and decides the [exit code](exit-codes.md), a code that stays the same between releases, and mostly a hint. … stands for what differs from case to case.\n")
	area := ""
	for _, code := range sortedNames(byCode) {
		if a, _, _ := strings.Cut(code, "."); a != area {
			area = a
			fmt.Fprintf(&b, "\n## %s\n\n| code | kind | says | to do | where |\n|---|---|---|---|---|\n", area)
		}
		var kinds, says, hints, files []string
		for _, s := range byCode[code] {
			kinds = addOnce(kinds, s.kind)
			says = addOnce(says, s.message)
			hints = addOnce(hints, s.hint)
			files = addOnce(files, s.file)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", code, cell(kinds), cell(says), cell(hints), cell(files))
	}
	return b.Bytes()
}

// addOnce leaves out what says nothing.
func addOnce(list []string, s string) []string {
	if strings.Trim(s, unknown+" ") == "" && s != unknown || slices.Contains(list, s) || s == "" {
		return list
	}
	return append(list, s)
}

func cell(list []string) string {
	if len(list) > 1 {
		list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == unknown })
	}
	return escapeCell(strings.Join(list, "<br>"))
}
