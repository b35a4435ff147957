package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kitamae/kitamae/conf"
)

const module = "github.com/kitamae/kitamae"

// source is what the pages need from the code itself.
type source struct {
	docs   conf.Docs         // of structs with yaml tags
	funcs  map[string]string // doc comments of functions and methods, by path.Receiver.Name
	consts map[string]string // comments of constants, by path.Name
	faults []faultSite
}

// readSource parses every Go file of the module but tests, what only serves them (internal)
// and what is hidden.
func readSource(root string) (*source, error) {
	s := &source{docs: conf.Docs{}, funcs: map[string]string{}, consts: map[string]string{}}
	packages := map[string][]parsedFile{}
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := e.Name()
		if e.IsDir() {
			if name != root && (strings.HasPrefix(base, ".") || base == "testdata" || base == "internal") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		dir := path.Dir(rel)
		packages[dir] = append(packages[dir], parsedFile{rel, f})
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, dir := range sortedNames(packages) {
		s.readPackage(path.Join(module, dir), packages[dir])
	}
	return s, nil
}

type parsedFile struct {
	name string // from the root, with slashes
	ast  *ast.File
}

func (s *source) readPackage(importPath string, files []parsedFile) {
	consts := map[string]string{}
	for _, f := range files {
		stringConsts(f.ast, consts)
	}
	for _, f := range files {
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				s.funcs[importPath+"."+receiver(d)+d.Name.Name] = text(d.Doc)
			case *ast.GenDecl:
				s.readDecl(importPath, d)
			}
		}
		s.faults = append(s.faults, faultSites(f, consts)...)
	}
}

func (s *source) readDecl(importPath string, d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				s.consts[importPath+"."+name.Name] = text(spec.Doc, spec.Comment)
			}
		case *ast.TypeSpec:
			st, ok := spec.Type.(*ast.StructType)
			if !ok {
				continue
			}
			doc := conf.TypeDoc{Doc: forPeople(spec.Name.Name, "", text(spec.Doc, d.Doc)), Fields: map[string]string{}}
			for _, f := range st.Fields.List {
				key := keyOf(f)
				if key == "" {
					continue
				}
				for _, name := range f.Names {
					doc.Fields[name.Name] = forPeople(name.Name, key, text(f.Doc, f.Comment))
				}
			}
			if len(doc.Fields) > 0 {
				s.docs[importPath+"."+spec.Name.Name] = doc
			}
		}
	}
}

// keyOf is the field's key in a config, "" for none.
func keyOf(f *ast.Field) string {
	if f.Tag == nil {
		return ""
	}
	tag, err := strconv.Unquote(f.Tag.Value)
	key, _, _ := strings.Cut(reflect.StructTag(tag).Get("yaml"), ",")
	if err != nil || key == "-" {
		return ""
	}
	return key
}

func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return ""
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name + "."
	}
	return ""
}

// text is the first comment there is, as one paragraph per paragraph.
func text(groups ...*ast.CommentGroup) string {
	for _, g := range groups {
		if g == nil {
			continue
		}
		var paragraphs []string
		for _, p := range strings.Split(strings.TrimSpace(g.Text()), "\n\n") {
			paragraphs = append(paragraphs, strings.Join(strings.Fields(p), " "))
		}
		return strings.Join(paragraphs, "\n\n")
	}
	return ""
}

var beginning = regexp.MustCompile(`^(?:is|are|says|say) (the|a|an|one|who|what|how|which|whether|where|about) `)

// forPeople takes the Go name away from the beginning of a doc comment: "Port is the
// server's port." becomes "The server's port.". Where that makes no sentence the name
// stays, as the config has it.
func forPeople(name, key, doc string) string {
	rest, ok := strings.CutPrefix(doc, name+" ")
	switch {
	case !ok:
		return doc
	case beginning.MatchString(rest):
		_, rest, _ = strings.Cut(rest, " ")
	case key != "" && strings.Contains(key, "_"):
		return key + " " + rest
	case key != "":
		return doc
	}
	first, size := utf8.DecodeRuneInString(rest)
	return string(unicode.ToUpper(first)) + rest[size:]
}

// stringConsts collects constants of text by name, those inside functions too: hints are
// sometimes shared that way.
func stringConsts(f *ast.File, into map[string]string) {
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			if i < len(spec.Values) {
				if lit, ok := literal(spec.Values[i], into); ok {
					into[name.Name] = lit
				}
			}
		}
		return true
	})
}
