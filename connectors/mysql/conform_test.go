package mysql_test

import (
	"testing"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connector/conform"
	"github.com/kitamae/kitamae/connectors/mysql"
	"github.com/kitamae/kitamae/internal/servertest"
)

func TestConform(t *testing.T) {
	for _, s := range servertest.MySQLServers(t) {
		t.Run(s.Name, func(t *testing.T) {
			conform.Run(t, conform.Suite{Connector: mysql.Connector, Config: func(t *testing.T) conform.Config {
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
		"set session sql_mode = ''",
		"create table digits (d int primary key)", "insert into digits values (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)",
		"create table numbers (i int primary key)",
		"insert into numbers select a.d + 10*b.d + 100*c.d + 1000*d.d + 10000*e.d + 100000*f.d from digits a, digits b, digits c, digits d, digits e, digits f where f.d < 2",
		"create table `学習 記録` (id bigint primary key, `it's \"quoted\"` varchar(50) comment '名', score decimal(12,3), at timestamp not null) comment '受講者''s \"records\"'",
		"insert into `学習 記録` select i * 7 - 1000000 + (i > 150000) * 1000000000, case when i % 5 > 0 then concat('点', i) end, i / 8, from_unixtime(1700000000 + i) from numbers",
		"create table pairs (word varchar(20) collate utf8mb4_general_ci, n int unsigned, note blob, primary key (word, n))",
		"insert into pairs select concat(char(97 + i % 26), char(65 + i % 20), elt(1 + i % 3, 'あ', 'ア', ' ')), i, case when i % 3 > 0 then unhex(sha2(i, 256)) end from numbers where i < 90000",
		"create table keyless (a int, b text)",
		"insert into keyless select i % 7, 'twin' from numbers where i < 999",
		"create table `empty` (id int primary key, day date, flag tinyint(1), data json)",
		"create table days (id int primary key, d date not null, ts datetime(6) not null, y year not null)",
		"insert into days values (1, '0000-00-00', '2024-00-15', 0), (2, '2024-02-29', '2024-02-29 12:00:00.000001', 2024), (3, '9999-12-31', '1000-01-01', 1901)",
		"drop table digits", "drop table numbers", "analyze table `学習 記録`", "analyze table pairs", "analyze table keyless", "analyze table `empty`", "analyze table days", // else the estimates change when the server gets to it
	)
	spec := mysql.Connector.Source.NewSpec().(*mysql.Spec)
	spec.Host, spec.Port, spec.User, spec.Password, spec.Database = s.Host, s.Port, s.User, conf.Secret(s.Password), db
	return conform.Config{
		Spec: spec,
		Env:  connector.Env{Dir: t.TempDir(), MemoryBytes: 256 << 20, Version: "test"},
		Fixtures: []conform.Fixture{
			{
				Name: "学習 記録", Columns: []string{"id", `it's "quoted"`, "score", "at"}, Key: []string{"id"}, Rows: 200_000, Partitions: 2,
				Comment: `受講者's "records"`, Comments: map[string]string{`it's "quoted"`: "名"},
			},
			{Name: "pairs", Columns: []string{"word", "n", "note"}, Key: []string{"word", "n"}, Rows: 90_000, Partitions: 2},
			{Name: "keyless", Columns: []string{"a", "b"}, Rows: 999},
			{Name: "empty", Columns: []string{"id", "day", "flag", "data"}, Key: []string{"id"}},
			{Name: "days", Columns: []string{"id", "d", "ts", "y"}, Key: []string{"id"}, Rows: 3},
		},
	}
}
