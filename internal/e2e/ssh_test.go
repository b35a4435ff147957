package e2e

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
)

// TestSSH reads through a real sshd, with TLS inside the tunnel that still checks the database's own name, and
// refuses a host whose key is unknown or another.
func TestSSH(t *testing.T) {
	gate := startSSHD(t)
	for _, s := range append(servertest.MySQLServers(t), servertest.Postgres(t)) {
		t.Run(s.Name, func(t *testing.T) {
			db := servertest.FreshDatabase(t, s)
			s.Exec(t, db, "CREATE TABLE t (id int PRIMARY KEY, v varchar(20))", "INSERT INTO t VALUES (1, '暗号'), (2, NULL)")
			// the name is known to neither the tunnel's end nor this machine: only the certificate has it
			tls := map[string]any{"mode": "verify", "ca_file": s.CAFile, "server_name": "db.kitamae.test"}
			p := newProject(t, s, db).with("tls", tls).with("ssh", gate.spec(nil))
			if r := p.drive(t, "verify: full"); r.Rows() != 2 {
				t.Errorf("%d rows came through the tunnel", r.Rows())
			}
			if !gate.forwarded(s.Port) {
				t.Errorf("sshd forwarded nothing to port %d: the run went around the tunnel", s.Port)
			}
			for name, tc := range map[string]struct {
				ssh  map[string]any
				tls  map[string]any
				code string
			}{
				"another key":           {ssh: map[string]any{"known_hosts_file": gate.impostor}, code: "ssh.host_key"},
				"unknown host":          {ssh: map[string]any{"known_hosts_file": gate.empty}, code: "ssh.host_key"},
				"no known hosts":        {ssh: map[string]any{"known_hosts_file": "/nowhere"}, code: "ssh.known_hosts"},
				"stranger":              {ssh: map[string]any{"key_file": gate.stranger}, code: "ssh.auth"},
				"locked key":            {ssh: map[string]any{"key_file": gate.locked}, code: "ssh.key"},
				"nothing behind it":     {ssh: map[string]any{}, code: "ssh.forward"},
				"certificate of others": {tls: map[string]any{"mode": "verify", "ca_file": s.CAFile, "server_name": "db.example.com"}, code: s.Kind + ".tls"},
			} {
				q := newProject(t, s, db).with("tls", tls).with("ssh", gate.spec(tc.ssh))
				if tc.tls != nil {
					q.with("tls", tc.tls)
				}
				if name == "nothing behind it" {
					q.with("port", freePort(t))
				}
				_, err := run.Drive(t.Context(), q.request(t))
				if f := fault.From(err); err == nil || f.Code != tc.code || f.Hint == "" {
					t.Errorf("%s: %+v (%v), want %s", name, f, err, tc.code)
				}
			}
			p.with("ssh", gate.spec(map[string]any{"key_file": gate.locked, "password": "offen"})).drive(t)
		})
	}
}

// gate is an sshd of this test's own.
type gate struct {
	port                                          int
	user                                          string
	key, stranger, locked, known, impostor, empty string
	dir                                           string
}

// spec is the config's ssh: block; changes replace keys of it.
func (g *gate) spec(changes map[string]any) map[string]any {
	spec := map[string]any{"host": "127.0.0.1", "port": g.port, "user": g.user, "key_file": g.key, "known_hosts_file": g.known}
	for k, v := range changes {
		spec[k] = v
	}
	return spec
}

// forwarded says whether sshd opened a connection to the port.
func (g *gate) forwarded(port int) bool {
	text, err := os.ReadFile(filepath.Join(g.dir, "log"))
	return err == nil && bytes.Contains(text, fmt.Appendf(nil, "target 127.0.0.1 port %d", port))
}

func startSSHD(t *testing.T) *gate {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	g := &gate{port: freePort(t), user: me.Username, dir: dir}
	hostKey, host := newKey(t, dir, "host", "")
	var mine, locked ssh.PublicKey
	g.key, mine = newKey(t, dir, "mine", "")
	g.locked, locked = newKey(t, dir, "locked", "offen")
	var other ssh.PublicKey
	g.stranger, other = newKey(t, dir, "stranger", "")
	put := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	address := []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(g.port))}
	g.known = put("known", []byte(knownhosts.Line(address, host)+"\n"))
	g.impostor = put("impostor", []byte(knownhosts.Line(address, other)+"\n"))
	g.empty = put("empty", nil)
	allowed := put("allowed", append(ssh.MarshalAuthorizedKey(mine), ssh.MarshalAuthorizedKey(locked)...))
	config := put("config", fmt.Appendf(nil, "Port %d\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\n"+
		"StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nLogLevel DEBUG1\n", g.port, hostKey, allowed))
	if me.Uid == "0" { // sshd of a user needs no such folder
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-f", config, "-E", filepath.Join(dir, "log"))
	if err := cmd.Start(); err != nil {
		t.Fatalf("sshd (Debian's openssh-server): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		c, err := net.Dial("tcp", address[0])
		if err == nil {
			c.Close()
			return g
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("sshd does not answer: %v\n%s", err, text)
		}
	}
}

// newKey writes a private key, locked where a passphrase is given.
func newKey(t *testing.T, dir, name, passphrase string) (file string, public ssh.PublicKey) {
	t.Helper()
	pub, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, name)
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, name, []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	if public, err = ssh.NewPublicKey(pub); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, name)
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, public
}

// freePort is one that nothing listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
