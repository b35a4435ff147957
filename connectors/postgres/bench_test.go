package postgres

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/internal/servertest"
)

// lineitem is a table of TPC-H's shape; %d is how many rows it gets.
const lineitem = `CREATE TABLE lineitem (
  l_orderkey bigint NOT NULL, l_partkey bigint NOT NULL, l_suppkey bigint NOT NULL, l_linenumber int NOT NULL,
  l_quantity numeric(15,2) NOT NULL, l_extendedprice numeric(15,2) NOT NULL, l_discount numeric(15,2) NOT NULL, l_tax numeric(15,2) NOT NULL,
  l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL, l_shipdate date NOT NULL, l_commitdate date NOT NULL, l_receiptdate date NOT NULL,
  l_shipinstruct varchar(25) NOT NULL, l_shipmode varchar(10) NOT NULL, l_comment varchar(44) NOT NULL, PRIMARY KEY (l_orderkey, l_linenumber));
INSERT INTO lineitem SELECT g/4+1, (g*7919)%%200000+1, (g*104729)%%10000+1, g%%4+1, g%%50+1, ((g*31337)%%10494950+90000)::numeric/100, (g%%11)::numeric/100, (g%%9)::numeric/100,
  substr('ANR',(1+g%%3)::int,1), substr('OF',(1+g%%2)::int,1), date '1992-01-01'+(g%%2500)::int, date '1992-01-31'+(g%%2460)::int, date '1992-01-11'+(g%%2480)::int,
  (array['DELIVER IN PERSON','COLLECT COD','NONE','TAKE BACK RETURN'])[1+g%%4], (array['AIR','MAIL','SHIP','TRUCK','RAIL','FOB','REG AIR'])[1+g%%7],
  'furiously express ideas nag ' || (g*48271%%1000003)::text FROM generate_series(0::bigint, %d - 1) g`

// BenchmarkRead compares reading lineitem into Arrow with draining the same rows, and
// with pgx's own row loop. KITAMAE_BENCH_ROWS sets how many rows there are.
func BenchmarkRead(b *testing.B) {
	rows := 200_000
	if n, err := strconv.Atoi(os.Getenv("KITAMAE_BENCH_ROWS")); err == nil {
		rows = n
	}
	server := servertest.Postgres(b)
	db := servertest.FreshDatabase(b, server)
	server.Exec(b, db, fmt.Sprintf(lineitem, rows), "VACUUM ANALYZE lineitem")
	s := open(b, specFor(server, db))
	req := wants(discover(b, s)["lineitem"])
	req.Connections = 1

	b.Run("arrow", func(b *testing.B) {
		for range b.N {
			sc := scan(b, s, req)
			measure(b, rows, func() int {
				n := 0
				for _, p := range sc.Tables[0].Partitions {
					n += readAll(b, s, p)
				}
				return n
			})
		}
	})
	plain := s.latest.tables[0].query(partition{From: []string{"lineitem"}})
	for _, way := range []struct {
		name string
		run  func(*conn) int
	}{
		{"drain", func(c *conn) int { return drained(b, c, plain) }},
		{"pgconn", func(c *conn) int {
			n := 0
			rr := c.PgConn().ExecParams(b.Context(), plain, nil, nil, nil, []int16{pgproto3.BinaryFormat})
			for rr.NextRow() {
				n += len(rr.Values()) / 16
			}
			if _, err := rr.Close(); err != nil {
				b.Fatal(err)
			}
			return n
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			for range b.N {
				err := s.latest.with(b.Context(), func(c *conn) error {
					measure(b, rows, func() int { return way.run(c) })
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func readAll(b *testing.B, s *source, p connector.Partition) int {
	reading, err := s.Read(b.Context(), p)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for rec, err := range reading.Rows {
		if err != nil {
			b.Fatal(err)
		}
		n += int(rec.NumRows())
	}
	return n
}

// drained counts messages and looks at nothing in them: the floor.
func drained(b *testing.B, c *conn, sql string) int {
	w := &wire{conn: c.PgConn().Conn()}
	if err := w.query(sql); err != nil {
		b.Fatal(err)
	}
	n := 0
	for {
		kind, _, _, err := w.next(maxMessage)
		if err != nil {
			b.Fatal(err)
		}
		switch kind {
		case 'D':
			n++
		case 'Z':
			return n
		}
	}
}

// measure reports this process's processor time and the wall per row.
func measure(b *testing.B, rows int, f func() int) {
	before, start := cpu(), time.Now()
	if got := f(); got != rows {
		b.Fatalf("%d rows, want %d", got, rows)
	}
	b.ReportMetric(float64(cpu()-before)/float64(rows), "cpu-ns/row")
	b.ReportMetric(float64(time.Since(start))/float64(rows), "wall-ns/row")
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDecode decodes one lineitem row over and over: what reading costs on top of draining.
func BenchmarkDecode(b *testing.B) {
	money := how{Type: &arrow.Decimal128Type{Precision: 15, Scale: 2}, Op: opDecimal128}
	var hows []how
	for _, oid := range []uint32{oidInt8, oidInt8, oidInt8, oidInt4, 0, 0, 0, 0, oidBPChar, oidBPChar, oidDate, oidDate, oidDate, oidVarchar, oidVarchar, oidVarchar} {
		h, ok := builtin(oid, -1)
		if !ok {
			h = money
		}
		hows = append(hows, h)
	}
	d, builder := tupleDecoder(b, hows)
	d.encoded = true
	int8s, day := []byte{0, 0, 0, 0, 0, 1, 2, 3}, []byte{0, 0, 0x12, 0x34}
	row := dataRow(int8s, int8s, int8s, day, []byte("\x00\x01\x00\x00\x00\x00\x00\x02\x00\x11"), []byte("\x00\x03\x00\x01\x00\x00\x00\x02\x00\x03\x09\x29\x1a\x2c"),
		[]byte("\x00\x01\xff\xff\x00\x00\x00\x02\x01\x90"), []byte("\x00\x01\xff\xff\x00\x00\x00\x02\x02\x58"), []byte("A"), []byte("F"), day, day, day,
		[]byte("DELIVER IN PERSON"), []byte("TRUCK"), []byte("furiously express ideas nag 12345"))
	b.ReportAllocs()
	before := cpu()
	for b.Loop() {
		if err := d.row(row); err != nil {
			b.Fatal(err)
		}
		if builder.Full() {
			rec, err := builder.Batch()
			if err != nil {
				b.Fatal(err)
			}
			rec.Release()
		}
	}
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/row")
}
