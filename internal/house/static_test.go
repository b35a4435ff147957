package house

import (
	"debug/elf"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/kitamae/kitamae/internal/servertest"
)

// nameserver is where the test's own DNS answers: on loopback, beside whatever the machine has there.
const nameserver = "127.77.0.1"

// TestStaticBinary builds what `make build` builds and runs it in a root file system that holds nothing but the
// binary, a config, an authority's certificate and two files of /etc. There it must start, resolve names itself, verify
// TLS, know time zones, and do a whole run without a /tmp, a home or a password file.
func TestStaticBinary(t *testing.T) {
	binary := buildStatic(t)
	assertStatic(t, binary)

	t.Run("version", func(t *testing.T) {
		root := emptyRoot(t, binary)
		var walls []time.Duration
		for range 11 {
			begin := time.Now()
			out, err := inside(t, root, "--version")
			walls = append(walls, time.Since(begin))
			if err != nil || !strings.HasPrefix(out, "kitamae ") {
				t.Fatalf("--version: %v\n%s", err, out)
			}
		}
		slices.Sort(walls)
		t.Logf("--version takes %v (median of %d); make bench holds it to its target", walls[len(walls)/2], len(walls))
	})
	for _, s := range append(servertest.MySQLServers(t), servertest.PostgresServers(t)...) {
		t.Run(s.Name, func(t *testing.T) {
			root := emptyRoot(t, binary)
			db := servertest.FreshDatabase(t, s)
			s.Exec(t, db, "CREATE TABLE 生徒 (id int PRIMARY KEY, 名前 varchar(20))", "INSERT INTO 生徒 VALUES (1, '花子'), (2, '太郎')")
			resolveNames(t, root)
			put(t, root, "ca.pem", read(t, s.CAFile))

			put(t, root, "kitamae.yml", staticConfig(s, db, "db.kitamae.test"))
			if out, err := inside(t, root, "run"); err != nil {
				t.Fatalf("run: %v\n%s", err, out)
			}
			out, err := inside(t, root, "query", "select string_agg(名前, '・' order by id) from 生徒")
			if err != nil || !strings.Contains(out, "花子・太郎") {
				t.Errorf("query: %v\n%s", err, out)
			}
			put(t, root, "kitamae.yml", staticConfig(s, db, "db.elsewhere.test"))
			if out, err := inside(t, root, "run"); err == nil || !strings.Contains(out, "certificate") {
				t.Errorf("a server whose certificate has another name was accepted: %v\n%s", err, out)
			}
		})
	}
	t.Run("unknown zone", func(t *testing.T) {
		root := emptyRoot(t, binary)
		put(t, root, "kitamae.yml", strings.Replace(staticConfig(servertest.MariaDB(t), "kitamae", "db.kitamae.test"), "Asia/Tokyo", "Asia/Tokio", 1))
		if out, err := inside(t, root, "plan"); err == nil || !strings.Contains(out, "Asia/Tokio") {
			t.Errorf("zone Asia/Tokio: %v\n%s", err, out)
		}
	})
}

func staticConfig(s servertest.Server, db, host string) string {
	return fmt.Sprintf(`timezone: Asia/Tokyo
source:
  %s:
    host: %s
    port: %d
    user: %s
    password: ${DB_PASSWORD}
    database: %s
    tls: {mode: verify, ca_file: ca.pem}
tables:
  "*": {}
`, s.Kind, host, s.Port, s.User, db)
}

func buildStatic(t *testing.T) string {
	t.Helper()
	root, err := servertest.Root()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "kitamae")
	cmd := exec.Command("make", "build", "BIN="+binary)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	return binary
}

// assertStatic looks for a dynamic loader or libraries in the file.
func assertStatic(t *testing.T, binary string) {
	t.Helper()
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the binary wants a dynamic loader")
		}
	}
	if libraries, _ := f.ImportedLibraries(); len(libraries) > 0 {
		t.Errorf("the binary wants %v", libraries)
	}
}

func emptyRoot(t *testing.T, binary string) string {
	t.Helper()
	root := t.TempDir()
	text, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "kitamae"), text, 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

func put(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// inside runs the binary with root as its whole file system and next to no environment. Without being root
// it does so in a user namespace.
func inside(t *testing.T, root string, args ...string) (output string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/kitamae", args...)
	cmd.Path = "/kitamae" // not looked up out here
	cmd.Err = nil
	cmd.Dir = "/"
	cmd.Env = []string{"DB_PASSWORD=" + servertest.MariaDB(t).Password}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// resolveNames makes names below .test resolve to this machine: through a DNS server, or, where port 53 is not ours to
// open, through the hosts file, which Go's resolver reads as well.
func resolveNames(t *testing.T, root string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", nameserver+":53")
	if errors.Is(err, os.ErrPermission) {
		put(t, root, "etc/hosts", "127.0.0.1 db.kitamae.test db.elsewhere.test\n")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	put(t, root, "etc/resolv.conf", "nameserver "+nameserver+"\n")
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	go func() {
		defer close(done)
		serveDNS(conn)
	}()
}

// serveDNS answers every question for an IPv4 address with 127.0.0.1 and any other with nothing, until conn is closed.
func serveDNS(conn net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) == 0 {
			continue
		}
		answer := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true}, Questions: m.Questions}
		if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
			answer.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			}}
		}
		if packed, err := answer.Pack(); err == nil {
			_, _ = conn.WriteTo(packed, from)
		}
	}
}
