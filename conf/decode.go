package conf

import (
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Ignored begins the top-level keys that mean nothing: they are for anchors and notes.
const Ignored = "x-"

// Decode fills the struct that into points to, whose values before are the defaults.
// Everything wrong is collected for [Document.Err]; what is right is filled in all the same.
// A file that did not parse is not decoded.
func (d *Document) Decode(into any) {
	if !d.broken {
		d.Root().Decode(into)
	}
}

// Root is the whole document.
func (d *Document) Root() Raw { return Raw{d: d, node: d.root, key: d.root} }

// decode fills v from n. key is the node to point at when something is missing: the key
// that n belongs to.
func (d *Document) decode(n, key *yaml.Node, path string, v reflect.Value, check Check) {
	if v.Type() == reflect.TypeFor[Raw]() {
		v.Set(reflect.ValueOf(Raw{d: d, node: n, key: key, path: path}))
		return
	}
	n = resolve(n)
	switch {
	case v.Kind() == reflect.Pointer && isNull(n):
		d.problems.Add(d.at(key), path, "has no value: write one or remove the key")
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.decode(n, key, path, v.Elem(), check)
	case scalarOf(v.Type()) != nil:
		d.scalar(n, key, path, v, check)
	case v.Kind() == reflect.Struct:
		d.structure(n, key, path, v)
	case v.Kind() == reflect.Map:
		d.mapping(n, key, path, v, check)
	case v.Kind() == reflect.Slice:
		d.list(n, key, path, v, check)
	default:
		panic("conf: no way to decode a " + v.Type().String())
	}
}

func (d *Document) structure(n, key *yaml.Node, path string, v reflect.Value) {
	fields := Fields(v.Type())
	if f, ok := wordField(fields); ok && !isNull(n) && n.Kind == yaml.ScalarNode {
		n = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: n.Line, Column: n.Column, Content: []*yaml.Node{
			{Kind: yaml.ScalarNode, Tag: "!!str", Value: f.Key, Line: n.Line, Column: n.Column}, n,
		}}
	}
	entries, ok := d.entries(n, key, path)
	if !ok {
		return
	}
	names := make([]string, len(fields))
	known := make(map[string]Field, len(fields))
	for i, f := range fields {
		names[i], known[f.Key] = f.Key, f
	}
	seen := make(map[string]bool, len(entries))
	for _, e := range entries {
		seen[e.Key] = true
		f, ok := known[e.Key]
		if !ok && path == "" && strings.HasPrefix(e.Key, Ignored) {
			continue
		}
		if !ok {
			hint := DidYouMean(e.Key, names)
			if w := wide(e.Key); w != "" {
				hint = ": " + w
			}
			d.problems.Add(e.At, Join(path, e.Key), "unknown key%s", hint)
			continue
		}
		d.decode(e.Value.node, e.Value.key, Join(path, e.Key), v.FieldByIndex(f.Index), f.Check)
	}
	for _, f := range fields {
		if seen[f.Key] {
			continue
		}
		if f.Check.Required && v.FieldByIndex(f.Index).IsZero() {
			d.problems.Add(d.at(key), Join(path, f.Key), "is missing")
		}
		d.defaults(Join(path, f.Key), v.FieldByIndex(f.Index))
	}
	if c, ok := v.Addr().Interface().(Checker); ok {
		c.CheckConf(func(name, format string, args ...any) {
			at := d.at(key)
			for _, e := range entries {
				if e.Key == name {
					at = e.At
				}
			}
			d.problems.Add(at, Join(path, name), format, args...)
		})
	}
}

func (d *Document) mapping(n, key *yaml.Node, path string, v reflect.Value, check Check) {
	entries, ok := d.entries(n, key, path)
	if !ok {
		return
	}
	t := v.Type()
	out := reflect.MakeMapWithSize(t, len(entries))
	for _, e := range entries {
		elem := reflect.New(t.Elem()).Elem()
		d.decode(e.Value.node, e.Value.key, Join(path, e.Key), elem, check)
		out.SetMapIndex(reflect.ValueOf(e.Key).Convert(t.Key()), elem)
	}
	v.Set(out)
}

// list fills a slice. A list of one scalar may be written without brackets.
func (d *Document) list(n, key *yaml.Node, path string, v reflect.Value, check Check) {
	nodes := []*yaml.Node{n}
	switch {
	case isNull(n):
		d.problems.Add(d.at(key), path, "has no value: write one or remove the key")
		return
	case n.Kind == yaml.SequenceNode:
		nodes = n.Content
	case n.Kind != yaml.ScalarNode || scalarOf(v.Type().Elem()) == nil:
		d.problems.Add(d.at(n), path, "want a list, got %s", kindOf(n))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(nodes), len(nodes))
	for i, item := range nodes {
		d.decode(item, item, Index(path, i), out.Index(i), check)
	}
	v.Set(out)
}

// defaults notes that nobody set the values of v.
func (d *Document) defaults(path string, v reflect.Value) {
	if text, ok := Text(v); ok {
		d.origins[path] = Origin{From: FromDefault, Value: text}
		return
	}
	if v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[Raw]() {
		for _, f := range Fields(v.Type()) {
			d.defaults(Join(path, f.Key), v.FieldByIndex(f.Index))
		}
	}
}
