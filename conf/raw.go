package conf

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Raw is a part of a document that is decoded later, when it is known into what. As a
// field of a spec struct it takes any value.
type Raw struct {
	d         *Document
	node, key *yaml.Node
	path      string
}

// Entry is one key of a mapping with its value, in the order of the file.
type Entry struct {
	Key   string
	At    Place
	Value Raw
}

// Given says whether the file has the value at all; one that was left empty counts.
func (r Raw) Given() bool { return r.node != nil }

// Default makes a part that stands in no file: its values' origin is the default.
func (d *Document) Default(path string, n *yaml.Node) Raw {
	return Raw{d: d, node: n, key: n, path: path}
}

// Path is where the value stands, as problems name it.
func (r Raw) Path() string { return r.path }

// At is the place of the value's key.
func (r Raw) At() Place { return r.d.at(r.key) }

// Decode fills what into points to, as [Document.Decode] does.
func (r Raw) Decode(into any) {
	r.d.decode(r.node, r.key, r.path, reflect.ValueOf(into).Elem(), Check{})
}

// Entries are the keys of a mapping; none, and a problem, for anything else. An empty
// value is an empty mapping.
func (r Raw) Entries() []Entry {
	entries, _ := r.d.entries(r.node, r.key, r.path)
	return entries
}

// Is says whether the value is the plain word.
func (r Raw) Is(word string) bool {
	n := resolve(r.node)
	return n != nil && n.Kind == yaml.ScalarNode && n.Value == word
}

// IsScalar says whether the value is neither a mapping, nor a list, nor empty.
func (r Raw) IsScalar() bool {
	n := resolve(r.node)
	return !isNull(n) && n.Kind == yaml.ScalarNode
}

// Empty says whether the value is nothing, or a mapping without keys.
func (r Raw) Empty() bool {
	n := resolve(r.node)
	return isNull(n) || n.Kind == yaml.MappingNode && len(n.Content) == 0
}

// Problem adds something wrong with the value.
func (r Raw) Problem(format string, args ...any) {
	at := r.d.at(r.key)
	if n := resolve(r.node); r.IsScalar() {
		at = r.d.at(n)
	}
	r.d.problems.Add(at, r.path, format, args...)
}

// Index is the path of the i-th element of the list at path.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// entries flattens a mapping with its merge keys, whose values give way to the mapping's own.
func (d *Document) entries(n, key *yaml.Node, path string) ([]Entry, bool) {
	return d.flatten(n, key, path, nil)
}

func (d *Document) flatten(n, key *yaml.Node, path string, inside []*yaml.Node) ([]Entry, bool) {
	n = resolve(n)
	switch {
	case isNull(n):
		return nil, true
	case n.Kind != yaml.MappingNode:
		d.problems.Add(d.at(n), path, "want a mapping (key: value), got %s", notMapping(n))
		return nil, false
	case slices.Contains(inside, n):
		d.problems.Add(d.at(key), path, "an anchor that contains itself")
		return nil, false
	}
	inside = append(inside, n)
	var own, merged []Entry
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, value := resolve(n.Content[i]), n.Content[i+1]
		switch {
		case k.ShortTag() == "!!merge":
			merged = append(merged, d.merge(value, n.Content[i], path, inside)...)
			continue
		case k.Kind != yaml.ScalarNode:
			d.problems.Add(d.at(k), path, "a key must be text, not %s", kindOf(k))
			continue
		}
		if first, twice := lines[k.Value]; twice {
			d.problems.Add(d.at(k), Join(path, k.Value), "the key stands here twice: first in line %d", first)
			continue
		}
		lines[k.Value] = k.Line
		own = append(own, Entry{k.Value, d.at(k), Raw{d, value, k, Join(path, k.Value)}})
	}
	for _, e := range merged {
		if _, has := lines[e.Key]; !has {
			lines[e.Key] = e.At.Line
			own = append(own, e)
		}
	}
	return own, true
}

// merge lists what << brings in: one mapping, or a list of them of which the first wins.
func (d *Document) merge(value, key *yaml.Node, path string, inside []*yaml.Node) []Entry {
	list := []*yaml.Node{value}
	if n := resolve(value); n.Kind == yaml.SequenceNode {
		list = n.Content
	}
	var out []Entry
	for _, n := range list {
		entries, _ := d.flatten(n, key, path, inside)
		out = append(out, entries...)
	}
	return out
}

func resolve(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n == nil || n.ShortTag() == "!!null" }

// notMapping names what stands where a mapping should. It does not repeat text, which may
// be "password:…" without the space.
func notMapping(n *yaml.Node) string {
	switch {
	case n.Kind != yaml.ScalarNode:
		return kindOf(n)
	case strings.Contains(n.Value, ":"):
		return "text: a space must follow the colon"
	}
	return "text"
}

// kindOf names what a node is, for people.
func kindOf(n *yaml.Node) string {
	switch {
	case isNull(n):
		return "nothing"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!bool":
		return n.Value
	}
	return strconv.Quote(n.Value)
}
