package mysql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/sqlkit"
)

// TestRefusals: what a person reads when logging in does not work.
func TestRefusals(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		for _, tc := range []struct {
			name   string
			change func(*Spec)
			code   string
			says   string
		}{
			{"wrong password", func(p *Spec) { p.Password = "no" }, "mysql.auth", "password"},
			{"unknown user", func(p *Spec) { p.User = "nobody" }, "mysql.auth", "nobody"},
			{"unknown host", func(p *Spec) { p.Host = "no-such-host.invalid" }, "mysql.host", "no-such-host.invalid"},
			{"nothing listens", func(p *Spec) { p.Port = 1 }, "mysql.refused", "127.0.0.1:1"},
			{"unknown database", func(p *Spec) { p.Database = p.Database[:len(p.Database)-1] }, "mysql.database", db},
			{"no such socket", func(p *Spec) { p.Host, p.Socket = "", "/nowhere.sock" }, "mysql.socket", "/nowhere.sock"},
			{"unknown authority", func(p *Spec) { p.TLS.Mode = sqlkit.TLSVerify }, "mysql.tls", "ca_file"},
			{"wrong name", func(p *Spec) { p.TLS = sqlkit.TLS{CAFile: s.CAFile, ServerName: "other.example"} }, "mysql.tls", "other.example"},
			{"no CA file", func(p *Spec) { p.TLS.CAFile = "/nowhere.pem" }, "mysql.tls", "/nowhere.pem"},
			{"no mode", func(p *Spec) { p.TLS.Mode = "maybe" }, "mysql.spec", "maybe"},
		} {
			spec := specFor(s, db)
			tc.change(&spec)
			_, err := Connector.Source.Open(t.Context(), &spec, connector.Env{})
			f := fault.From(err)
			if err == nil || f.Code != tc.code || !strings.Contains(f.Error()+f.Hint, tc.says) || f.Hint == "" {
				t.Errorf("%s: got %v (%s; hint: %s), want %s saying %s", tc.name, err, f.Code, f.Hint, tc.code, tc.says)
			}
			if err != nil && spec.Password != "no" && strings.Contains(err.Error(), s.Password) {
				t.Errorf("%s: the password is in the error", tc.name)
			}
		}
	})
}

// TestRoutes reads a table whose one value is larger than a packet over TLS, a Unix socket and TCP.
func TestRoutes(t *testing.T) {
	const size = 17<<20 + 5
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		s.Exec(t, db, "CREATE TABLE t (big longtext, id int PRIMARY KEY, after_big int)",
			fmt.Sprintf("INSERT INTO t VALUES (REPEAT('x', %d), 1, 10), ('small', 2, 20), (REPEAT('y', %d), 3, 30)", 300_000, 1<<24-1-20))
		s.Exec(t, db, fmt.Sprintf("UPDATE t SET big = CONCAT(big, REPEAT('x', %d)) WHERE id = 1", size-300_000))
		for name, change := range map[string]func(*Spec){
			"tcp":    func(p *Spec) {},
			"tls":    func(p *Spec) { p.TLS.CAFile = s.CAFile },
			"skip":   func(p *Spec) { p.TLS.Mode = sqlkit.TLSSkipVerify },
			"socket": func(p *Spec) { p.Host, p.Socket = "", s.Socket },
		} {
			t.Run(name, func(t *testing.T) {
				spec := specFor(s, db)
				change(&spec)
				src := open(t, spec)
				if res, err := src.control(t.Context(), "SHOW STATUS LIKE 'Ssl_cipher'"); err != nil {
					t.Fatal(err)
				} else if cipher, _ := text(res, 0, 1); (cipher != "") != (name == "tls" || name == "skip") {
					t.Errorf("cipher %q", cipher)
				}
				scan := scanOf(t, src, table(t, src, "t"), 2)
				rows, _, err := readRows(t.Context(), src, scan.Tables[0].Partitions[0])
				if err != nil {
					t.Fatal(err)
				}
				if len(rows) != 3 || len(rows[0][0]) != size || strings.Trim(rows[0][0], "x") != "" || strings.Join(rows[1], "|") != "small|2|20" || rows[2][2] != "30" || len(rows[2][0]) != 1<<24-21 {
					t.Errorf("%d rows, value of %d bytes", len(rows), len(rows[0][0]))
				}
			})
		}
	})
}

// TestValueTooLarge: the fault names the row, and the connection goes on serving.
func TestValueTooLarge(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		s.Exec(t, db, "CREATE TABLE t (big longblob, id int PRIMARY KEY)", "INSERT INTO t VALUES (REPEAT('x', 9000000), 77), ('a', 78)",
			"UPDATE t SET big = CONCAT(big, big) WHERE id = 77", "CREATE TABLE u (id int PRIMARY KEY)", "INSERT INTO u VALUES (5)")
		src := open(t, specFor(s, db))
		asked := connector.ScanRequest{Connections: 1, MaxValueBytes: 1 << 20}
		for _, name := range []string{"t", "u"} {
			tab := table(t, src, name)
			asked.Tables = append(asked.Tables, connector.TableScan{Table: tab, Columns: tab.Columns})
		}
		scan, err := src.Scan(t.Context(), asked)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = readRows(t.Context(), src, scan.Tables[0].Partitions[0])
		if f := fault.From(err); err == nil || f.Code != "value.too_large" || !strings.Contains(f.Error(), "table t, column big, row with key id 77: a value of 17 MiB") {
			t.Errorf("got %v", err)
		}
		rows, _, err := readRows(t.Context(), src, scan.Tables[1].Partitions[0])
		if err != nil || fmt.Sprint(rows) != "[[5]]" {
			t.Errorf("afterwards: %v, %v", rows, err)
		}
	})
}

// manyRows makes a table that takes a while to read.
func manyRows(t *testing.T, s servertest.Server, db string) {
	s.Exec(t, db, "CREATE TABLE digits (d int)", "INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)",
		"CREATE TABLE t (id int PRIMARY KEY, pad varchar(2000))", "INSERT INTO t SELECT n, REPEAT('x', 2000) FROM "+numbers)
}

// TestStoppingEarly: a consumer that wants no more leaves the connection and its snapshot usable.
func TestStoppingEarly(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		manyRows(t, s, db)
		src := open(t, specFor(s, db))
		scan := scanOf(t, src, table(t, src, "t"), 1)
		s.Exec(t, db, "INSERT INTO t VALUES (10000, '')")
		for range 3 {
			reading, err := src.Read(t.Context(), scan.Tables[0].Partitions[0])
			if err != nil {
				t.Fatal(err)
			}
			for _, err := range reading.Rows {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		rows, _, err := readRows(t.Context(), src, scan.Tables[0].Partitions[0])
		if err != nil || len(rows) != 10_000 {
			t.Errorf("%d rows of the snapshot's 10000, %v", len(rows), err)
		}
	})
}

// TestCancel: a reader and a slow count end at once when the context does.
func TestCancel(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		manyRows(t, s, db)
		src := open(t, specFor(s, db))
		tab := table(t, src, "t")
		scan := scanOf(t, src, tab, 1)
		ctx, cancel := context.WithCancel(t.Context())
		reading, err := src.Read(ctx, scan.Tables[0].Partitions[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, err = range reading.Rows {
			cancel()
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		slow := connector.TableScan{Table: tab, Columns: tab.Columns, Where: "SLEEP(1) = 0 -- each row"}
		if _, err := src.Scan(t.Context(), connector.ScanRequest{Tables: []connector.TableScan{slow}, Connections: 1}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		begun := time.Now()
		if _, err := src.Count(ctx, slow); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 30*time.Second {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
	})
}

// TestLostConnections: with another connection in the snapshot the partition can be read
// again; with none the snapshot is lost, for whoever asks.
func TestLostConnections(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		manyRows(t, s, db)
		src := open(t, specFor(s, db))
		src.sizing = sizing{bytes: 4 << 20, rows: 1000, bigRows: 100, bigBytes: 1 << 20}
		tab := table(t, src, "t")
		s.Exec(t, db, "ANALYZE TABLE t")
		scan := scanOf(t, src, tab, 2)
		if scan.Guarantee != connector.Database || len(scan.Tables[0].Partitions) < 2 {
			t.Fatalf("guarantee %s, %d partitions", scan.Guarantee, len(scan.Tables[0].Partitions))
		}
		v, _ := src.current()
		for _, want := range []string{"mysql.connection_lost", "source.snapshot_lost"} {
			c, err := v.lanes[0].acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := src.control(t.Context(), fmt.Sprintf("KILL %d", c.id)); err != nil {
				t.Fatal(err)
			}
			other := len(v.lanes[0].idle) // 1, then 0: make the killed one the next to be used
			if other == 1 {
				o := <-v.lanes[0].idle
				v.lanes[0].idle <- c
				v.lanes[0].idle <- o
			} else {
				v.lanes[0].idle <- c
			}
			_, _, err = readRows(t.Context(), src, scan.Tables[0].Partitions[0])
			if !fault.HasCode(err, want) || fault.Retryable(err) != (want == "mysql.connection_lost") {
				t.Fatalf("got %v (%s, retry %v), want %s", err, fault.From(err).Code, fault.Retryable(err), want)
			}
			if want == "mysql.connection_lost" {
				if _, _, err := readRows(t.Context(), src, scan.Tables[0].Partitions[0]); err != nil {
					t.Errorf("again: %v", err)
				}
			}
		}
		if _, err := src.Count(t.Context(), v.req.Tables[0]); !fault.HasCode(err, "source.snapshot_lost") {
			t.Errorf("count: %v", err)
		}
		scan = scanOf(t, src, tab, 2)
		if _, _, err := readRows(t.Context(), src, scan.Tables[0].Partitions[0]); err != nil {
			t.Errorf("after a new scan: %v", err)
		}
	})
}

// deaf is a connection whose end the server never hears of.
type deaf struct{ net.Conn }

func (deaf) Close() error { return nil }

// TestLostSessionsAreEnded: the server ends a session that was lost without its knowledge, and lets go of its locks.
func TestLostSessionsAreEnded(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		s.Exec(t, db, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
		src := open(t, specFor(s, db))
		scanOf(t, src, table(t, src, "t"), 2)
		v, _ := src.current()
		c, err := v.lanes[0].acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.query(t.Context(), "SELECT * FROM t"); err != nil { // from now on an ALTER TABLE waits for this transaction
			t.Fatal(err)
		}
		defer c.raw.Close()
		c.raw, c.broken = deaf{c.raw}, true
		v.lanes[0].release(c)
		s.Exec(t, db, "SET SESSION lock_wait_timeout = 20", "ALTER TABLE t ADD COLUMN more int")
	})
}

// TestPerTable: a table's partitions all belong to one connection when the snapshots are not known to be one.
func TestPerTable(t *testing.T) {
	a, b := &conn{}, &conn{}
	all, of, guarantee := lanes(false, []*conn{a, b}, []int64{10, 100, 20, 30, 35})
	if guarantee != connector.PerTable || len(all) != 2 || fmt.Sprint(of) != "[1 0 1 1 1]" {
		t.Errorf("%s, %d lanes, tables on %v", guarantee, len(all), of)
	}
}

// TestGrants: a user who may see a table's name but not its rows, and one who may not see positions.
func TestGrants(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		user := "u_" + db[len(db)-8:]
		s.Exec(t, db, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)", "INSERT INTO a VALUES (1)",
			"CREATE USER "+user+"@'%' IDENTIFIED BY 'Passw0rd-x'", "GRANT SELECT ON "+db+".a TO "+user+"@'%'", "GRANT INSERT ON "+db+".b TO "+user+"@'%'")
		t.Cleanup(func() { s.Exec(t, "", "DROP USER "+user+"@'%'") })
		spec := specFor(s, db)
		spec.User, spec.Password = user, "Passw0rd-x"
		src := open(t, spec)
		asked := connector.ScanRequest{Connections: 2}
		for _, name := range []string{"a", "b"} {
			tab := table(t, src, name)
			asked.Tables = append(asked.Tables, connector.TableScan{Table: tab, Columns: tab.Columns})
		}
		scan, err := src.Scan(t.Context(), asked)
		if err != nil {
			t.Fatal(err)
		}
		if rows, _, err := readRows(t.Context(), src, scan.Tables[0].Partitions[0]); err != nil || len(rows) != 1 {
			t.Errorf("%v, %v", rows, err)
		}
		if _, _, err := readRows(t.Context(), src, scan.Tables[1].Partitions[0]); !fault.HasCode(err, "mysql.grant") {
			t.Errorf("got %v", err)
		}
		asked.Tables[0].Table.Name = "aa"
		if _, err := src.Scan(t.Context(), asked); !fault.HasCode(err, "mysql.table_missing") || !strings.Contains(fault.From(err).Hint, `"a"`) {
			t.Errorf("got %v", err)
		}
		asked.Tables = asked.Tables[1:]
		asked.Tables[0].Table.Name, asked.Tables[0].Where = "a", "nonsense = 1"
		if scan, err = src.Scan(t.Context(), asked); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readRows(t.Context(), src, scan.Tables[0].Partitions[0]); !fault.HasCode(err, "mysql.where") {
			t.Errorf("got %v", err)
		}
	})
}
