// Package connector is the contract between kitamae and the systems it reads from and
// writes to. A connector is a value; which ones there are is connectors/all's matter.
package connector

import (
	"context"
	"net/url"
	"sort"

	"github.com/kitamae/kitamae/conf"
)

// Connector describes one system.
type Connector struct {
	Name    string // as a config names it, as in "mysql"
	Summary string // one line for people
	Caps    Caps
	// Source and Dest are the ends it has; nil for none.
	Source *End[Source]
	Dest   *End[Destination]
	// Register, where the destination has one, is opened by the same spec as Dest.
	Register *End[Register]
	// Schemes are the URL schemes FromURL understands, as in "mysql://". FromURL makes a spec out of a URL.
	Schemes []string
	FromURL func(u *url.URL) (spec any, err error)
	// Grants, where the source has users, is the SQL that makes the URL's one with the least rights a run needs.
	Grants func(u *url.URL) (sql string, err error)
}

// Caps are a connector's abilities as facts. The conformance suite holds it to them.
type Caps struct {
	// Atomic: Commit publishes all tables at once or none.
	Atomic bool `json:"atomic"`
	// Durable: a commit interrupted anywhere can be committed again by another process without reading again.
	Durable bool `json:"durable"`
	// FoldsCase: table names that differ only by case are the same name.
	FoldsCase bool `json:"folds_case"`
	// Years9999: dates and timestamps outside the years 1 to 9999, and the time 24:00, are a fault of Write, as the destination
	// has no such values.
	Years9999 bool `json:"years_9999"`
	// Warehouse: the destination answers SQL.
	Warehouse bool `json:"warehouse"`
	// Append, Merge and Overwrite: the destination has these modes beside [Replace].
	Append    bool `json:"append"`
	Merge     bool `json:"merge"`
	Overwrite bool `json:"overwrite"`
	// Layout: the destination arranges rows as a [Layout] asks.
	Layout bool `json:"layout"`
	// Resumes: a stage whose run was interrupted outlives Close, and the next process may go on writing into it:
	// the receipts of both are committed together.
	Resumes bool `json:"resumes"`
	// Shared: processes on several machines may write into one stage at the same time, each its own tasks, and another one
	// commits their receipts, if the spec leads all of them to the same place; see [Sharer].
	Shared bool `json:"shared"`
	// Portable: as a source, it divides tables into partitions that other processes can read (ScanRequest.Portable).
	Portable bool `json:"portable"`
}

// Sharer is the spec of a destination that only some specs let several machines share ([Caps.Shared]).
type Sharer interface {
	// NotShared says what stands in the way and what to set, "" for nothing.
	NotShared() string
}

// Has says whether the destination has the mode.
func (c Caps) Has(m Mode) bool {
	switch m {
	case Replace:
		return true
	case Append:
		return c.Append
	case Merge:
		return c.Merge
	case Overwrite:
		return c.Overwrite
	}
	return false
}

// Env is what opening an end may need from outside its spec.
type Env struct {
	// Dir is the config file's folder: relative paths start there.
	Dir string
	// MemoryBytes is this end's share of limits.memory.
	MemoryBytes int64
	// Version is kitamae's, for application names.
	Version string
	// Secrets are where the spec's secret references are looked up.
	Secrets conf.Stores
	// Waiting, unless nil, is told once when the end waits for somebody who holds what it needs, and for whom; "" when it goes on.
	Waiting func(why string)
}

// End is one side of a connector. Make it with [NewEnd].
type End[T any] struct {
	// NewSpec returns a pointer to a fresh copy of the defaults, for a decoder to fill.
	NewSpec func() any
	// Open connects. spec is a pointer as NewSpec made it; its secrets are looked up now, in a copy.
	Open func(ctx context.Context, spec any, env Env) (T, error)
	// Place says where spec points to, for people, without secrets: "app on db1:3306".
	Place func(spec any) string
}

// NewEnd ties a spec struct to the function that opens it.
func NewEnd[S, T any](defaults S, open func(context.Context, S, Env) (T, error), place func(S) string) *End[T] {
	return &End[T]{
		NewSpec: func() any { s := defaults; return &s },
		Open: func(ctx context.Context, spec any, env Env) (T, error) {
			s := *spec.(*S)
			if err := conf.Resolve(ctx, &s, env.Secrets); err != nil {
				var none T
				return none, err
			}
			return open(ctx, s, env)
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
