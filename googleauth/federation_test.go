package googleauth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kitamae/kitamae/awsauth"
	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/fault"
)

const (
	audience = "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/aws/providers/fargate"
	scope    = "https://www.googleapis.com/auth/bigquery"
)

// task is a fake of what a Fargate task sees: the credentials endpoint of ECS.
type task struct {
	asked  atomic.Int32
	secret string
	life   time.Duration
}

func (k *task) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/role" || r.Header.Get("Authorization") != "task-token" {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	k.asked.Add(1)
	_ = json.NewEncoder(w).Encode(map[string]string{
		"AccessKeyId": "ASIATASK", "SecretAccessKey": k.secret, "Token": "session/+=",
		"Expiration": time.Now().Add(k.life).UTC().Format(time.RFC3339),
	})
}

// inTask makes the process look as if it ran in a Fargate task.
func inTask(t *testing.T, k *task) {
	t.Helper()
	server := httptest.NewServer(k)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": server.URL + "/role", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "task-token", "AWS_REGION": "ap-northeast-1",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "GOOGLE_APPLICATION_CREDENTIALS": "",
	} {
		t.Setenv(name, value)
	}
}

// reroute sends requests for Google's hosts to a handler of the test's.
type reroute struct {
	t       *testing.T
	handler func(w http.ResponseWriter, r *http.Request)
}

func (f reroute) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	f.handler(w, r)
	return w.Result(), nil
}

// checkSigned recomputes the signature of the subject token's request, as AWS would.
func checkSigned(t *testing.T, subject, secret string) {
	t.Helper()
	text, err := url.QueryUnescape(subject)
	if err != nil {
		t.Error(err)
		return
	}
	var req struct {
		URL, Method string
		Headers     []struct{ Key, Value string }
	}
	if err := json.Unmarshal([]byte(text), &req); err != nil {
		t.Errorf("the subject token is not a request: %v", err)
		return
	}
	if want := "https://sts.ap-northeast-1.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"; req.URL != want || req.Method != "POST" {
		t.Errorf("signed %s %s, want POST %s", req.Method, req.URL, want)
	}
	headers := map[string]string{}
	for _, h := range req.Headers {
		headers[strings.ToLower(h.Key)] = h.Value
	}
	if headers["x-goog-cloud-target-resource"] != audience || headers["x-amz-security-token"] != "session/+=" {
		t.Errorf("headers %v", headers)
	}
	date := headers["x-amz-date"]
	if at, err := time.Parse("20060102T150405Z", date); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("signed at %q", date)
	}
	_, rest, _ := strings.Cut(headers["authorization"], "SignedHeaders=")
	signed, signature, _ := strings.Cut(rest, ", Signature=")
	canonical := "POST\n/\nAction=GetCallerIdentity&Version=2011-06-15\n"
	for name := range strings.SplitSeq(signed, ";") {
		canonical += name + ":" + headers[name] + "\n"
	}
	canonical += "\n" + signed + "\n" + hash("")
	region := date[:8] + "/ap-northeast-1/sts/aws4_request"
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(region, "/") {
		key = mac(key, part)
	}
	want := hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256\n"+date+"\n"+region+"\n"+hash(canonical)))
	if signature != want {
		t.Errorf("the signature is %s, AWS would compute %s", signature, want)
	}
	if want := "AWS4-HMAC-SHA256 Credential=ASIATASK/" + region; !strings.HasPrefix(headers["authorization"], want) {
		t.Errorf("authorization %q, want %q…", headers["authorization"], want)
	}
	for _, must := range []string{"host", "x-amz-date", "x-amz-security-token", "x-goog-cloud-target-resource"} {
		if !strings.Contains(";"+signed+";", ";"+must+";") {
			t.Errorf("%s is not signed: %s", must, signed)
		}
	}
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}

// sts is a fake of Google's Security Token Service that checks what it is asked.
func sts(t *testing.T, secret string, exchanged *atomic.Int32, next func(w http.ResponseWriter, r *http.Request)) reroute {
	return reroute{t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host != "sts.googleapis.com" {
			next(w, r)
			return
		}
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		for name, want := range map[string]string{
			"audience": audience, "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token_type": awsTokenType,
			"requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
		} {
			if got := r.PostForm.Get(name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		checkSigned(t, r.PostForm.Get("subject_token"), secret)
		n := exchanged.Add(1)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"federated-%d for %s","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}`, n, r.PostForm.Get("scope"))
	}}
}

func nobody(t *testing.T) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("asked %s", r.URL)
		http.Error(w, "no", http.StatusTeapot)
	}
}

// credJSON is as gcloud iam workload-identity-pools create-cred-config --aws writes it.
const credJSON = `{"universe_domain":"googleapis.com","type":"external_account","audience":"` + audience + `",
"subject_token_type":"urn:ietf:params:aws:token-type:aws4_request","token_url":"https://sts.googleapis.com/v1/token",
"credential_source":{"environment_id":"aws1","region_url":"http://169.254.169.254/latest/meta-data/placement/availability-zone",
"url":"http://169.254.169.254/latest/meta-data/iam/security-credentials",
"regional_cred_verification_url":"https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"}%s}`

func TestFederationFromATask(t *testing.T) {
	short := strings.TrimPrefix(audience, "//iam.googleapis.com/")
	for name, spec := range map[string]Spec{
		"the provider's name":       {Federation: short},
		"the provider's audience":   {Federation: audience},
		"with https":                {Federation: "https:" + audience},
		"gcloud's configuration":    {Credentials: conf.Secret(fmt.Sprintf(credJSON, ""))},
		"gcloud's, by the variable": {Use: UseDefault},
	} {
		t.Run(name, func(t *testing.T) {
			k := &task{secret: "wJalr/SECRET+", life: time.Hour}
			inTask(t, k)
			if spec.Use == UseDefault {
				t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", write(t, fmt.Sprintf(credJSON, "")))
			}
			var exchanged atomic.Int32
			f := finder{ctx: t.Context(), transport: sts(t, k.secret, &exchanged, nobody(t))}
			creds, err := f.find(spec, []string{scope})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				token, err := creds.Token(t.Context())
				if err != nil || token.Value != "federated-1 for "+scope {
					t.Fatalf("token %+v, %v", token, err)
				}
			}
			if k.asked.Load() != 1 || exchanged.Load() != 1 {
				t.Errorf("asked the task %d times and Google %d times for one token", k.asked.Load(), exchanged.Load())
			}
		})
	}
}

// TestFederationImpersonates takes the detour by a service account, both as gcloud's file and as our key say it.
func TestFederationImpersonates(t *testing.T) {
	const address = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/loader@acme.iam.gserviceaccount.com:generateAccessToken"
	for name, spec := range map[string]Spec{
		"gcloud's configuration": {Credentials: conf.Secret(fmt.Sprintf(credJSON, `,"service_account_impersonation_url":"`+address+`"`))},
		"our key":                {Federation: audience, Impersonate: "loader@acme.iam.gserviceaccount.com"},
	} {
		t.Run(name, func(t *testing.T) {
			k := &task{secret: "s", life: time.Hour}
			inTask(t, k)
			var exchanged atomic.Int32
			f := finder{ctx: t.Context(), transport: sts(t, k.secret, &exchanged, iam(t, "Bearer federated-1 for "+cloudPlatform))}
			creds, err := f.find(spec, []string{scope})
			if err != nil {
				t.Fatal(err)
			}
			if token, err := creds.Token(t.Context()); err != nil || token.Value != "acting for "+scope {
				t.Errorf("token %+v, %v", token, err)
			}
		})
	}
}

// iam is a fake of Google's IAM Credentials API.
func iam(t *testing.T, bearer string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		var ask struct{ Scope []string }
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
			t.Error(err)
		}
		if r.URL.Host != "iamcredentials.googleapis.com" || !strings.Contains(r.URL.Path, "loader@acme.iam.gserviceaccount.com") || r.Header.Get("Authorization") != bearer {
			t.Errorf("asked %s as %q, want as %q", r.URL, r.Header.Get("Authorization"), bearer)
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"accessToken": "acting for " + strings.Join(ask.Scope, " "), "expireTime": time.Now().Add(time.Hour).Format(time.RFC3339)})
	}
}

func TestFederationRefused(t *testing.T) {
	refuse := func(status int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	for _, tc := range []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request)
		code   string
		hint   string
		says   string
		retry  bool
	}{
		{"pool unknown", refuse(400, `{"error":"invalid_target","error_description":"The target service indicated by the \"audience\" parameters is invalid. This might either be because the pool or provider is disabled or deleted or because it doesn't exist."}`),
			"google.refused", "pool and provider", `indicated by the "audience" parameters is invalid`, false},
		{"condition", refuse(403, `{"error":"unauthorized_client","error_description":"The given credential is rejected by the attribute condition."}`),
			"google.refused", "attribute condition", "rejected by the attribute condition", false},
		{"long subject", refuse(400, `{"error":"invalid_request","error_description":"The size of mapped attribute google.subject exceeds the 127 bytes limit. Either modify your attribute mapping or the incoming assertion to produce a mapped attribute that is less than 127 bytes."}`),
			"google.refused", "google.subject", "127 bytes", false},
		{"old signature", refuse(400, `{"error":"invalid_grant","error_description":"Received invalid AWS response of type SignatureDoesNotMatch with error message: Signature expired: 20260101T000000Z is now earlier than"}`),
			"google.refused", "clock", "Signature expired", false},
		{"STS down", refuse(503, `backend error`), "google.unreachable", "sts.googleapis.com", "503", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inTask(t, &task{secret: "hush", life: time.Hour})
			creds, err := finder{ctx: t.Context(), transport: reroute{t, tc.answer}}.find(Spec{Federation: audience}, []string{scope})
			if err != nil {
				t.Fatal(err)
			}
			_, err = creds.Token(t.Context())
			f := fault.From(err)
			if f == nil || f.Code != tc.code || !strings.Contains(f.Hint, tc.hint) || !strings.Contains(err.Error(), tc.says) || f.Retry != tc.retry {
				t.Errorf("%v: %+v, want code %s, hint with %q, retry %v", err, f, tc.code, tc.hint, tc.retry)
			}
			if strings.Contains(fmt.Sprint(err), "hush") || strings.Contains(fmt.Sprint(err), "session/") {
				t.Errorf("a secret is shown: %v", err)
			}
		})
	}
}

// TestFederationWithoutARole is a machine that AWS gave nothing.
func TestFederationWithoutARole(t *testing.T) {
	inTask(t, &task{})
	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "wrong")
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	creds, err := finder{ctx: t.Context(), transport: reroute{t, nobody(t)}}.find(Spec{Federation: audience}, []string{scope})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := creds.Token(t.Context()); !fault.HasCode(err, "aws.credentials") {
		t.Errorf("%v, want aws.credentials", err)
	}
	t.Setenv("AWS_REGION", "")
	if _, err := (finder{ctx: t.Context()}).find(Spec{Federation: audience}, []string{scope}); !fault.HasCode(err, "aws.region") {
		t.Errorf("%v, want aws.region", err)
	}
}

// TestRoleIsFetchedAgainWhenItRanOut holds that AWS's credentials are cached while they live, and no longer.
func TestRoleIsFetchedAgainWhenItRanOut(t *testing.T) {
	for name, tc := range map[string]struct {
		life time.Duration
		want int32
	}{"alive": {time.Hour, 1}, "ran out": {-time.Second, 3}} {
		t.Run(name, func(t *testing.T) {
			k := &task{secret: "s", life: tc.life}
			inTask(t, k)
			cfg, err := awsauth.Config(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if c, err := (role{cfg}).AwsSecurityCredentials(t.Context(), nil); err != nil || c.SecretAccessKey != "s" {
					t.Fatalf("%+v, %v", c, err)
				}
			}
			if k.asked.Load() != tc.want {
				t.Errorf("asked the task %d times, want %d", k.asked.Load(), tc.want)
			}
		})
	}
}
