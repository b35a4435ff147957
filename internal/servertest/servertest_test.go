package servertest

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/client"
)

// TestServers proves of every server that it is the one recorded, accepts the account,
// keeps Japanese text and makes and drops databases.
func TestServers(t *testing.T) {
	for _, s := range append(MySQLServers(t), PostgresServers(t)...) {
		t.Run(s.Name, func(t *testing.T) {
			if got := s.Query(t, "", "SELECT version()")[0][0]; !strings.Contains(got, s.Version) {
				t.Errorf("version() = %s, want %s", got, s.Version)
			}
			db := FreshDatabase(t, s)
			s.Exec(t, db, "CREATE TABLE 表 (id int PRIMARY KEY, 名前 varchar(20))", "INSERT INTO 表 VALUES (1, '北前船 🚢'), (2, NULL)")
			rows := s.Query(t, db, "SELECT id, 名前 FROM 表 ORDER BY id")
			if got, want := rows[0][1]+"|"+rows[1][1], "北前船 🚢|NULL"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// TestMySQLTLS proves that the certificates verify, by name, on every MySQL.
func TestMySQLTLS(t *testing.T) {
	for _, s := range MySQLServers(t) {
		t.Run(s.Name, func(t *testing.T) {
			pem, err := os.ReadFile(s.CAFile)
			if err != nil {
				t.Fatal(err)
			}
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(pem)
			c, err := client.Connect(s.Address(), s.User, s.Password, "kitamae", func(c *client.Conn) error {
				c.SetTLSConfig(&tls.Config{RootCAs: pool, ServerName: "db.kitamae.test"})
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Quit() }()
			r, err := c.Execute("SHOW STATUS LIKE 'Ssl_version'")
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := r.GetString(0, 1); !strings.HasPrefix(got, "TLSv1.") {
				t.Errorf("the connection's TLS version is %q", got)
			}
		})
	}
}

func TestClean(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"subtest", "TestA/b c", "testa_b_c"},
		{"japanese", "Test/表", "test__"},
		{"long", strings.Repeat("x", 99), strings.Repeat("x", 24)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := clean(tc.in); got != tc.want {
				t.Errorf("clean(%q) = %s, want %s", tc.in, got, tc.want)
			}
		})
	}
}

// TestMoto proves that an AWS client is answered in AWS's words.
func TestMoto(t *testing.T) {
	ask := url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}}
	req, err := http.NewRequest(http.MethodPost, Moto(t), strings.NewReader(ask.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// moto knows the service by the signature's scope, and checks no signature.
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/sts/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(body), "<Account>123456789012</Account>") {
		t.Errorf("GetCallerIdentity: %s %s", resp.Status, body)
	}
}
