package state_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kitamae/kitamae/bucket"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/state"
	"github.com/kitamae/kitamae/state/statetest"
)

// TestKeyless keeps state in Google's storage from what looks like a Fargate task: its role's credentials are traded for a token, and every
// request carries that.
func TestKeyless(t *testing.T) {
	address := servertest.GCS(t)
	store, refused := os.Getenv("STORAGE_EMULATOR_HOST"), new(atomic.Int32)
	t.Setenv("STORAGE_EMULATOR_HOST", "") // with it the client would send no credentials at all
	to, err := url.Parse(store)
	if err != nil {
		t.Fatal(err)
	}
	behind := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }} // under its own name: it tells buckets from paths by that
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer traded-for-ASIATASK" {
			refused.Add(1)
			http.Error(w, `{"error":{"code":401,"message":"Invalid Credentials"}}`, http.StatusUnauthorized)
			return
		}
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	inTask(t)
	open := func(t *testing.T, parameters string) (*state.Bucket, error) {
		b, err := bucket.Open(t.Context(), address+"/teams/app?endpoint="+url.QueryEscape(front.URL)+parameters)
		if err != nil {
			return nil, err
		}
		s := state.NewBucket(b)
		s.TTL = shortTTL
		return s, nil
	}
	statetest.Run(t, func(t *testing.T) state.Store {
		s, err := open(t, "&auth=default")
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
	if refused.Load() > 0 {
		t.Errorf("%d requests came without the traded token", refused.Load())
	}
	s, err := open(t, "&auth=none")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get(t.Context(), "k"); !fault.HasCode(err, "bucket.denied") || refused.Load() == 0 {
		t.Errorf("without credentials: %v, want bucket.denied", err)
	}
}

// inTask makes the process look as if it ran in a Fargate task, with a federation's configuration as Google's default credentials. The
// token service is a fake that takes what is signed as the task's role.
func inTask(t *testing.T) {
	t.Helper()
	task := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"AccessKeyId": "ASIATASK", "SecretAccessKey": "s", "Token": "session",
			"Expiration": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
	}))
	t.Cleanup(task.Close)
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject, err := url.QueryUnescape(r.FormValue("subject_token"))
		if err != nil || !strings.Contains(subject, "Credential=ASIATASK/") || !strings.Contains(r.FormValue("scope"), "devstorage.read_write") {
			http.Error(w, fmt.Sprintf("asked for %q with %q", r.FormValue("scope"), subject), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"traded-for-ASIATASK","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(sts.Close)
	file := filepath.Join(t.TempDir(), "federation.json")
	text := fmt.Sprintf(`{"type":"external_account","audience":"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/aws/providers/fargate",
		"subject_token_type":"urn:ietf:params:aws:token-type:aws4_request","token_url":%q,"credential_source":{"environment_id":"aws1"}}`, sts.URL+"/v1/token")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": task.URL + "/role", "AWS_REGION": "ap-northeast-1", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
		"AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
		"GOOGLE_APPLICATION_CREDENTIALS": file,
	} {
		t.Setenv(name, value)
	}
}

// TestAddress refuses addresses that can't be meant.
func TestAddress(t *testing.T) {
	const federation = "projects/1/locations/global/workloadIdentityPools/aws/providers/fargate"
	for address, says := range map[string]string{
		"gs://b/f?federation=" + federation:                                  "",
		"gs://b/f?federation=" + federation + "&impersonate=a@b.iam.example": "",
		"gs://b/f?auth=default&endpoint=http://x":                            "",
		"gs://b/f?federation=projects/1":                                     "federation want projects/NUMBER",
		"gs://b/f?federation=" + federation + "&auth=default":                "can't stand beside",
		"gs://b/f?auth=key":                                                  "auth is default or none",
		"gs://b/f?region=x":                                                  "no parameter region",
		"az://b/f":                                                           "no object store",
	} {
		err := bucket.Check(address)
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", address, err, says)
		}
	}
}
