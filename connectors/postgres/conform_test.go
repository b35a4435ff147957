package postgres_test

import (
	"testing"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connector/conform"
	"github.com/kitamae/kitamae/connectors/postgres"
	"github.com/kitamae/kitamae/internal/servertest"
)

func TestConform(t *testing.T) {
	for _, s := range servertest.PostgresServers(t) {
		t.Run(s.Name, func(t *testing.T) {
			conform.Source(t, conform.Suite{Connector: postgres.Connector, Config: func(t *testing.T) conform.Config {
				return filledDatabase(t, s)
			}})
		})
	}
}

// filledDatabase is a database with the fixtures in it.
func filledDatabase(t *testing.T, s servertest.Server) conform.Config {
	t.Helper()
	db := servertest.FreshDatabase(t, s)
	s.Exec(t, db,
		`create table "学習 記録" (id bigint primary key, "it's ""quoted""" text, score numeric(12,3), at timestamptz not null)`,
		`comment on table "学習 記録" is '受講者''s "records"'`,
		`comment on column "学習 記録"."it's ""quoted""" is '名'`,
		`insert into "学習 記録" select i * 7 - 1000000 + (i > 250000)::int * 1000000000, case when i % 5 > 0 then repeat('点', 20) || i end,
		   i / 8.0, timestamptz '2024-01-01 00:00:00+09' + i * interval '1 second' from generate_series(0, 299999) i`,
		`create table pairs (word varchar(20), n int, tags text[], primary key (word, n))`,
		`insert into pairs select chr(97 + i % 26) || chr(65 + i % 20) || chr(12354 + i % 40), i, case when i % 3 > 0 then array['a', null, i::text] end
		   from generate_series(1, 260000) i`,
		`create table keyless (a int, b text)`,
		`insert into keyless select i % 7, 'twin' from generate_series(1, 260000) i`,
		`create table empty (id uuid primary key, day date, flag boolean, data jsonb)`,
		`create schema crm`,
		`create table crm.days (id int primary key, d date not null, ts timestamp not null, n numeric(10,2) not null)`,
		`insert into crm.days values (1, 'infinity', '-infinity', 'NaN'), (2, '2024-02-29', '2024-02-29 12:00', 1.5), (3, '4713-01-01 BC', '294276-12-31 23:59:59', -0.01)`,
		`analyze`,
	)
	spec := postgres.Connector.Source.NewSpec().(*postgres.Spec)
	spec.Host, spec.Port, spec.User, spec.Password, spec.Database = s.Host, s.Port, s.User, conf.Secret(s.Password), db
	spec.Schemas = []string{"public", "crm"}
	return conform.Config{
		Spec: spec,
		Env:  connector.Env{Dir: t.TempDir(), MemoryBytes: 256 << 20, Version: "test"},
		Fixtures: []conform.Fixture{
			{
				Name: "学習 記録", Columns: []string{"id", `it's "quoted"`, "score", "at"}, Key: []string{"id"}, Rows: 300_000, Partitions: 2,
				Comment: `受講者's "records"`, Comments: map[string]string{`it's "quoted"`: "名"},
			},
			{Name: "pairs", Columns: []string{"word", "n", "tags"}, Key: []string{"word", "n"}, Rows: 260_000, Partitions: 2},
			{Name: "keyless", Columns: []string{"a", "b"}, Rows: 260_000, Partitions: 2},
			{Name: "empty", Columns: []string{"id", "day", "flag", "data"}, Key: []string{"id"}},
			{Schema: "crm", Name: "days", Columns: []string{"id", "d", "ts", "n"}, Key: []string{"id"}, Rows: 3},
		},
	}
}
