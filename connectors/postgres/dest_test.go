package postgres_test

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connector/conform"
	"github.com/kitamae/kitamae/connectors/postgres"
	"github.com/kitamae/kitamae/internal/servertest"
)

func TestConformDest(t *testing.T) {
	for _, s := range servertest.PostgresServers(t) {
		t.Run(s.Name, func(t *testing.T) {
			conform.Destination(t, conform.Suite{Connector: postgres.Connector, RefusesNUL: true, Config: func(t *testing.T) conform.Config {
				return emptyDatabase(t, s)
			}})
		})
	}
}

// emptyDatabase is a database without tables, read back as a source.
func emptyDatabase(t *testing.T, s servertest.Server) conform.Config {
	t.Helper()
	db := servertest.FreshDatabase(t, s)
	spec := postgres.Connector.Dest.NewSpec().(*postgres.DestSpec)
	spec.Host, spec.Port, spec.User, spec.Password, spec.Database = s.Host, s.Port, s.User, conf.Secret(s.Password), db
	env := connector.Env{Dir: t.TempDir(), MemoryBytes: 256 << 20, Version: "test"}
	return conform.Config{Spec: spec, Env: env, Published: func(t *testing.T, table string) (batch.Stream, bool) {
		from := postgres.Connector.Source.NewSpec().(*postgres.Spec)
		from.Host, from.Port, from.User, from.Password, from.Database = s.Host, s.Port, s.User, conf.Secret(s.Password), db
		return published(t, from, env, table)
	}}
}

// published reads a table as the source does, whose decoders have tests of their own; dates and times it can't hold are seen there.
func published(t *testing.T, spec *postgres.Spec, env connector.Env, name string) (batch.Stream, bool) {
	t.Helper()
	src, err := postgres.Connector.Source.Open(t.Context(), spec, env)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = src.Close() }()
	tables, err := src.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if table.Name != name {
			continue
		}
		scan, err := src.Scan(t.Context(), connector.ScanRequest{
			Connections: 1, BatchBytes: 8 << 20, MaxValueBytes: 64 << 20,
			Tables: []connector.TableScan{{Table: table, Columns: table.Columns}},
		})
		if err != nil {
			t.Fatal(err)
		}
		var recs []arrow.RecordBatch
		for _, p := range scan.Tables[0].Partitions {
			reading, err := src.Read(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			for rec, err := range reading.Rows {
				if err != nil {
					t.Fatal(err)
				}
				rec.Retain()
				t.Cleanup(rec.Release)
				recs = append(recs, rec)
			}
		}
		return batch.Of(recs...), true
	}
	return nil, false
}
