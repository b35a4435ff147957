package notify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/kitamae/kitamae/awsauth"
	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/notify"
)

var failure = notify.Message{
	Event: notify.Failure, Config: "kitamae.yml", Source: "app on db1:3306", Destination: "kura.duckdb", Run: "20261129T050000Z-1",
	Time: time.Date(2026, 11, 29, 5, 1, 0, 0, time.UTC), Fresh: time.Date(2026, 11, 28, 5, 0, 0, 0, time.UTC),
	Error: "db1 refused user <etl>", Hint: "check source.mysql.user", Code: "mysql.auth",
}

func tokyo(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

type request struct {
	header http.Header
	body   []byte
}

// receiver is a server that keeps what it got and answers with status.
func receiver(t *testing.T, status int) (url conf.Secret, got chan request) {
	t.Helper()
	got = make(chan request, 4)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- request{r.Header, body}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return conf.Secret(server.URL + "/services/T0/secret"), got
}

func TestSlack(t *testing.T) {
	for language, want := range map[string][]string{
		"en": {"kitamae.yml failed", "Readers see the data of 28 November 2026 14:00 JST.", "What happened: db1 refused user &lt;etl&gt;", "What to do: check source.mysql.user"},
		"ja": {"kitamae.yml は失敗しました", "現在見えているデータは 2026年11月28日 14:00 JST 時点のものです。", "原因: db1 refused", "対処: check source.mysql.user"},
	} {
		t.Run(language, func(t *testing.T) {
			url, got := receiver(t, http.StatusOK)
			if err := (notify.Spec{Slack: url, Language: language}).Send(t.Context(), failure, tokyo(t)); err != nil {
				t.Fatal(err)
			}
			var body struct{ Text string }
			if err := json.Unmarshal((<-got).body, &body); err != nil {
				t.Fatal(err)
			}
			for _, w := range want {
				if !strings.Contains(body.Text, w) {
					t.Errorf("%q is not in\n%s", w, body.Text)
				}
			}
		})
	}
}

func TestWebhookIsSigned(t *testing.T) {
	url, got := receiver(t, http.StatusNoContent)
	spec := notify.Spec{Webhook: notify.Webhook{URL: url, Key: "k3y"}, Language: "en"}
	if err := spec.Send(t.Context(), failure, time.UTC); err != nil {
		t.Fatal(err)
	}
	r := <-got
	mac := hmac.New(sha256.New, []byte("k3y"))
	mac.Write([]byte(r.header.Get("X-Kitamae-Time") + "." + string(r.body)))
	if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); r.header.Get("X-Kitamae-Signature") != want {
		t.Errorf("signature %q, want %q", r.header.Get("X-Kitamae-Signature"), want)
	}
	var m notify.Message
	if err := json.Unmarshal(r.body, &m); err != nil || m.Event != notify.Failure || !m.Fresh.Equal(failure.Fresh) || m.Code != "mysql.auth" {
		t.Errorf("got %+v, %v", m, err)
	}
}

// TestRefused: a refusal is a fault that names the way and never the address, and the others are told all the same.
func TestRefused(t *testing.T) {
	refusing, _ := receiver(t, http.StatusForbidden)
	good, got := receiver(t, http.StatusOK)
	err := notify.Spec{Slack: refusing, Webhook: notify.Webhook{URL: good}}.Send(t.Context(), failure, time.UTC)
	if !fault.HasCode(err, "notify.slack") || !strings.Contains(err.Error(), "403") {
		t.Errorf("got %v, want notify.slack and the status", err)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the address is in %v", err)
	}
	<-got
	err = notify.Spec{Slack: "http://127.0.0.1:1/secret"}.Send(t.Context(), failure, time.UTC)
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody there: %v; want a fault without the address", err)
	}
}

// trusted makes a certificate for localhost that this process's programs trust.
func trusted(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", file)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// mailbox is a real SMTP server that wants a login, and takes one only under TLS.
type mailbox struct{ got chan letter }

type letter struct {
	from, user string
	to         []string
	data       string
}

func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{box: m}, nil }

type session struct {
	box *mailbox
	l   letter
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if password != "pa55" {
			return errors.New("wrong password")
		}
		s.l.user = user
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.l.user == "" {
		return smtp.ErrAuthRequired
	}
	s.l.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.l.to = append(s.l.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	s.l.data = string(data)
	s.box.got <- s.l
	return err
}

func (s *session) Reset() {}

func (s *session) Logout() error { return nil }

func TestSMTP(t *testing.T) {
	box := &mailbox{got: make(chan letter, 1)}
	server := smtp.NewServer(box)
	server.TLSConfig = trusted(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l) //nolint:errcheck // ends with Close
	defer server.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	spec := notify.Spec{Language: "ja", Email: notify.Email{To: []string{"a@example.com", "b@example.com"}, From: "etl@example.com",
		SMTP: notify.SMTP{Host: "localhost", Port: n, User: "etl", Password: "pa55"}}}
	if err := spec.Send(t.Context(), failure, tokyo(t)); err != nil {
		t.Fatal(err)
	}
	got := <-box.got
	if got.from != "etl@example.com" || strings.Join(got.to, " ") != "a@example.com b@example.com" || got.user != "etl" {
		t.Errorf("envelope %+v", got)
	}
	if _, err := mail.ReadMessage(strings.NewReader(got.data)); err != nil {
		t.Errorf("not a message: %v", err)
	}
	spec.Email.SMTP.Password = "wrong"
	if err := spec.Send(t.Context(), failure, time.UTC); !fault.HasCode(err, "notify.email") || strings.Contains(err.Error(), "wrong") && strings.Contains(err.Error(), "pa55") {
		t.Errorf("a wrong password: %v, want notify.email", err)
	}
}

func TestAWS(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", servertest.Moto(t))
	t.Setenv("AWS_REGION", "ap-northeast-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	ctx := t.Context()
	cfg, err := awsauth.Config(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	sender := "etl-" + strconv.FormatInt(time.Now().UnixNano(), 36) + "@example.com"
	spec := notify.Spec{Language: "ja", Email: notify.Email{To: []string{"a@example.com"}, From: sender}}
	if err := spec.Send(ctx, failure, time.UTC); !fault.HasCode(err, "notify.email") {
		t.Errorf("a sender SES does not know: %v, want notify.email", err)
	}
	if _, err := sesv2.NewFromConfig(cfg).CreateEmailIdentity(ctx, &sesv2.CreateEmailIdentityInput{EmailIdentity: &sender}); err != nil {
		t.Fatal(err)
	}
	if err := spec.Send(ctx, failure, time.UTC); err != nil {
		t.Errorf("SES: %v", err)
	}
	if err := (notify.Spec{SNS: "arn:aws:sns:ap-northeast-1:123456789012:none"}).Send(ctx, failure, time.UTC); !fault.HasCode(err, "notify.sns") {
		t.Errorf("a topic that is not there: %v, want notify.sns", err)
	}
	name := "t" + strconv.FormatInt(time.Now().UnixNano(), 36)
	made, err := sns.NewFromConfig(cfg).CreateTopic(ctx, &sns.CreateTopicInput{Name: &name})
	if err != nil {
		t.Fatal(err)
	}
	if err := (notify.Spec{SNS: *made.TopicArn, Language: "ja"}).Send(ctx, failure, time.UTC); err != nil {
		t.Errorf("SNS: %v", err)
	}
}
