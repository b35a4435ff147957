// Package sqlite reads SQLite 3 files. It opens them read-only, surveys what types their
// columns really hold, and reads all tables in one state of the database.
package sqlite

import (
	"context"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// Spec configures a SQLite file to read from.
type Spec struct {
	// Path is the database file. A relative path starts at the config file's folder.
	Path string `yaml:"path" json:"path" conf:"required"`
}

// Connector is what connectors/all adds.
var Connector = connector.Connector{
	Name:    "sqlite",
	Summary: "SQLite 3 files, read-only",
	Source:  connector.NewEnd[Spec, connector.Source](Spec{}, openSource, place),
	Schemes: []string{"sqlite", "sqlite3"},
	FromURL: fromURL,
}

func openSource(ctx context.Context, spec Spec, env connector.Env) (connector.Source, error) {
	path := spec.Path
	if path == "" {
		return nil, fault.New(fault.Config, "sqlite.file", "set source.sqlite.path", "no database file is named")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(env.Dir, path)
	}
	return newSource(ctx, path)
}

func place(spec Spec) string { return spec.Path }

// fromURL understands sqlite:///absolute/path.db, sqlite:relative.db and sqlite://relative.db.
func fromURL(u *url.URL) (any, error) {
	path := u.Host + u.Path
	if u.Opaque != "" {
		plain, err := url.PathUnescape(u.Opaque)
		if err != nil {
			return nil, fault.Wrap(fault.Config, "sqlite.url", "write it as sqlite:///path/to/app.db or sqlite:app.db", err)
		}
		path = plain
	}
	if strings.Trim(path, "/") == "" {
		return nil, fault.New(fault.Config, "sqlite.url", "write it as sqlite:///path/to/app.db or sqlite:app.db",
			"%s names no file", u)
	}
	return &Spec{Path: path}, nil
}
