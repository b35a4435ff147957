package googleauth

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/api/bigquery/v2"
	"google.golang.org/api/option"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/fault"
)

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "credentials.json")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// key is a service account's key file.
func key(t *testing.T) string {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "acme", "private_key_id": "k1", "client_email": "etl@acme.iam.gserviceaccount.com", "client_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": "https://oauth2.googleapis.com/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const user = `{"type":"authorized_user","client_id":"c","client_secret":"cs","refresh_token":"rt","quota_project_id":"billed"}`

// oauth is a fake of Google's token endpoint.
func oauth(t *testing.T, status int, body string) reroute {
	return reroute{t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host != "oauth2.googleapis.com" {
			iam(t, "Bearer own")(w, r)
			return
		}
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, strings.ReplaceAll(body, "$GRANT", r.PostForm.Get("grant_type")))
	}}
}

func TestEveryKind(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	const granted = `{"access_token":"own","token_type":"Bearer","expires_in":3600}`
	byVariable := key(t)
	for _, tc := range []struct {
		name     string
		spec     Spec
		variable string
		want     string
	}{
		{"service account's key", Spec{Credentials: conf.Secret(key(t))}, "", "own"},
		{"service account's key by the variable", Spec{}, byVariable, "own"},
		{"user", Spec{Credentials: conf.Secret(user)}, "", "own"},
		{"key, impersonating", Spec{Credentials: conf.Secret(key(t)), Impersonate: "loader@acme.iam.gserviceaccount.com"}, "", "acting for " + scope},
		{"default, impersonating", Spec{Use: UseDefault, Impersonate: "loader@acme.iam.gserviceaccount.com"}, user, "acting for " + scope},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.variable != "" {
				t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", write(t, tc.variable))
			}
			creds, err := finder{ctx: t.Context(), transport: oauth(t, 200, granted)}.find(tc.spec, []string{scope})
			if err != nil {
				t.Fatal(err)
			}
			if token, err := creds.Token(t.Context()); err != nil || token.Value != tc.want {
				t.Errorf("token %+v, %v; want %s", token, err, tc.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	for _, tc := range []struct {
		name       string
		spec       Spec
		status     int
		body       string
		code, hint string
	}{
		{"key deleted", Spec{Credentials: conf.Secret(key(t))}, 400, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`, "google.refused", "the key was deleted"},
		{"account deleted", Spec{Credentials: conf.Secret(key(t))}, 400, `{"error":"invalid_grant","error_description":"Invalid grant: account not found"}`, "google.refused", "address"},
		{"clock", Spec{Credentials: conf.Secret(key(t))}, 400, `{"error":"invalid_grant","error_description":"Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."}`, "google.refused", "clock"},
		{"user logged out", Spec{Credentials: conf.Secret(user)}, 400, `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`, "google.refused", "gcloud auth application-default login"},
		{"Google down", Spec{Credentials: conf.Secret(user)}, 503, `{}`, "google.unreachable", "allow HTTPS"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			creds, err := finder{ctx: t.Context(), transport: oauth(t, tc.status, tc.body)}.find(tc.spec, []string{scope})
			if err != nil {
				t.Fatal(err)
			}
			_, err = creds.Token(t.Context())
			if f := fault.From(err); f == nil || f.Code != tc.code || !strings.Contains(f.Hint, tc.hint) {
				t.Errorf("%v: %+v, want code %s, hint with %q", err, f, tc.code, tc.hint)
			}
		})
	}
	t.Run("may not impersonate", func(t *testing.T) {
		f := finder{ctx: t.Context(), transport: reroute{t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if r.URL.Host == "oauth2.googleapis.com" {
				fmt.Fprint(w, `{"access_token":"own","token_type":"Bearer","expires_in":3600}`)
				return
			}
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"error":{"code":403,"message":"Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).","status":"PERMISSION_DENIED"}}`)
		}}}
		creds, err := f.find(Spec{Credentials: conf.Secret(user), Impersonate: "loader@acme.iam.gserviceaccount.com"}, []string{scope})
		if err != nil {
			t.Fatal(err)
		}
		_, err = creds.Token(t.Context())
		if f := fault.From(err); f == nil || f.Code != "google.refused" || !strings.Contains(f.Hint, "serviceAccountTokenCreator") || !strings.Contains(err.Error(), "loader@acme") {
			t.Errorf("%v: %+v", err, f)
		}
	})
}

func TestBadFiles(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	for _, tc := range []struct{ name, text, says string }{
		{"not JSON", "-----BEGIN hunter2", "is not the JSON"},
		{"a path instead of the content", "key.json", "is not the JSON"},
		{"client secrets", `{"installed":{"client_id":"x"}}`, `of the type ""`},
		{"unknown type", `{"type":"hunter"}`, `of the type "hunter"`},
		{"no key in it", `{"type":"service_account","client_email":"a@b"}`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			creds, err := Credentials(t.Context(), Spec{Credentials: conf.Secret(tc.text)}, scope)
			if err == nil {
				_, err = creds.Token(t.Context())
			}
			if f := fault.From(err); f == nil || f.Kind != fault.Config || f.Hint == "" || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v: %+v", err, f)
			}
		})
	}
	t.Run("the variable names no file", func(t *testing.T) {
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
		if _, err := Credentials(t.Context(), Spec{}, scope); !fault.HasCode(err, "google.credentials") || !strings.Contains(err.Error(), "/nowhere/key.json") {
			t.Error(err)
		}
	})
	t.Run("nothing at all", func(t *testing.T) {
		t.Setenv("HOME", t.TempDir())
		t.Setenv("CLOUDSDK_CONFIG", t.TempDir())
		if _, err := Credentials(t.Context(), Spec{}, scope); !fault.HasCode(err, "google.no_credentials") {
			t.Error(err)
		}
	})
}

// TestClientsSend holds that a client of Google's sends what the spec has, and nothing to an emulator.
func TestClientsSend(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	var authorization string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization = r.Header.Get("Authorization")
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"datasets":[]}`)
	}))
	defer server.Close()
	send := func(opts []option.ClientOption) string {
		t.Helper()
		authorization = "not asked"
		service, err := bigquery.NewService(t.Context(), append(opts, option.WithEndpoint(server.URL))...)
		if err == nil {
			_, err = service.Datasets.List("acme").Do()
		}
		if err != nil {
			t.Fatal(err)
		}
		return authorization
	}
	for name, opts := range map[string]func() ([]option.ClientOption, error){
		"none":     func() ([]option.ClientOption, error) { return Options(t.Context(), Spec{Use: UseNone}, false, scope) },
		"emulator": func() ([]option.ClientOption, error) { return Options(t.Context(), Spec{}, true, scope) },
	} {
		o, err := opts()
		if err != nil {
			t.Fatal(err)
		}
		if got := send(o); got != "" {
			t.Errorf("%s: sent %q", name, got)
		}
	}
	creds, err := finder{ctx: t.Context(), transport: oauth(t, 200, `{"access_token":"own","token_type":"Bearer","expires_in":3600}`)}.find(Spec{Credentials: conf.Secret(key(t))}, []string{scope})
	if err != nil {
		t.Fatal(err)
	}
	if got := send([]option.ClientOption{option.WithAuthCredentials(creds)}); got != "Bearer own" {
		t.Errorf("sent %q", got)
	}
}

func TestCheckConf(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"word", "auth: none", ""},
		{"federation", "auth: {federation: " + strings.TrimPrefix(audience, "//iam.googleapis.com/") + "}", ""},
		{"impersonated default", "auth: {impersonate: a@b}", ""},
		{"federation by the pool's name", "auth: {federation: projects/acme/locations/global/workloadIdentityPools/aws/providers/x}", "k.yml:1:8: auth.federation: want projects/NUMBER/locations"},
		{"federation by a file", "auth: {federation: key.json}", "k.yml:1:8: auth.federation: a credentials file goes into auth.credentials"},
		{"a pool that can't be", "auth: {federation: projects/1/locations/global/workloadIdentityPools/My_Pool/providers/x}", "\"My_Pool\" can't be the name of a pool"},
		{"a reserved name", "auth: {federation: projects/1/locations/global/workloadIdentityPools/aws/providers/gcp-x}", "\"gcp-x\" can't be the name"},
		{"no address", "auth: {impersonate: etl}", "k.yml:1:8: auth.impersonate: want a service account's e-mail address"},
		{"two at once", "auth: {credentials: x, federation: " + audience[2:] + "}", "can't stand beside credentials"},
		{"none with credentials", "auth: {use: none, credentials: x}", "auth.use: can't stand beside"},
		{"none, impersonating", "auth: {use: none, impersonate: x}", "auth.impersonate: needs credentials"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var s struct {
				Auth Spec `yaml:"auth"`
			}
			d := conf.Parse(conf.Input{Name: "k.yml", Data: []byte(tc.in)})
			d.Decode(&s)
			err := d.Err()
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}
