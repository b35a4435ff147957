package servertest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nobody is who owns the data where the caller is root, which PostgreSQL refuses.
const nobody = 65534

// Private is a server of a test's own, which it may kill and start again. It has no TLS, and the same
// programs as the shared one of the same kind.
type Private struct {
	Server
	program string
	args    []string
	cmd     *exec.Cmd
}

// PrivateMariaDB makes and starts a MariaDB that ends with the test.
func PrivateMariaDB(t testing.TB) *Private {
	t.Helper()
	p := newPrivate(t, "mariadb", "mysql")
	dir := ownDir(t)
	run(t, "mariadb-install-db", "--no-defaults", "--datadir="+dir+"/data", "--auth-root-authentication-method=normal", "--skip-test-db")
	account := fmt.Sprintf("CREATE USER IF NOT EXISTS 'kitamae'@'%%' IDENTIFIED BY '%s'; GRANT ALL PRIVILEGES ON *.* TO 'kitamae'@'%%' WITH GRANT OPTION;\n", p.Password)
	if err := os.WriteFile(dir+"/accounts.sql", []byte(strings.ReplaceAll(account, "; GRANT", ";\nGRANT")), 0o644); err != nil {
		t.Fatal(err)
	}
	p.program = look(t, "mariadbd", "/usr/sbin/mariadbd")
	p.args = []string{"--no-defaults", "--datadir=" + dir + "/data", "--tmpdir=" + dir, "--socket=" + dir + "/s", "--pid-file=" + dir + "/pid",
		fmt.Sprintf("--port=%d", p.Port), "--bind-address=127.0.0.1", "--init-file=" + dir + "/accounts.sql", "--log-bin=" + dir + "/data/binlog",
		"--binlog-format=ROW", "--server-id=1", "--character-set-server=utf8mb4", "--skip-name-resolve", "--innodb-buffer-pool-size=64M"}
	p.Start(t)
	t.Cleanup(func() { p.Kill(t) })
	return p
}

// PrivatePostgres makes and starts a PostgreSQL that ends with the test.
func PrivatePostgres(t testing.TB) *Private {
	t.Helper()
	p := newPrivate(t, "postgres", "postgres")
	dir := ownDir(t)
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		t.Fatalf("no PostgreSQL is installed; run: make servers (%v)", err)
	}
	sort.Strings(found)
	p.program = found[len(found)-1]
	if err := os.WriteFile(dir+"/password", []byte(p.Password), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, filepath.Join(filepath.Dir(p.program), "initdb"), "-D", dir+"/data", "-U", "kitamae", "--pwfile="+dir+"/password",
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
	p.args = []string{"-D", dir + "/data", "-p", fmt.Sprint(p.Port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + dir, "-c", "max_connections=60"}
	p.Start(t)
	t.Cleanup(func() { p.Kill(t) })
	p.Exec(t, "postgres", "CREATE DATABASE kitamae")
	return p
}

func newPrivate(t testing.TB, name, kind string) *Private {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails, by its contract
	return &Private{Server: Server{Name: name, Kind: kind, Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, User: "kitamae", Password: hex.EncodeToString(b[:])}}
}

// Start starts the server, and waits until it answers.
func (p *Private) Start(t testing.TB) {
	t.Helper()
	p.cmd = exec.Command(p.program, p.args...)
	p.cmd.SysProcAttr = asNobody()
	var log strings.Builder
	p.cmd.Stdout, p.cmd.Stderr = &log, &log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	db := ""
	if p.Kind == "postgres" {
		db = "postgres"
	}
	deadline := time.Now().Add(time.Minute)
	for {
		c, err := p.open(t.Context(), db)
		if err == nil {
			c.close(t.Context())
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v\n%s", p.Name, err, log.String())
		}
		<-time.After(50 * time.Millisecond)
	}
}

// Kill ends the server as a power cut would, and waits until it is gone.
func (p *Private) Kill(t testing.TB) {
	t.Helper()
	_ = p.cmd.Process.Kill() // it may be gone already
	_ = p.cmd.Wait()
}

// ownDir is a folder that the server's user owns and reaches, with a short name: sockets are in it.
func ownDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "kitamae-private-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if os.Getuid() == 0 {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func asNobody() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return attr
}

func run(t testing.TB, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.SysProcAttr = "/", asNobody()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

func look(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("none of %v is installed; run: make servers", names)
	return ""
}
