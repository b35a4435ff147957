package mysql

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
)

// TestSampleAgreesWithRead reads every type both ways.
func TestSampleAgreesWithRead(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		defs := []string{"id int PRIMARY KEY"}
		for k, c := range typeCases {
			defs = append(defs, fmt.Sprintf("c%d %s", k, c.native))
		}
		s.Exec(t, db, "CREATE TABLE t ("+strings.Join(defs, ", ")+") CHARACTER SET utf8mb4")
		for r := range 3 {
			row := []string{fmt.Sprint(r)}
			for _, c := range typeCases {
				row = append(row, c.insert[r])
			}
			s.Exec(t, db, "SET SESSION sql_mode=''", "INSERT INTO t VALUES ("+strings.Join(row, ", ")+")")
		}
		s.Exec(t, db, "INSERT INTO t (id) VALUES (3)")
		src := open(t, specFor(s, db))
		tab := table(t, src, "t")
		scan := scanOf(t, src, tab, 2)
		read, _, err := readRows(t.Context(), src, scan.Tables[0].Partitions[0])
		if err != nil {
			t.Fatal(err)
		}
		rec, err := src.Sample(t.Context(), connector.TableScan{Table: tab, Columns: tab.Columns}, 100)
		if err != nil {
			t.Fatal(err)
		}
		defer rec.Release()
		sampled := textRows(rec)
		if len(sampled) != 4 {
			t.Fatalf("%d rows sampled, want 4", len(sampled))
		}
		for i, row := range sampled {
			for k := range row {
				if row[k] != read[i][k] {
					t.Errorf("row %d, %s: sampled %.60q, read %.60q", i, tab.Columns[k].Native, row[k], read[i][k])
				}
			}
		}
	})
}

// TestChangedValuesAreCounted: zero dates, impossible dates and broken text.
func TestChangedValuesAreCounted(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		s.Exec(t, db, "SET SESSION sql_mode='ALLOW_INVALID_DATES'",
			"CREATE TABLE t (id int PRIMARY KEY, d date NOT NULL, dt datetime NOT NULL, ts timestamp NOT NULL DEFAULT '2024-01-01')",
			"INSERT INTO t VALUES (1, '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00'), (2, '2024-00-15', '2024-01-00 10:00:00', '2024-01-01'), (3, '2024-02-31', '2023-02-29 01:02:03', '2024-01-01'), (4, '2024-02-29', '2024-02-29', '2024-02-29 00:00:00')")
		src := open(t, specFor(s, db))
		tab := table(t, src, "t")
		for _, col := range tab.Columns[1:] {
			if !col.Nullable {
				t.Errorf("%s is not nullable, but may hold zero dates", col.Name)
			}
		}
		scan := scanOf(t, src, tab, 2)
		rows, result, err := readRows(t.Context(), src, scan.Tables[0].Partitions[0])
		if err != nil {
			t.Fatal(err)
		}
		want := "1|NULL|NULL|NULL 2|NULL|NULL|2024-01-01 00:00:00 3|NULL|NULL|2024-01-01 00:00:00 4|2024-02-29|2024-02-29 00:00:00|2024-02-29 00:00:00"
		var got []string
		for _, r := range rows {
			got = append(got, strings.Join(r, "|"))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
		}
		counts, _ := json.Marshal(result.Changed)
		if string(counts) != `{"d":{"impossible date, now null":1,"zero date, now null":2},"dt":{"impossible date, now null":1,"zero date, now null":2},"ts":{"zero date, now null":1}}` {
			t.Errorf("changed %s", counts)
		}
	})
}

// TestColumnTypesOfTheConfig: booleans and text in place of the natural types.
func TestColumnTypesOfTheConfig(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		s.Exec(t, db, "CREATE TABLE t (id int PRIMARY KEY, a tinyint(1), b bit(1), c int, d datetime, e decimal(5,2), f point, g bit(9))",
			"SET SESSION sql_mode=''",
			"INSERT INTO t VALUES (1, 1, b'1', -7, '0000-00-00 00:00:00', 1.5, ST_GeomFromText('POINT(1 2)'), b'100000001'), (2, 0, b'0', 0, '2024-01-02 03:04:05', -0.1, NULL, 0)")
		src := open(t, specFor(s, db))
		tab := table(t, src, "t")
		asked := connector.TableScan{Table: tab, Columns: slices.Clone(tab.Columns)}
		for k, name := range []string{"", "bool", "bool", "bool", "utf8", "utf8", "utf8", "utf8"} {
			if name != "" {
				asked.Columns[k].Type, _ = connector.ParseType(name)
			}
		}
		scan, err := src.Scan(t.Context(), connector.ScanRequest{Tables: []connector.TableScan{asked}, Connections: 1})
		if err != nil {
			t.Fatal(err)
		}
		rows, _, err := readRows(t.Context(), src, scan.Tables[0].Partitions[0])
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"1|true|true|true|0000-00-00 00:00:00|1.50|POINT(1 2)|257", "2|false|false|false|2024-01-02 03:04:05|-0.10|NULL|0"} {
			if got := strings.Join(rows[i], "|"); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		rec, err := src.Sample(t.Context(), asked, 10)
		if err != nil {
			t.Fatal(err)
		}
		defer rec.Release()
		if got, want := fmt.Sprint(textRows(rec)), fmt.Sprint(rows); got != want {
			t.Errorf("sampled %s, read %s", got, want)
		}
	})
}

// TestDiscover: comments, keys, views, generated, invisible and JSON columns, strange names.
func TestDiscover(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		s.Exec(t, db,
			"CREATE TABLE `利用者 \"x\" ``y` (`番号 'q'` bigint unsigned NOT NULL COMMENT '主キー', `b``t` varchar(5) COMMENT 'it''s', PRIMARY KEY (`番号 'q'`)) COMMENT='ユーザー'",
			"INSERT INTO `利用者 \"x\" ``y` VALUES (18446744073709551615, '東')",
			"CREATE TABLE keyed (a int NOT NULL, b int, c int NOT NULL, d varchar(300) NOT NULL, g int AS (a+1) STORED, v int AS (a+2) VIRTUAL, UNIQUE KEY n (b), UNIQUE KEY u2 (a, c), UNIQUE KEY p (d(10)))",
			"CREATE TABLE keyless (a int, j json)", "CREATE VIEW keyed_view AS SELECT a, c FROM keyed",
			"CREATE TABLE old (a int) ENGINE=MyISAM", "INSERT INTO keyed (a, c, d) VALUES (1, 2, 'x')")
		invisible := "ALTER TABLE keyless ADD COLUMN h int INVISIBLE"
		s.Exec(t, db, invisible)
		src := open(t, specFor(s, db))
		tables, err := src.Discover(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, tab := range tables {
			line := fmt.Sprintf("%s %q key=%v view=%v notes=%d:", tab.Name, tab.Comment, tab.Key, tab.View, len(tab.Notes))
			for _, c := range tab.Columns {
				line += fmt.Sprintf(" %s/%s/%s/%v/%s/%d", c.Name, c.Type, c.Kind, c.Nullable, c.Comment, len(c.Notes))
			}
			lines = append(lines, line)
		}
		sort.Strings(lines)
		want := []string{
			`keyed "" key=[a c] view=false notes=0: a/int32//false//0 b/int32//true//0 c/int32//false//0 d/utf8//false//0 g/int32//true//1 v/int32//true//1`,
			`keyed_view "" key=[] view=true notes=0: a/int32//false//0 c/int32//false//0`,
			`keyless "" key=[] view=false notes=0: a/int32//true//0 j/utf8/json/true//0 h/int32//true//1`,
			`old "" key=[] view=false notes=1: a/int32//true//0`,
			"利用者 \"x\" `y \"ユーザー\" key=[番号 'q'] view=false notes=0: 番号 'q'/uint64//false/主キー/0 b`t/utf8//true/it's/0",
		}
		if !slices.Equal(lines, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
		}
		asked := connector.ScanRequest{Connections: 2}
		for _, tab := range tables {
			asked.Tables = append(asked.Tables, connector.TableScan{Table: tab, Columns: tab.Columns})
		}
		scan, err := src.Scan(t.Context(), asked)
		if err != nil {
			t.Fatal(err)
		}
		for i, st := range scan.Tables {
			rows, _, err := readRows(t.Context(), src, st.Partitions[0])
			if err != nil {
				t.Fatal(err)
			}
			n, err := src.Count(t.Context(), asked.Tables[i])
			if err != nil || int(n) != len(rows) {
				t.Errorf("%s: counted %d (%v), read %d", asked.Tables[i].Table.Name, n, err, len(rows))
			}
			if strings.HasPrefix(asked.Tables[i].Table.Name, "利") && fmt.Sprint(rows) != "[[18446744073709551615 東]]" {
				t.Errorf("got %v", rows)
			}
		}
	})
}

// TestSnapshotWhileWriting: two tables whose rows are always written together, read over
// two connections while a writer goes on, never disagree.
func TestSnapshotWhileWriting(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		s.Exec(t, db, "CREATE TABLE a (id int AUTO_INCREMENT PRIMARY KEY, n int)", "CREATE TABLE b LIKE a")
		src := open(t, specFor(s, db))
		asked := connector.ScanRequest{Connections: 2}
		for _, name := range []string{"a", "b"} {
			tab := table(t, src, name)
			asked.Tables = append(asked.Tables, connector.TableScan{Table: tab, Columns: tab.Columns})
		}
		stop, done := make(chan struct{}), sync.WaitGroup{}
		done.Go(func() {
			c, err := src.dial.open(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.close()
			writable := "SET SESSION transaction_read_only=0"
			if c.mariadb() {
				writable = "SET SESSION tx_read_only=0"
			}
			if _, err := c.query(t.Context(), writable); err != nil { // kitamae's own sessions never write
				t.Error(err)
				return
			}
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				for _, sql := range []string{"BEGIN", fmt.Sprintf("INSERT INTO a (n) VALUES (%d)", n), fmt.Sprintf("INSERT INTO b (n) VALUES (%d)", n), "COMMIT"} {
					if _, err := c.query(t.Context(), sql); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		quiet := sync.OnceFunc(func() { close(stop); done.Wait() })
		defer quiet()
		guarantees := map[connector.Guarantee]int{}
		for range 8 {
			scan, err := src.Scan(t.Context(), asked)
			if err != nil {
				t.Fatal(err)
			}
			guarantees[scan.Guarantee]++
			var counts, sums [2]int
			for i, st := range scan.Tables {
				for _, part := range st.Partitions { // the writer may be fast enough for several
					rows, _, err := readRows(t.Context(), src, part)
					if err != nil {
						t.Fatal(err)
					}
					counts[i] += len(rows)
				}
				n, err := src.Count(t.Context(), asked.Tables[i])
				if err != nil {
					t.Fatal(err)
				}
				sums[i] = int(n)
			}
			if counts != sums {
				t.Errorf("read %v rows, counted %v in the same snapshot", counts, sums)
			}
			if scan.Guarantee == connector.Database && counts[0] != counts[1] {
				t.Errorf("%d rows in a and %d in b of one snapshot at %s", counts[0], counts[1], scan.Position)
			}
			if scan.Guarantee == connector.Database && scan.Position == "" {
				t.Error("no position")
			}
		}
		t.Logf("%v", guarantees)
		// a writer that never pauses may deny MySQL one snapshot each time; without it there is one at once
		quiet()
		scan, err := src.Scan(t.Context(), asked)
		if err != nil || scan.Guarantee != connector.Database {
			t.Errorf("with nobody writing: %+v, %v", scan, err)
		}
	})
}

// TestBoundedByOneConnection: a scan with one connection is one snapshot.
func TestOneConnectionIsOneSnapshot(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		s.Exec(t, db, "CREATE TABLE a (id int PRIMARY KEY)", "INSERT INTO a VALUES (1),(2)")
		src := open(t, specFor(s, db))
		scan := scanOf(t, src, table(t, src, "a"), 1)
		s.Exec(t, db, "INSERT INTO a VALUES (3)")
		rows, _, err := readRows(t.Context(), src, scan.Tables[0].Partitions[0])
		if err != nil || len(rows) != 2 || scan.Guarantee != connector.Database || scan.Position == "" {
			t.Errorf("%d rows, %v, %s at %q", len(rows), err, scan.Guarantee, scan.Position)
		}
	})
}

// TestTableChanged: a table altered after the scan is a clear fault.
func TestTableChanged(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		for i, alter := range []string{"ADD COLUMN c int", "DROP COLUMN b", "MODIFY b bigint"} {
			name := fmt.Sprintf("a%d", i)
			s.Exec(t, db, "CREATE TABLE "+name+" (id int PRIMARY KEY, b int)", "INSERT INTO "+name+" VALUES (1, 2)")
			src := open(t, specFor(s, db))
			scan := scanOf(t, src, table(t, src, name), 1)
			s.Exec(t, db, "ALTER TABLE "+name+" "+alter+", ALGORITHM=COPY")
			_, _, err := readRows(t.Context(), src, scan.Tables[0].Partitions[0])
			if !fault.HasCode(err, "mysql.table_changed") {
				t.Errorf("%s: %v", alter, err)
			}
		}
	})
}
