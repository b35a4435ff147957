package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// wide is a table size that makes partitions small enough to test with.
func wide(tab connector.Table, rows int64) connector.TableScan {
	tab.Bytes, tab.Rows = rows*partitionBytes, rows // one row fills a partition: the least number of rows decides
	return whole(tab)
}

func TestSplitsExactlyOnce(t *testing.T) {
	const rows = 100_000
	fill := "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < %d) INSERT INTO %s SELECT %s FROM c"
	src := openTest(t, database(t,
		"CREATE TABLE keyed (id INTEGER PRIMARY KEY, v INT)", fmt.Sprintf(fill, rows, "keyed", "i, i"),
		"CREATE TABLE keyless (v INT)", fmt.Sprintf(fill, rows, "keyless", "i"),
		// A cluster, then gaps up to both ends of the key's range.
		"CREATE TABLE skewed (id INTEGER PRIMARY KEY, v INT)",
		fmt.Sprintf(fill, rows, "skewed", "CASE WHEN i % 1000 = 0 THEN (i - 50000) * 184467440737095 ELSE i END, i"),
		"CREATE TABLE composite (a TEXT COLLATE NOCASE, b INT, v INT, PRIMARY KEY (a, b)) WITHOUT ROWID",
		fmt.Sprintf(fill, rows, "composite", "char(97 + i % 3) || '''キー', i, i"),
		"CREATE TABLE anykey (k PRIMARY KEY, v INT) WITHOUT ROWID",
		fmt.Sprintf(fill, rows, "anykey", "CASE i % 4 WHEN 0 THEN i WHEN 1 THEN i + 0.5 WHEN 2 THEN 't' || i ELSE CAST('b' || i AS BLOB) END, i"),
	))
	tables := discoverTest(t, src)
	var asked []connector.TableScan
	for _, name := range []string{"keyed", "keyless", "skewed", "composite", "anykey"} {
		asked = append(asked, wide(tables[name], rows))
	}
	half := wide(tables["keyed"], rows)
	half.Where = "v % 2 = 0 -- even ones"
	asked = append(asked, half)
	scan := scanTest(t, src, asked...)
	for i, a := range asked {
		want, n := rows, len(scan.Tables[i].Partitions)
		if a.Where != "" {
			want = rows / 2
		}
		if n != (want+minPartitionRows-1)/minPartitionRows {
			t.Errorf("%s: %d partitions", a.Table.Name, n)
		}
		seen := map[string]bool{}
		for k, p := range scan.Tables[i].Partitions {
			part, err := readPartition(t.Context(), src, p)
			if err != nil {
				t.Fatal(err)
			}
			if k < n-1 && len(part) != minPartitionRows {
				t.Errorf("%s: partition %s has %d rows", a.Table.Name, p, len(part))
			}
			for _, row := range part {
				if v := row[len(row)-1]; seen[v] {
					t.Fatalf("%s: row %s came twice", a.Table.Name, v)
				} else {
					seen[v] = true
				}
			}
		}
		if len(seen) != want {
			t.Errorf("%s: %d rows, want %d", a.Table.Name, len(seen), want)
		}
		sample, err := src.Sample(t.Context(), a, 40)
		if err != nil || sample.NumRows() != 40 {
			t.Fatalf("Sample(%s) = %v, %v", a.Table.Name, sample, err)
		}
		for _, row := range texts(sample) {
			if !seen[row[len(row)-1]] {
				t.Errorf("%s: sampled %v, which was not read", a.Table.Name, row)
			}
		}
		sample.Release()
	}
}

func TestOneStateUnderAWriter(t *testing.T) {
	for _, mode := range []string{"WAL", "DELETE"} {
		t.Run(mode, func(t *testing.T) {
			path := database(t, "PRAGMA journal_mode = "+mode,
				"CREATE TABLE a (n INT)", "CREATE TABLE b (n INT)", "INSERT INTO a VALUES (0)", "INSERT INTO b VALUES (0)")
			db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(20)")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			ctx, stop := context.WithCancel(t.Context())
			written := make(chan int)
			go func() { // both tables in one transaction, as fast as it goes
				n := 0
				for i := 1; ctx.Err() == nil; i++ {
					_, err := db.Exec(fmt.Sprintf("BEGIN IMMEDIATE; INSERT INTO a VALUES (%d); INSERT INTO b VALUES (%[1]d); COMMIT", i))
					if err != nil {
						_, _ = db.Exec("ROLLBACK")
						continue
					}
					n++
					select {
					case <-ctx.Done():
					case <-time.After(time.Millisecond):
					}
				}
				written <- n
			}()
			src := openTest(t, path)
			for range 5 {
				tables := discoverTest(t, src)
				if tables["a"].Rows != tables["b"].Rows {
					t.Errorf("survey saw %d and %d rows", tables["a"].Rows, tables["b"].Rows)
				}
				asked := []connector.TableScan{whole(tables["a"]), whole(tables["b"])}
				scan := scanTest(t, src, asked...)
				if note := strings.Contains(strings.Join(scan.Notes, ""), "wait"); note != (mode == "DELETE") {
					t.Errorf("notes %q", scan.Notes)
				}
				a := readTest(t, src, scan.Tables[0])
				b := readTest(t, src, scan.Tables[1])
				if d := cmp.Diff(a, b); d != "" {
					t.Errorf("a and b differ:\n%s", d)
				}
				n, err := src.Count(t.Context(), asked[1])
				if err != nil || n != int64(len(a)) {
					t.Errorf("Count = %d, %v; read %d", n, err, len(a))
				}
				sample, err := src.Sample(t.Context(), asked[0], 1_000_000)
				if err != nil || sample.NumRows() != n {
					t.Errorf("Sample = %v, %v; read %d", sample, err, n)
				}
				if err := src.Close(); err != nil { // lets the writer go on in rollback mode
					t.Fatal(err)
				}
			}
			stop()
			if n := <-written; n == 0 {
				t.Error("nobody wrote")
			}
		})
	}
}

func TestReadFaults(t *testing.T) {
	path := database(t, "CREATE TABLE orders (id INTEGER PRIMARY KEY, v INT, note TEXT)",
		"INSERT INTO orders VALUES (1, 1, 'a'), (2, 2, 'b')")
	src := openTest(t, path)
	tab := discoverTest(t, src)["orders"]
	read := func(asked connector.TableScan) error {
		t.Helper()
		scan := scanTest(t, src, asked)
		_, err := readPartition(t.Context(), src, scan.Tables[0].Partitions[0])
		return err
	}
	change(t, path, "UPDATE orders SET v = 'zwei' WHERE id = 2")
	if err := read(whole(tab)); !fault.HasCode(err, "sqlite.changed") || !strings.Contains(err.Error(), "column v of orders now holds a text that is no int64 (id 2)") {
		t.Errorf("a text among integers: %v", err)
	}
	src.Close()
	change(t, path, "UPDATE orders SET v = 2, note = hex(zeroblob(600000)) WHERE id = 2")
	if err := read(whole(tab)); !fault.HasCode(err, "value.too_large") || !strings.Contains(err.Error(), "column note of orders holds a value of 1200000 bytes (id 2)") {
		t.Errorf("a large value: %v", err)
	}
	wrong := whole(tab)
	wrong.Where = "nothing = 1"
	missing := whole(tab)
	missing.Table.Name = "order"
	lost := whole(tab)
	lost.Columns = append([]connector.Column{{Name: "gone", Type: tab.Columns[0].Type}}, tab.Columns...)
	for _, tc := range []struct {
		asked connector.TableScan
		code  string
	}{{wrong, "sqlite.where"}, {missing, "sqlite.table"}, {lost, "sqlite.changed"}} {
		_, err := src.Scan(t.Context(), connector.ScanRequest{Tables: []connector.TableScan{tc.asked}, Connections: 1})
		if !fault.HasCode(err, tc.code) {
			t.Errorf("Scan: %v, want %s", err, tc.code)
		}
		if tc.code == "sqlite.table" && fault.From(err).Hint != "did you mean orders?" {
			t.Errorf("hint %q", fault.From(err).Hint)
		}
	}
	if _, err := src.Read(t.Context(), connector.Partition(`{"table":"orders"}`)); !fault.HasCode(err, "sqlite.no_scan") {
		t.Errorf("Read without Scan: %v", err)
	}
}

func TestLocked(t *testing.T) {
	path := database(t, "CREATE TABLE t (i)")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	writer, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if _, err := writer.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	_, err = Connector.Source.Open(t.Context(), &Spec{Path: path}, connector.Env{})
	if !fault.HasCode(err, "sqlite.locked") || !fault.Retryable(err) {
		t.Errorf("open under an exclusive lock: %v", err)
	}
}

func TestStops(t *testing.T) {
	src := openTest(t, database(t, "CREATE TABLE t (i INT)",
		"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100000) INSERT INTO t SELECT i FROM c",
		// Would run for ages before its first row.
		"CREATE VIEW endless AS SELECT count(*) AS n FROM t a, t b, t c"))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := src.Discover(ctx); err == nil || time.Since(start) > 30*time.Second {
		t.Errorf("Discover ended after %s: %v", time.Since(start), err)
	}
	tab := connector.Table{Name: "t", Columns: []connector.Column{{Name: "i", Native: "INT"}}, Rows: 100000}
	resolve(&tab.Columns[0], &census{integers: 1}, false)
	scan := scanTest(t, src, whole(tab))
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	reading, err := src.Read(ctx, scan.Tables[0].Partitions[0])
	if err != nil {
		t.Fatal(err)
	}
	batches := 0
	for _, err = range reading.Rows {
		batches++
		cancel()
	}
	if fault.From(err).Kind != fault.Interrupted || batches != 2 {
		t.Errorf("after %d batches: %v", batches, err)
	}
	reading, _ = src.Read(t.Context(), scan.Tables[0].Partitions[0])
	for range reading.Rows { // walking away gives the connection back, which Close waits for
		break
	}
	if rows := readTest(t, src, scan.Tables[0]); len(rows) != 100_000 {
		t.Errorf("%d rows after starting over", len(rows))
	}
}

func TestMomentsAgreeWithTheLibrary(t *testing.T) {
	check := func(sec int64, micros uint32) bool {
		sec = ((sec%253402300800)+253402300800)%253402300800 - 62135596800/2
		at := time.Unix(sec, int64(micros%1_000_000)*1000).UTC()
		text := at.Format("2006-01-02 15:04:05.999999-07:00")
		got, ok := parseTimestamp([]byte(text))
		day, ok2 := parseDate([]byte(text[:10]))
		return at.Year() > 9999 || ok && ok2 && got.micros == at.UnixMicro() && int64(day) == int64(math.Floor(float64(at.Unix())/86400))
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 20_000}); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "2024-13-01", "2024-00-01", "2024-04-31", "1900-02-29", "0000-01-01", "2024-1-01x", "２０２４-01"} {
		if _, ok := parseDate([]byte(bad)); ok {
			t.Errorf("parseDate(%q) is fine", bad)
		}
	}
	for _, bad := range []string{"2024-01-01", "2024-01-01 24:00:00", "2024-01-01 00:60", "2024-01-01 00:00:60", "2024-01-01 00:00:00.",
		"2024-01-01 00:00:00.0000001", "2024-01-01 00:00:00+0900", "2024-01-01 00:00:00 UTC", "2024-01-01x00:00:00", "2024-01-01 00:00:00z"} {
		if _, ok := parseTimestamp([]byte(bad)); ok {
			t.Errorf("parseTimestamp(%q) is fine", bad)
		}
	}
}

func TestDecimalsAgreeWithTheLibrary(t *testing.T) {
	check := func(n int64, digits, scale uint8) bool {
		d := declared{precision: 38, scale: int32(scale % 20)}
		n %= int64(math.Pow10(int(digits % 19)))
		text := new(big.Rat).Quo(new(big.Rat).SetInt64(n), new(big.Rat).SetFloat64(math.Pow10(int(digits%17)))).FloatString(18)
		v, _ := strconv.ParseFloat(text, 64)
		short, _ := new(big.Rat).SetString(strconv.FormatFloat(v, 'f', -1, 64))
		got, ok := decimalOf(v, d)
		unscaled := new(big.Rat).Mul(short, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.scale)), nil)))
		if !ok {
			return !unscaled.IsInt()
		}
		return unscaled.IsInt() && unscaled.Num().Cmp(got.BigInt()) == 0
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 20_000}); err != nil {
		t.Error(err)
	}
	for _, v := range []float64{math.Inf(1), math.NaN(), 1e38, 100000000, 0.001} {
		if n, ok := decimalOf(v, declared{precision: 10, scale: 2}); ok {
			t.Errorf("decimalOf(%g) = %v", v, n)
		}
	}
}

// TestRowIsNamedByItsKey: a fault about a value tells its row by the table's key, or the config's, and by the rowid only where there is none.
func TestRowIsNamedByItsKey(t *testing.T) {
	const long = "hex(zeroblob(600000))"
	path := database(t,
		"CREATE TABLE texts (code TEXT NOT NULL, part INT NOT NULL, note TEXT, PRIMARY KEY (code, part))", "INSERT INTO texts VALUES ('a', 1, ''), ('it''s', 7, "+long+")",
		"CREATE TABLE uniques (note TEXT, name TEXT NOT NULL UNIQUE)", "INSERT INTO uniques VALUES ("+long+", '"+strings.Repeat("長", 100)+"')",
		"CREATE TABLE whole (k TEXT PRIMARY KEY, note TEXT) WITHOUT ROWID", "INSERT INTO whole VALUES ('w', "+long+")",
		"CREATE TABLE heap (note TEXT, n INT)", "INSERT INTO heap VALUES ('', 8), ("+long+", 9)",
		"CREATE TABLE numbered (id INTEGER PRIMARY KEY, note TEXT)", "INSERT INTO numbered VALUES (77, "+long+")")
	src := openTest(t, path)
	tables := discoverTest(t, src)
	for _, tc := range []struct {
		table, row string
		key        []string
	}{
		{"texts", "(code 'it''s', part 7)", nil},
		{"uniques", "(name '" + strings.Repeat("長", shownKey) + "')", nil},
		{"whole", "(k 'w')", nil},
		{"heap", "(rowid 2)", nil},
		{"heap", "(n 9)", []string{"n"}},
		{"numbered", "(id 77)", nil},
	} {
		asked := whole(tables[tc.table])
		asked.Key = tc.key
		_, err := readPartition(t.Context(), src, scanTest(t, src, asked).Tables[0].Partitions[0])
		if !fault.HasCode(err, "value.too_large") || !strings.Contains(err.Error(), "column note of "+tc.table) || !strings.Contains(err.Error(), tc.row) {
			t.Errorf("%s: %v, want row %s", tc.table, err, tc.row)
		}
	}
}
