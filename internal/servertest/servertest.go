// Package servertest gives tests the real databases that scripts/servers.sh started.
// It starts nothing itself: a test whose server is missing fails and says what to run.
package servertest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// setupTimeout bounds one connection and the statements a helper runs on it.
const setupTimeout = 2 * time.Minute

// Server is one running database. User has all rights; Admin, with the same
// password, is a second account with all rights that tests may lock out.
type Server struct {
	Name     string // mariadb, mysql, postgres, postgres_newest, postgres_oldest
	Kind     string // mysql or postgres: the protocol it speaks
	Host     string // an address, not a name
	Port     int
	Socket   string // MySQL: the socket's path; PostgreSQL: the folder it is in
	User     string
	Password string
	Admin    string
	Version  string // as in 10.11.14
	CAFile   string // verifies the server's certificate, which names localhost, 127.0.0.1 and *.kitamae.test
}

// MariaDB is Debian's MariaDB: binlog in ROW format, no GTID strictness, zone +09:00.
func MariaDB(t testing.TB) Server { return find(t, "mariadb") }

// MySQL is a real MySQL 9 with GTIDs and caching_sha2_password. Where it can't be
// had the test fails; tests that should run on whatever there is use [MySQLServers].
func MySQL(t testing.TB) Server { return find(t, "mysql") }

// Postgres is Debian's PostgreSQL: SCRAM, TLS, wal_level logical, zone Asia/Tokyo.
func Postgres(t testing.TB) Server { return find(t, "postgres") }

// PostgresNewest is the newest PostgreSQL, set up like [Postgres].
func PostgresNewest(t testing.TB) Server { return find(t, "postgres_newest") }

// PostgresOldest is the oldest PostgreSQL that is read, set up like [Postgres]. Where what a server must know is what is tested, it
// stands beside the others; the rest of the tests does without.
func PostgresOldest(t testing.TB) Server { return find(t, "postgres_oldest") }

// MySQLServers are all servers that speak MySQL's protocol here: MariaDB always, MySQL
// unless scripts/servers.sh recorded why it can't be had (the test's log says so).
func MySQLServers(t testing.TB) []Server {
	t.Helper()
	servers := []Server{MariaDB(t)}
	if why := environment(t)["MYSQL_MISSING"]; why != "" {
		t.Logf("without MySQL, which can't be had here: %s", why)
		return servers
	}
	return append(servers, MySQL(t))
}

// PostgresServers are the PostgreSQL servers here, but for the oldest.
func PostgresServers(t testing.TB) []Server {
	t.Helper()
	return []Server{Postgres(t), PostgresNewest(t)}
}

// Moto is the URL of Amazon's services as moto imitates them. Whatever is asked for there, any region and any
// key of either kind will do; tests share it, so that what they make has names of its own.
func Moto(t testing.TB) string {
	t.Helper()
	url := environment(t)["MOTO_URL"]
	if url == "" {
		t.Fatal("moto is not running; run: make servers")
	}
	return url
}

// BigQuery is the address of BigQuery as local-bigquery imitates it. It asks for no credentials and knows any project.
func BigQuery(t testing.TB) string {
	t.Helper()
	env := environment(t)
	if why := env["BIGQUERY_MISSING"]; why != "" {
		t.Fatalf("the BigQuery emulator can't be had here: %s", why)
	}
	if env["BIGQUERY_ENDPOINT"] == "" {
		t.Fatal("the BigQuery emulator is not running; run: make servers")
	}
	return env["BIGQUERY_ENDPOINT"]
}

// FreshName is a name no other test uses: for a database, a dataset, a bucket.
func FreshName(t testing.TB) string { return "t_" + clean(t.Name()) + "_" + random() }

// Address is host:port.
func (s Server) Address() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// FreshDatabase creates a database with a name of its own, in utf8mb4 or UTF8, and
// drops it when the test ends, whoever is still connected.
func FreshDatabase(t testing.TB, s Server) string {
	t.Helper()
	name := FreshName(t)
	s.Exec(t, "", "CREATE DATABASE "+name+s.createOptions())
	t.Cleanup(func() { s.Exec(t, "", s.drop(name)) })
	return name
}

// Exec runs statements one by one over a stock driver's connection; db "" is none (MySQL)
// or the maintenance database (PostgreSQL). The connection's zone is UTC.
func (s Server) Exec(t testing.TB, db string, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	conn, err := s.open(ctx, db)
	if err != nil {
		t.Fatalf("connect to %s: %v", s.Name, err)
	}
	defer conn.close(ctx)
	for _, statement := range statements {
		if err := conn.exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v\n%s", s.Name, err, abridge(statement))
		}
	}
}

// Query returns the rows as the server's own text forms; null is "NULL".
func (s Server) Query(t testing.TB, db, query string) [][]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	conn, err := s.open(ctx, db)
	if err != nil {
		t.Fatalf("connect to %s: %v", s.Name, err)
	}
	defer conn.close(ctx)
	rows, err := conn.query(ctx, query)
	if err != nil {
		t.Fatalf("%s: %v\n%s", s.Name, err, abridge(query))
	}
	return rows
}

func (s Server) createOptions() string {
	if s.Kind == "postgres" {
		return ""
	}
	return " CHARACTER SET utf8mb4"
}

func (s Server) drop(name string) string {
	if s.Kind == "postgres" {
		return "DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"
	}
	return "DROP DATABASE IF EXISTS " + name
}

// clean makes a test's name part of an identifier: short, lower case, ASCII.
func clean(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, name)
	return name[:min(len(name), 24)]
}

func random() string {
	var b [5]byte
	_, _ = rand.Read(b[:]) // never fails, by its contract
	return hex.EncodeToString(b[:])
}

func abridge(statement string) string {
	const most = 400
	if len(statement) <= most {
		return statement
	}
	return fmt.Sprintf("%s … (%d bytes)", statement[:most], len(statement))
}
