package sqlkit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/kitamae/kitamae/fault"
)

const cluster = "app.cluster-ro-c9.ap-northeast-1.rds.amazonaws.com"

func TestRDSNames(t *testing.T) {
	for _, tc := range []struct{ host, region string }{
		{cluster, "ap-northeast-1"},
		{"db.c9.US-EAST-1.rds.amazonaws.com", "us-east-1"},
		{"db.c9.cn-north-1.rds.amazonaws.com.cn", "cn-north-1"},
		{"rds.amazonaws.com.evil.example", ""},
		{"db.example.com", ""},
	} {
		if got := rdsRegion(tc.host); got != tc.region || onRDS(tc.host) != (tc.region != "") {
			t.Errorf("%s: region %q, on RDS %v; want %q", tc.host, got, onRDS(tc.host), tc.region)
		}
	}
}

// TestRDSBundle holds that every authority of the file is one, is not about to expire, and is trusted for RDS's hosts only.
func TestRDSBundle(t *testing.T) {
	names := map[string]bool{}
	for rest := rdsAuthorities; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil || !c.IsCA || time.Until(c.NotAfter) < 365*24*time.Hour {
			t.Errorf("%v: CA %v, until %v, %v", c.Subject, c.IsCA, c.NotAfter, err)
		}
		names[c.Subject.CommonName] = true
	}
	for _, want := range []string{"Amazon RDS ap-northeast-1 Root CA RSA2048 G1", "Amazon RDS us-east-1 Root CA ECC384 G1", "Amazon Root CA 1"} {
		if !names[want] {
			t.Errorf("lacks %s", want)
		}
	}
	for _, tc := range []struct {
		tls  TLS
		host string
		want bool
	}{
		{TLS{}, cluster, true},
		{TLS{ServerName: cluster}, "db.internal", true},
		{TLS{}, "db.internal", false},
		{TLS{Mode: TLSVerify}, "app.rds.amazonaws.com.evil.example", false},
	} {
		c, err := tc.tls.Config(tc.host, false, "")
		if err != nil || (c.RootCAs != nil) != tc.want {
			t.Errorf("%+v at %s: pool %v, %v", tc.tls, tc.host, c.RootCAs != nil, err)
		}
	}
}

// TestIAMToken computes the token anew for the moment it was made, with AWS's own signer.
func TestIAMToken(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_SESSION_TOKEN": "session", "AWS_REGION": "eu-west-1", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
	iam, err := NewIAM(t.Context(), cluster, 3306, "etl@x", &tls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	token, err := iam.Password(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse("https://" + token)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Host != cluster+":3306" || q.Get("Action") != "connect" || q.Get("DBUser") != "etl@x" || q.Get("X-Amz-Expires") != "900" {
		t.Errorf("token %s", token)
	}
	if scope := "AKIA/" + q.Get("X-Amz-Date")[:8] + "/ap-northeast-1/rds-db/aws4_request"; q.Get("X-Amz-Credential") != scope {
		t.Errorf("signed as %s, want %s: the host's region, not the surroundings'", q.Get("X-Amz-Credential"), scope)
	}
	at, err := time.Parse("20060102T150405Z", q.Get("X-Amz-Date"))
	if err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("made at %v, %v", at, err)
	}
	req, err := http.NewRequest(http.MethodGet, "https://"+cluster+":3306/?Action=connect&DBUser="+url.QueryEscape("etl@x")+"&X-Amz-Expires=900", nil)
	if err != nil {
		t.Fatal(err)
	}
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	want, _, err := v4.NewSigner().PresignHTTP(context.Background(), aws.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "hush", SessionToken: "session"}, req, empty, "rds-db", "ap-northeast-1", at)
	if err != nil {
		t.Fatal(err)
	}
	if w, err := url.Parse(want); err != nil || w.Query().Get("X-Amz-Signature") != q.Get("X-Amz-Signature") {
		t.Errorf("signature %s, want that of %s", q.Get("X-Amz-Signature"), want)
	}
	if strings.Contains(token, "hush") {
		t.Error("the token holds the key")
	}
}

func TestIAMNeedsAVerifiedServer(t *testing.T) {
	for name, c := range map[string]*tls.Config{"in the clear": nil, "not verified": {InsecureSkipVerify: true}} {
		if _, err := NewIAM(t.Context(), cluster, 3306, "etl", c); !fault.HasCode(err, "rds.tls") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
