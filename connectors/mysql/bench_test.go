package mysql

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/kitamae/kitamae/internal/servertest"
)

// lineitem is shaped like TPC-H's, filled by the server from row numbers.
const lineitem = `CREATE TABLE IF NOT EXISTS lineitem (
 l_orderkey bigint NOT NULL, l_partkey int NOT NULL, l_suppkey int NOT NULL, l_linenumber int NOT NULL,
 l_quantity decimal(15,2) NOT NULL, l_extendedprice decimal(15,2) NOT NULL, l_discount decimal(15,2) NOT NULL, l_tax decimal(15,2) NOT NULL,
 l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL, l_shipdate date NOT NULL, l_commitdate date NOT NULL, l_receiptdate date NOT NULL,
 l_shipinstruct char(25) NOT NULL, l_shipmode char(10) NOT NULL, l_comment varchar(44) NOT NULL, PRIMARY KEY (l_orderkey, l_linenumber))`

const fillLineitem = `INSERT INTO lineitem SELECT n DIV 4, (n*7919) %% 200000, (n*31) %% 10000, n %% 4, 1 + n %% 50, (n*37 %% 10000000)/100, (n %% 11)/100, (n %% 9)/100,
 ELT(1 + n %% 3, 'A','N','R'), ELT(1 + n %% 2, 'O','F'), '1992-01-01' + INTERVAL n %% 2500 DAY, '1992-02-01' + INTERVAL n %% 2500 DAY, '1992-03-01' + INTERVAL n %% 2500 DAY,
 ELT(1 + n %% 4, 'DELIVER IN PERSON','COLLECT COD','NONE','TAKE BACK RETURN'), ELT(1 + n %% 7, 'REG AIR','AIR','RAIL','SHIP','TRUCK','MAIL','FOB'),
 LEFT(CONCAT('carefully final deposits ', n, ' sleep furiously'), 20 + n %% 24)
 FROM (SELECT %d + a.d + 10*b.d + 100*c.d + 1000*e.d + 10000*f.d AS n FROM digits a, digits b, digits c, digits e, digits f) numbers WHERE n < %d`

// lineitemDatabase makes (once per size) and keeps a database with that many rows.
func lineitemDatabase(b *testing.B, s servertest.Server, rows int) string {
	db := fmt.Sprintf("bench_lineitem_%d", rows)
	s.Exec(b, "", "CREATE DATABASE IF NOT EXISTS "+db)
	s.Exec(b, db, lineitem, "CREATE TABLE IF NOT EXISTS digits (d int)")
	if s.Query(b, db, "SELECT COUNT(*) FROM lineitem")[0][0] == strconv.Itoa(rows) {
		return db
	}
	s.Exec(b, db, "TRUNCATE lineitem", "TRUNCATE digits", "INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)")
	for at := 0; at < rows; at += 100_000 {
		s.Exec(b, db, fmt.Sprintf(fillLineitem, at, rows))
	}
	s.Exec(b, db, "ANALYZE TABLE lineitem")
	return db
}

// cpu is the processor time this process has used.
func cpu(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkReadLineitem prints processor time a row of reading into Arrow, beside the
// floor: the same rows taken off the socket and thrown away. ROWS= sets the size.
func BenchmarkReadLineitem(b *testing.B) {
	rows := 300_000
	if env := os.Getenv("ROWS"); env != "" {
		rows, _ = strconv.Atoi(env)
	}
	for _, s := range servertest.MySQLServers(b) {
		db := lineitemDatabase(b, s, rows)
		src := open(b, specFor(s, db))
		tab := table(b, src, "lineitem")
		scan := scanOf(b, src, tab, 1)
		v, err := src.current()
		if err != nil {
			b.Fatal(err)
		}
		drain := func(b *testing.B) {
			c, err := v.tables[0].lane.acquire(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			defer v.tables[0].lane.release(c)
			for _, p := range v.tables[0].ranges {
				st, err := c.execute(v.tables[0].query(p))
				if err != nil {
					b.Fatal(err)
				}
				for err == nil {
					_, err = st.row()
				}
				if !errors.Is(err, io.EOF) {
					b.Fatal(err)
				}
				st.close()
			}
		}
		read := func(b *testing.B) {
			n := int64(0)
			for _, p := range scan.Tables[0].Partitions {
				reading, err := src.Read(b.Context(), p)
				if err != nil {
					b.Fatal(err)
				}
				for rec, err := range reading.Rows {
					if err != nil {
						b.Fatal(err)
					}
					n += rec.NumRows()
				}
			}
			if n != int64(rows) {
				b.Fatalf("%d rows, want %d", n, rows)
			}
		}
		for _, route := range []struct {
			name string
			run  func(*testing.B)
		}{{"drain", drain}, {"read", read}} {
			b.Run(s.Name+"/"+route.name, func(b *testing.B) {
				b.ReportAllocs()
				before := cpu(b)
				for b.Loop() {
					route.run(b)
				}
				b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/float64(rows), "cpu-ns/row")
				b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(rows), "wall-ns/row")
			})
		}
	}
}
