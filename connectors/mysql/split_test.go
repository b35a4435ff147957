package mysql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/internal/servertest"
)

// number tables for the fills below: n runs from 0 to 9999.
const numbers = "(SELECT a.d + 10*b.d + 100*c.d + 1000*e.d AS n FROM digits a, digits b, digits c, digits e) numbers"

// splitCases are tables of 10,000 or so rows whose keys are hard to divide.
var splitCases = []struct {
	name, columns string
	fill          []string
	// most is the largest share of the rows one partition may have.
	most float64
}{
	{"dense", "id int PRIMARY KEY", []string{"SELECT n FROM " + numbers}, 0.25},
	{"negative", "id bigint PRIMARY KEY", []string{"SELECT n * 1000 - 5000000 FROM " + numbers, "SELECT -9223372036854775808", "SELECT 9223372036854775807"}, 0.25},
	{"above_2_63", "id bigint unsigned PRIMARY KEY", []string{"SELECT 18446744073709551615 - n * 7 FROM " + numbers, "SELECT 0"}, 0.25},
	{"gaps", "id bigint PRIMARY KEY", []string{"SELECT n FROM " + numbers + " WHERE n < 5000", "SELECT 4611686018427387904 + n FROM " + numbers + " WHERE n < 5000", "SELECT 9000000000000000000"}, 0.25},
	{"skewed", "id bigint PRIMARY KEY", []string{"SELECT n FROM " + numbers + " WHERE n < 9900", "SELECT n * 1000000000000 FROM " + numbers + " WHERE n > 9900"}, 0.25},
	{"uuid", "id char(36) COLLATE utf8mb4_general_ci PRIMARY KEY", []string{"SELECT IF(n % 2, UPPER(LEFT(SHA2(n, 256), 36)), LEFT(SHA2(n, 256), 36)) FROM " + numbers}, 0.25},
	{"text", "id varchar(40) CHARACTER SET latin1 PRIMARY KEY", []string{"SELECT CONCAT(CHAR(192 + n % 50 USING latin1), '\\'\\\\', n) FROM " + numbers}, 0.25},
	{"japanese", "id varchar(40) COLLATE utf8mb4_unicode_ci PRIMARY KEY", []string{"SELECT CONCAT(ELT(1 + n % 4, '東京', 'とうきょう', 'トウキョウ', 'Tōkyō'), n) FROM " + numbers}, 0.25},
	{"bytes", "id binary(16) PRIMARY KEY", []string{"SELECT UNHEX(LEFT(SHA2(n, 256), 32)) FROM " + numbers}, 0.25},
	{"moment", "at datetime(6), PRIMARY KEY (at)", []string{"SELECT '2024-01-01' + INTERVAL n * 7 SECOND FROM " + numbers}, 0.25},
	{"amount", "id decimal(20,4) PRIMARY KEY", []string{"SELECT (n - 5000) / 8 FROM " + numbers}, 0.25},
	{"composite", "tenant int NOT NULL, id int NOT NULL, PRIMARY KEY (tenant, id)", []string{"SELECT IF(n < 9000, 1, n), n FROM " + numbers}, 0.25},
	{"composite_text", "tenant int NOT NULL, code varchar(20) NOT NULL, day date NOT NULL, PRIMARY KEY (tenant, code, day)", []string{"SELECT IF(n < 9000, 1, n), CONCAT('c', n % 7), '2000-01-01' + INTERVAL n DAY FROM " + numbers}, 0.25},
	{"text_first", "code varchar(20) NOT NULL, id int NOT NULL, PRIMARY KEY (code, id)", []string{"SELECT CONCAT('c', n % 3), n FROM " + numbers}, 0.25},
	{"float_second", "a int NOT NULL, f double NOT NULL, PRIMARY KEY (a, f)", []string{"SELECT n DIV 3, n / 7 FROM " + numbers}, 0.25},
	{"float_first", "f double PRIMARY KEY", []string{"SELECT n / 7 FROM " + numbers}, 1},
	{"no_primary", "id int NOT NULL, UNIQUE KEY u (id)", []string{"SELECT n * 3 FROM " + numbers}, 0.25},
	{"keyless", "id int", []string{"SELECT n FROM " + numbers}, 1},
}

// TestPartitionsHoldEachRowOnce reads every partition of every hard table: together they
// are the table, none has much more than its share, and the bounds' rows are right in the sample.
func TestPartitionsHoldEachRowOnce(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		s.Exec(t, db, "CREATE TABLE digits (d int)", "INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)")
		for _, tc := range splitCases {
			statements := []string{"CREATE TABLE " + tc.name + " (" + tc.columns + ")"}
			for _, fill := range tc.fill {
				statements = append(statements, "INSERT INTO "+tc.name+" "+fill)
			}
			s.Exec(t, db, append(statements, "ANALYZE TABLE "+tc.name)...)
		}
		src := open(t, specFor(s, db))
		src.sizing = sizing{bytes: 1 << 20, rows: 1000, bigRows: 100, bigBytes: 1 << 20}
		for _, tc := range splitCases {
			t.Run(tc.name, func(t *testing.T) {
				tab := table(t, src, tc.name)
				scan := scanOf(t, src, tab, 2)
				var got []string
				largest := 0
				for _, p := range scan.Tables[0].Partitions {
					rows, _, err := readRows(t.Context(), src, p)
					if err != nil {
						t.Fatalf("%s: %v", p, err)
					}
					for _, r := range rows {
						got = append(got, strings.Join(r, "|"))
					}
					largest = max(largest, len(rows))
				}
				slices.Sort(got)
				total := s.Query(t, db, "SELECT COUNT(*) FROM "+tc.name)[0][0]
				if distinct := slices.Compact(slices.Clone(got)); fmt.Sprint(len(got)) != total || len(distinct) != len(got) {
					t.Errorf("%d rows, %d of them different, table has %s", len(got), len(distinct), total)
				}
				if share := float64(largest) / float64(len(got)); share > tc.most {
					t.Errorf("one of %d partitions has %.0f %% of the rows", len(scan.Tables[0].Partitions), 100*share)
				}
				if n := len(scan.Tables[0].Partitions); n > 60 || n < 4 && tc.most < 1 {
					t.Errorf("%d partitions of %d rows", n, scan.Tables[0].Rows)
				}
				v, _ := src.current()
				rec, err := src.Sample(t.Context(), v.req.Tables[0], 100)
				if err != nil {
					t.Fatal(err)
				}
				defer rec.Release()
				if rec.NumRows() < 60 {
					t.Errorf("%d rows sampled", rec.NumRows())
				}
				for _, r := range textRows(rec) {
					if _, ok := slices.BinarySearch(got, strings.Join(r, "|")); !ok {
						t.Errorf("sampled %v, which was not read", r)
					}
				}
			})
		}
	})
}

func TestConditionUsesTheIndex(t *testing.T) {
	k := splitKey{columns: []string{"a", "b", "c"}}
	got := k.condition(partition{Lo: []string{"1", "2", "3"}, Hi: []string{"9"}})
	want := "`a` >= 1 AND (`a` > 1 OR (`a` = 1 AND `b` >= 2 AND (`b` > 2 OR (`b` = 2 AND `c` >= 3)))) AND `a` < 9"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPartitionRefusesForeignLiterals(t *testing.T) {
	for lit, want := range map[string]bool{
		"1": true, "-1.50": true, "'2024-01-01 00:00:00.000001'": true, "x'00FF'": true, "_utf8mb4 x'E6'": true,
		"1 OR 1=1": false, "'x'": false, "x'0'": false, "(SELECT 1)": false, "": false,
	} {
		if got := (partition{Lo: []string{lit}}).valid(); got != want {
			t.Errorf("%s: %v, want %v", lit, got, want)
		}
	}
}
