package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/internal/servertest"
)

// eager divides tables of a few thousand rows.
var eager = sizes{small: 1, smallRows: 1, bytes: 128 << 10, rows: 500}

// splitCase is a table that is awkward to divide. Its first column is called id and holds each value once.
type splitCase struct {
	name  string
	ddl   string
	fill  string
	where string
	key   []string // in place of the table's
}

const splitRows = 6000

var splitCases = []splitCase{
	{name: "dense", ddl: "(id int PRIMARY KEY, pad text)", fill: "SELECT g, repeat('x', 20) FROM generate_series(1, 6000) g"},
	{name: "gaps and negatives", ddl: "(id bigint PRIMARY KEY)",
		fill: "SELECT CASE WHEN g < 10 THEN -9223372036854775808 + g WHEN g > 5990 THEN 9223372036854775807 - g ELSE g END FROM generate_series(1::bigint, 6000) g"},
	{name: "uuid", ddl: "(id uuid PRIMARY KEY)", fill: "SELECT md5(g::text)::uuid FROM generate_series(1, 6000) g"},
	{name: "text", ddl: `(id text COLLATE "C" PRIMARY KEY)`, fill: "SELECT CASE g % 3 WHEN 0 THEN 'あ' WHEN 1 THEN 'Z''\"' ELSE 'a\\' END || g FROM generate_series(1, 6000) g"},
	{name: "icu collation", ddl: `(id text COLLATE "ja-x-icu" PRIMARY KEY)`, fill: "SELECT chr(12353 + g % 80) || CASE WHEN g % 2 = 0 THEN 'a' ELSE 'B' END || g FROM generate_series(1, 6000) g"},
	{name: "composite", ddl: "(id text UNIQUE, a int, b varchar(10), PRIMARY KEY (a, b))", fill: "SELECT g::text, g / 4000, 'b' || g FROM generate_series(1, 6000) g"},
	{name: "char", ddl: "(id char(8) PRIMARY KEY)", fill: "SELECT g::text FROM generate_series(1, 6000) g"},
	{name: "numeric", ddl: "(id numeric PRIMARY KEY)", fill: "SELECT g / 7.0 FROM generate_series(1, 6000) g"},
	{name: "time", ddl: "(id timestamptz PRIMARY KEY)", fill: "SELECT '2024-01-01Z'::timestamptz + g * interval '1 us' FROM generate_series(1, 6000) g"},
	{name: "no key", ddl: "(id int, pad text)", fill: "SELECT g, repeat('y', 50) FROM generate_series(1, 6000) g"},
	{name: "key that may be null", ddl: "(id int UNIQUE NOT NULL, k int, l int)", key: []string{"k", "l"},
		fill: "SELECT g, CASE WHEN g % 10 = 0 THEN NULL ELSE g / 2 END, NULL FROM generate_series(1, 6000) g"},
	{name: "few rows pass", ddl: "(id int PRIMARY KEY)", fill: "SELECT g FROM generate_series(1, 20000) g", where: "id > 14000 -- the newest"},
	{name: "partitioned", ddl: "(id int, PRIMARY KEY (id)) PARTITION BY RANGE (id)", fill: "SELECT g FROM generate_series(1, 6000) g"},
	{name: "partitioned, no key", ddl: "(id int) PARTITION BY RANGE (id)", fill: "SELECT g FROM generate_series(1, 6000) g"},
}

// TestPartitionsAreTheTable reads every table by ctid and by key and wants each row exactly once, and no
// partition with most of the rows.
func TestPartitionsAreTheTable(t *testing.T) {
	eachServer(t, func(t *testing.T, server servertest.Server, db string) {
		for i, tc := range splitCases {
			name := fmt.Sprintf("s_%d", i)
			server.Exec(t, db, "CREATE TABLE "+name+tc.ddl)
			if strings.Contains(tc.ddl, "PARTITION BY") {
				server.Exec(t, db, fmt.Sprintf("CREATE TABLE %s_a PARTITION OF %s FOR VALUES FROM (MINVALUE) TO (100)", name, name),
					fmt.Sprintf("CREATE TABLE %s_b PARTITION OF %s FOR VALUES FROM (100) TO (200)", name, name),
					fmt.Sprintf("CREATE TABLE %s_c PARTITION OF %s DEFAULT", name, name))
			}
			server.Exec(t, db, "INSERT INTO "+name+" "+tc.fill, "ANALYZE "+name)
		}
		for _, byKey := range []bool{false, true} {
			s := open(t, specFor(server, db))
			s.sizes = eager
			s.sizes.byKey = byKey
			tables := discover(t, s)
			req := connector.ScanRequest{Connections: 2}
			for i, tc := range splitCases {
				table := tables[fmt.Sprintf("s_%d", i)]
				req.Tables = append(req.Tables, connector.TableScan{Table: table, Columns: table.Columns[:1], Where: conf.Filled(tc.where), Key: tc.key})
			}
			sc := scan(t, s, req)
			for i, tc := range splitCases {
				t.Run(fmt.Sprintf("%s by key %v", tc.name, byKey), func(t *testing.T) {
					checkUnion(t, s, req.Tables[i], sc.Tables[i], !(byKey && strings.HasSuffix(tc.name, "no key")))
				})
			}
		}
	})
}

func checkUnion(t *testing.T, s *source, table connector.TableScan, st connector.ScannedTable, divided bool) {
	seen, most := map[string]int{}, 0
	for _, p := range st.Partitions {
		rows, _ := read(t, s, p)
		most = max(most, len(rows))
		for _, row := range rows {
			seen[row[0]]++
		}
	}
	if len(seen) != splitRows {
		t.Errorf("%d different rows, want %d", len(seen), splitRows)
	}
	for id, n := range seen {
		if n != 1 {
			t.Fatalf("row %s came %d times", id, n)
		}
	}
	if divided && (len(st.Partitions) < 4 && !strings.Contains(table.Table.Ref(), "s_12") || most > splitRows/2 && len(st.Partitions) >= 4) {
		t.Errorf("%d partitions, the largest with %d of %d rows", len(st.Partitions), most, splitRows)
	}
	n, err := s.Count(t.Context(), table)
	if err != nil || n != splitRows {
		t.Errorf("count = %d, %v", n, err)
	}
	sample, err := s.Sample(t.Context(), table, 50)
	if err != nil {
		t.Fatal(err)
	}
	defer sample.Release()
	if sample.NumRows() < 40 {
		t.Errorf("%d rows sampled, want about 50", sample.NumRows())
	}
	for _, row := range texts(sample) {
		if seen[row[0]] != 1 {
			t.Errorf("sampled %q, which was not read", row[0])
		}
	}
}

func TestCutsAreRealKeys(t *testing.T) {
	points := []quantile{{At: []string{"1"}}, {At: []string{"1"}}, {At: []string{"1"}}, {At: []string{"9"}}}
	for _, tc := range []struct {
		name  string
		count int
		want  [][]string
	}{
		{"one partition", 1, nil},
		{"repeated values make one cut", 4, [][]string{{"1"}, {"9"}}},
		{"more than there are points", 9, [][]string{{"1"}, {"9"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := cutsOf(points, tc.count)
			if !slices.EqualFunc(got, tc.want, slices.Equal[[]string]) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
