// Package conf turns YAML into structs: with positions, with every problem in one pass,
// with a record of where each value came from, and the structs into a JSON Schema. What
// the keys mean is the matter of those who own the structs.
package conf

import (
	"reflect"
	"strings"
)

// Docs are the doc comments of spec structs by [TypeName]. They are generated, as comments
// do not survive compilation.
type Docs map[string]TypeDoc

// TypeDoc is one struct's comments.
type TypeDoc struct {
	Doc    string
	Fields map[string]string // by the field's Go name
}

// TypeName is a struct's name in Docs: import path, dot, name.
func TypeName(t reflect.Type) string { return t.PkgPath() + "." + t.Name() }

// Field is the comment of a key.
func (d Docs) Field(f Field) string { return d[TypeName(f.Owner)].Fields[f.Go] }

// Text is a single value, or a list of them, in a config's words, and whether it is one.
func Text(v reflect.Value) (string, bool) {
	if s := scalarOf(v.Type()); s != nil {
		return s.print(v), true
	}
	if v.Kind() != reflect.Slice {
		return "", false
	}
	s := scalarOf(v.Type().Elem())
	if s == nil {
		return "", false
	}
	items := make([]string, v.Len())
	for i := range items {
		items[i] = s.print(v.Index(i))
	}
	return strings.Join(items, ", "), true
}

// Want says what a type takes, for people: "a whole number", "a list of text".
func Want(t reflect.Type) string {
	if s := scalarOf(t); s != nil {
		return s.want
	}
	switch t.Kind() {
	case reflect.Pointer:
		return Want(t.Elem())
	case reflect.Slice:
		return "a list of " + Want(t.Elem())
	case reflect.Map:
		return "a mapping of names to " + Want(t.Elem())
	}
	return "a mapping"
}

// Checker is a spec struct that has more to check than tags can say, such as keys that
// exclude each other. It is called once the struct is filled; bad names one of its keys.
type Checker interface {
	CheckConf(bad func(key, format string, args ...any))
}
