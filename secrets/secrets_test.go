package secrets

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
)

// useMoto makes AWS's SDK, in the code under test too, ask moto.
func useMoto(t *testing.T) aws.Config {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": servertest.Moto(t), "AWS_REGION": "ap-northeast-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "none",
		"AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func none(string) (string, bool) { return "", false }

func TestAWSStores(t *testing.T) {
	cfg := useMoto(t)
	stores := Stores(t.TempDir(), none)
	prefix := "/kitamae/" + strings.ToLower(t.Name()) + "/" + filepath.Base(t.TempDir()) + t.Name()
	param := func(name, value string, kind types.ParameterType) {
		if _, err := ssm.NewFromConfig(cfg).PutParameter(t.Context(), &ssm.PutParameterInput{
			Name: aws.String(prefix + name), Value: &value, Type: kind, Overwrite: aws.Bool(true),
		}); err != nil {
			t.Fatal(err)
		}
	}
	secret := func(name string, in secretsmanager.CreateSecretInput) {
		in.Name = aws.String(prefix + name)
		client := secretsmanager.NewFromConfig(cfg)
		_, _ = client.DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{SecretId: in.Name, ForceDeleteWithoutRecovery: aws.Bool(true)})
		if _, err := client.CreateSecret(t.Context(), &in); err != nil {
			t.Fatal(err)
		}
	}
	param("/secure", "pässwörd 北", types.ParameterTypeSecureString)
	param("/plain", "x", types.ParameterTypeString)
	secret("text", secretsmanager.CreateSecretInput{SecretString: aws.String("whole")})
	secret("bytes", secretsmanager.CreateSecretInput{SecretBinary: []byte("bin")})
	secret("rds", secretsmanager.CreateSecretInput{SecretString: aws.String(`{"username":"etl","password":"hunter2","port":3306,"none":null}`)})
	for _, tc := range []struct{ name, store, ref, want, code string }{
		{"a secure parameter is decrypted", "aws-ssm", prefix + "/secure", "pässwörd 北", ""},
		{"a plain parameter", "aws-ssm", prefix + "/plain", "x", ""},
		{"no such parameter", "aws-ssm", prefix + "/none", "", "secret.missing"},
		{"a secret whole", "aws-sm", prefix + "text", "whole", ""},
		{"a binary secret", "aws-sm", prefix + "bytes", "bin", ""},
		{"one field", "aws-sm", prefix + "rds#password", "hunter2", ""},
		{"a number's field", "aws-sm", prefix + "rds#port", "3306", ""},
		{"a field that is null", "aws-sm", prefix + "rds#none", "", "secret.field"},
		{"no such field", "aws-sm", prefix + "rds#pass", "", "secret.field"},
		{"a field of plain text", "aws-sm", prefix + "text#password", "", "secret.field"},
		{"no such secret", "aws-sm", prefix + "nothing", "", "secret.missing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := stores[tc.store](t.Context(), tc.ref)
			if got != tc.want || tc.code == "" && err != nil || tc.code != "" && !fault.HasCode(err, tc.code) {
				t.Errorf("%s = %q, %v (code %v); want %q, code %q", tc.ref, got, err, fault.From(err), tc.want, tc.code)
			}
			if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "whole")) {
				t.Errorf("the secret is shown: %v", err)
			}
		})
	}
}

// TestAWSRefusals meets what moto can't: a service that says no, one that is not there, no credentials at all.
func TestAWSRefusals(t *testing.T) {
	answer := func(status int, kind, message string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.Header().Set("X-Amzn-ErrorType", kind)
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(map[string]string{"__type": kind, "message": message})
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, tc := range []struct {
		name, endpoint string
		code           string
		retry          bool
	}{
		{"denied", answer(400, "AccessDeniedException", "User: arn:x is not authorized to perform: ssm:GetParameter"), "secret.denied", false},
		{"expired", answer(400, "ExpiredTokenException", "The security token included in the request is expired"), "aws.credentials", false},
		{"throttled", answer(400, "ThrottlingException", "Rate exceeded"), "secret.unreachable", true},
		{"broken", answer(503, "ServiceUnavailable", ""), "secret.unreachable", true},
		{"not there", closed.URL, "secret.unreachable", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			useMoto(t)
			t.Setenv("AWS_ENDPOINT_URL", tc.endpoint)
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			for _, store := range []string{"aws-ssm", "aws-sm"} {
				_, err := Stores("", none)[store](t.Context(), "/a")
				if !fault.HasCode(err, tc.code) || fault.Retryable(err) != tc.retry || fault.From(err).Hint == "" {
					t.Errorf("%s: %v: %+v, want code %s, retry %v and a hint", store, err, fault.From(err), tc.code, tc.retry)
				}
			}
		})
	}
	t.Run("no credentials", func(t *testing.T) {
		useMoto(t)
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "")
		t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
		if _, err := Stores("", none)["aws-ssm"](t.Context(), "/a"); !fault.HasCode(err, "aws.credentials") {
			t.Errorf("%v, want aws.credentials", err)
		}
	})
	t.Run("no region", func(t *testing.T) {
		useMoto(t)
		t.Setenv("AWS_REGION", "")
		t.Setenv("AWS_DEFAULT_REGION", "")
		t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
		if _, err := Stores("", none)["aws-ssm"](t.Context(), "/a"); !fault.HasCode(err, "aws.region") {
			t.Errorf("%v, want aws.region", err)
		}
	})
}

func TestGoogleStore(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		refuse := func(code int, message string) {
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": code, "message": message}})
		}
		switch r.URL.Path {
		case "/v1/projects/acme/secrets/db/versions/latest:access":
			_, _ = w.Write([]byte(`{"payload":{"data":"eyJwYXNzd29yZCI6Imh1bnRlcjIifQ=="}}`))
		case "/v1/projects/acme/secrets/db/versions/3:access":
			_, _ = w.Write([]byte(`{"payload":{"data":"b2xk"}}`))
		case "/v1/projects/acme/secrets/mine/versions/latest:access":
			refuse(403, "Permission 'secretmanager.versions.access' denied")
		default:
			refuse(404, "Secret not found")
		}
	}))
	defer server.Close()
	for _, tc := range []struct{ name, ref, want, code string }{
		{"latest", "projects/acme/secrets/db", `{"password":"hunter2"}`, ""},
		{"a field", "projects/acme/secrets/db#password", "hunter2", ""},
		{"a version", "projects/acme/secrets/db/versions/3", "old", ""},
		{"not mine", "projects/acme/secrets/mine", "", "secret.denied"},
		{"not there", "projects/acme/secrets/none", "", "secret.missing"},
		{"no name of a secret", "db", "", "secret.missing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := google{endpoint: server.URL}.secret(t.Context(), tc.ref)
			if got != tc.want || tc.code == "" && err != nil || tc.code != "" && !fault.HasCode(err, tc.code) {
				t.Errorf("%s = %q, %v; want %q, code %q", tc.ref, got, err, tc.want, tc.code)
			}
		})
	}
}

func TestLocalStoresAreThere(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pw"), bytes.TrimSpace([]byte("s3cret")), 0o600); err != nil {
		t.Fatal(err)
	}
	stores := Stores(dir, func(string) (string, bool) { return "from env", true })
	for store, want := range map[string]string{"env": "from env", "file": "s3cret"} {
		if got, err := stores[store](t.Context(), "pw"); err != nil || got != want {
			t.Errorf("%s: %q, %v", store, got, err)
		}
	}
}
