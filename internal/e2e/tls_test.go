package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
)

// TestTLS reads under TLS with the server's certificate verified, and refuses one that
// another authority signed.
func TestTLS(t *testing.T) {
	stranger := strangersCA(t)
	for _, s := range append(servertest.MySQLServers(t), servertest.PostgresServers(t)...) {
		t.Run(s.Name, func(t *testing.T) {
			db := servertest.FreshDatabase(t, s)
			s.Exec(t, db, "CREATE TABLE t (id int PRIMARY KEY, v varchar(20))", "INSERT INTO t VALUES (1, '暗号'), (2, NULL)")
			p := newProject(t, s, db).with("tls", map[string]any{"mode": "verify", "ca_file": s.CAFile})
			r := p.drive(t, "verify: full")
			if r.Rows() != 2 || r.Guarantee != connector.Database {
				t.Errorf("%d rows under guarantee %s", r.Rows(), r.Guarantee)
			}
			p.with("tls", map[string]any{"mode": "verify", "ca_file": s.CAFile, "server_name": "db.kitamae.test"}).drive(t)

			for name, tls := range map[string]map[string]any{
				"another authority": {"mode": "verify", "ca_file": stranger},
				"another name":      {"mode": "verify", "ca_file": s.CAFile, "server_name": "db.example.com"},
			} {
				_, err := run.Drive(t.Context(), p.with("tls", tls).request(t))
				if f := fault.From(err); err == nil || f.Kind != fault.Config || f.Hint == "" {
					t.Errorf("%s: %+v (%v)", name, f, err)
				}
			}
		})
	}
}

// strangersCA is the file of an authority that signed nothing here.
func strangersCA(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
