// Package all is the list of connectors. Adding one is a line here.
package all

import (
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connectors/bigquery"
	"github.com/kitamae/kitamae/connectors/duckdb"
	"github.com/kitamae/kitamae/connectors/files"
	"github.com/kitamae/kitamae/connectors/mysql"
	"github.com/kitamae/kitamae/connectors/postgres"
	"github.com/kitamae/kitamae/connectors/sqlite"
)

// Registry is every connector kitamae comes with.
func Registry() connector.Registry {
	return connector.NewRegistry(
		bigquery.Connector,
		duckdb.Connector,
		files.Connector,
		mysql.Connector,
		postgres.Connector,
		sqlite.Connector,
	)
}
