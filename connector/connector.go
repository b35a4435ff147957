// Package connector is the contract between kitamae and the systems it reads from and
// writes to. A connector is a value; which ones there are is connectors/all's matter.
package connector

import (
	"context"
	"net/url"
	"sort"
)

// Connector describes one system.
type Connector struct {
	Name    string // as a config names it, as in "mysql"
	Summary string // one line for people
	Caps    Caps
	// Source and Dest are the ends it has; nil for none.
	Source *End[Source]
	Dest   *End[Destination]
	// Schemes are the URL schemes FromURL understands, as in "mysql://". FromURL makes a spec out of a URL.
	Schemes []string
	FromURL func(u *url.URL) (spec any, err error)
}

// Caps are a connector's abilities as facts. The conformance suite holds it to them.
type Caps struct {
	// Atomic: Commit publishes all tables at once or none.
	Atomic bool `json:"atomic"`
	// Durable: a commit interrupted anywhere can be committed again by another process without reading again.
	Durable bool `json:"durable"`
	// FoldsCase: table names that differ only by case are the same name.
	FoldsCase bool `json:"folds_case"`
	// Warehouse: the destination answers SQL.
	Warehouse bool `json:"warehouse"`
}

// Env is what opening an end may need from outside its spec.
type Env struct {
	// Dir is the config file's folder: relative paths start there.
	Dir string
	// MemoryBytes is this end's share of limits.memory.
	MemoryBytes int64
	// Version is kitamae's, for application names.
	Version string
}

// End is one side of a connector. Make it with [NewEnd].
type End[T any] struct {
	// NewSpec returns a pointer to a fresh copy of the defaults, for a decoder to fill.
	NewSpec func() any
	// Open connects. spec is a pointer as NewSpec made it.
	Open func(ctx context.Context, spec any, env Env) (T, error)
	// Place says where spec points to, for people, without secrets: "app on db1:3306".
	Place func(spec any) string
}

// NewEnd ties a spec struct to the function that opens it.
func NewEnd[S, T any](defaults S, open func(context.Context, S, Env) (T, error), place func(S) string) *End[T] {
	return &End[T]{
		NewSpec: func() any { s := defaults; return &s },
		Open: func(ctx context.Context, spec any, env Env) (T, error) {
			return open(ctx, *spec.(*S), env)
		},
		Place: func(spec any) string { return place(*spec.(*S)) },
	}
}

// Registry is the connectors by name.
type Registry map[string]Connector

// NewRegistry makes a registry of the list.
func NewRegistry(list ...Connector) Registry {
	r := Registry{}
	for _, c := range list {
		r[c.Name] = c
	}
	return r
}

// Sources are the names that can be read from, sorted.
func (r Registry) Sources() []string {
	return r.names(func(c Connector) bool { return c.Source != nil })
}

// Destinations are the names that can be written to, sorted.
func (r Registry) Destinations() []string {
	return r.names(func(c Connector) bool { return c.Dest != nil })
}

// ByScheme finds the connector for a URL's scheme.
func (r Registry) ByScheme(scheme string) (Connector, bool) {
	for _, c := range r {
		for _, s := range c.Schemes {
			if s == scheme {
				return c, true
			}
		}
	}
	return Connector{}, false
}

func (r Registry) names(keep func(Connector) bool) []string {
	var names []string
	for name, c := range r {
		if keep(c) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}
