// Package duckdb publishes tables into a DuckDB file and answers SQL from it. It never
// writes the file that is read: a run works on a file beside it, which takes its place by
// rename when everything in it is whole.
package duckdb

import (
	"context"
	"net/url"
	"path/filepath"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// Spec configures the file.
type Spec struct {
	// Path is the file, made when it is absent; a relative path starts at the config file's
	// folder. Beside it a run keeps <path>.next while it works and <path>.previous, the file before.
	Path string `yaml:"path" json:"path" conf:"required"`
}

var defaults = Spec{Path: "kura.duckdb"}

// Connector is what connectors/all adds.
var Connector = connector.Connector{
	Name:    "duckdb",
	Summary: "a DuckDB file, 1.3 or newer",
	Caps:    connector.Caps{Atomic: true, Durable: true, FoldsCase: true, Resumes: true, Warehouse: true, Append: true},
	Dest:    connector.NewEnd[Spec, connector.Destination](defaults, openDest, place),
	Schemes: []string{"duckdb"},
	FromURL: fromURL,
}

func place(s Spec) string { return s.Path }

// fromURL understands duckdb:relative.duckdb and duckdb:///absolute.duckdb.
func fromURL(u *url.URL) (any, error) {
	spec := Spec{Path: u.Host + u.Path}
	if path, err := url.PathUnescape(u.Opaque); err == nil && path != "" {
		spec.Path = path
	}
	if spec.Path == "" {
		return nil, fault.New(fault.Config, "duckdb.path", "write duckdb:kura.duckdb", "the URL names no file")
	}
	return &spec, nil
}

// openDest touches no file: a plan leaves no trace.
func openDest(_ context.Context, spec Spec, env connector.Env) (connector.Destination, error) {
	if spec.Path == "" {
		return nil, fault.New(fault.Config, "duckdb.path", "set destination.duckdb.path", "no file is named")
	}
	path := spec.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(env.Dir, path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fault.Wrap(fault.Config, "duckdb.path", "set destination.duckdb.path to an absolute path", err)
	}
	// A link is followed once, here: publishing replaces what it points to, not the link.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	waiting := env.Waiting
	if waiting == nil {
		waiting = func(string) {}
	}
	return &dest{path: path, memory: env.MemoryBytes, patience: lockPatience, moment: lockMoment, waiting: waiting}, nil
}
