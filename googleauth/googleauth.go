// Package googleauth finds the credentials that Google's clients log in with, from what a config says under `auth:`.
// On AWS it trades the machine's role for Google's tokens, so that no key file is needed anywhere.
package googleauth

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/credentials/impersonate"
	"cloud.google.com/go/auth/httptransport"
	"google.golang.org/api/option"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/fault"
)

// Spec says who asks Google. A single word stands for `use`.
type Spec struct {
	// Use is default (application default credentials: the file in GOOGLE_APPLICATION_CREDENTIALS, gcloud's, or the machine's
	// own on Google Cloud) or none, which is for emulators.
	Use string `yaml:"use" json:"use" conf:"enum=default|none,word"`
	// Credentials is the content of a credentials file of Google's, by a secret reference such as secret:file:key.json: a
	// service account's key, gcloud's user credentials or a federation's configuration.
	Credentials conf.Secret `yaml:"credentials" json:"credentials" conf:"secret"`
	// Federation is the workload identity provider that trusts this machine's AWS role, in place of any file:
	// projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER.
	Federation string `yaml:"federation" json:"federation"`
	// Impersonate is the e-mail address of the service account to act as, where the credentials themselves have no rights.
	Impersonate string `yaml:"impersonate" json:"impersonate"`
}

// The values of Spec.Use.
const (
	UseDefault = "default"
	UseNone    = "none"
)

const providerPrefix = "//iam.googleapis.com/"

// CheckConf refuses what contradicts itself.
func (s *Spec) CheckConf(bad func(key, format string, args ...any)) {
	if s.Federation != "" {
		if wrong := wrongProvider(s.provider()); wrong != "" {
			bad("federation", "%s", wrong)
		}
	}
	if name, domain, _ := strings.Cut(s.Impersonate, "@"); s.Impersonate != "" && (name == "" || domain == "" || strings.Contains(domain, "@")) {
		bad("impersonate", "want a service account's e-mail address, as in etl@acme-data.iam.gserviceaccount.com")
	}
	if s.Federation != "" && s.Credentials != "" {
		bad("federation", "can't stand beside credentials")
	}
	if s.Use != "" && (s.Federation != "" || s.Credentials != "") {
		bad("use", "can't stand beside credentials or federation")
	}
	if s.Use == UseNone && s.Impersonate != "" {
		bad("impersonate", "needs credentials: use is none")
	}
}

// provider is the federation's resource name, however much of its address was written.
func (s *Spec) provider() string {
	return strings.TrimPrefix(strings.TrimPrefix(s.Federation, "https:"), providerPrefix)
}

// wrongProvider says what is wrong with a provider's name, by Google's rules for its parts; "" for nothing. Whether there is such a one only Google knows.
func wrongProvider(name string) string {
	const form = "want projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"
	if strings.HasSuffix(name, ".json") || strings.HasPrefix(name, "{") {
		return "a credentials file goes into auth.credentials as secret:file:…, or into GOOGLE_APPLICATION_CREDENTIALS; here " + form
	}
	parts := strings.Split(name, "/")
	fixed := []string{"projects", "", "locations", "global", "workloadIdentityPools", "", "providers", ""}
	if len(parts) != len(fixed) {
		return form
	}
	for i, want := range fixed {
		if want != "" && parts[i] != want || parts[i] == "" {
			return form
		}
	}
	if strings.Trim(parts[1], "0123456789") != "" {
		return form + ": the project by its number, not its name " + parts[1]
	}
	for _, i := range []int{5, 7} {
		if id := parts[i]; len(id) > 32 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.HasPrefix(id, "gcp-") {
			return fmt.Sprintf("%q can't be the name of a pool or a provider: at most 32 lower-case letters, digits and hyphens, not beginning with gcp-", id)
		}
	}
	return ""
}

// Options are how one of Google's clients logs in for scopes. emulator says that the client talks to an endpoint of the
// config's own, which by default gets no credentials.
func Options(ctx context.Context, s Spec, emulator bool, scopes ...string) ([]option.ClientOption, error) {
	if s.Use == UseNone || emulator && s == (Spec{}) {
		return []option.ClientOption{option.WithoutAuthentication()}, nil
	}
	creds, err := Credentials(ctx, s, scopes...)
	if err != nil {
		return nil, err
	}
	return []option.ClientOption{option.WithAuthCredentials(creds)}, nil
}

// Credentials are those of s. They are fetched when first used, cached, and refreshed before they expire; what goes wrong
// then is a fault too.
func Credentials(ctx context.Context, s Spec, scopes ...string) (*auth.Credentials, error) {
	return finder{ctx: ctx}.find(s, scopes)
}

// cloudPlatform is the scope that impersonation is asked with.
const cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

// finder makes credentials. Its transport carries token requests, nil for the default one.
type finder struct {
	ctx       context.Context
	transport http.RoundTripper
}

func (f finder) find(s Spec, scopes []string) (*auth.Credentials, error) {
	asked := scopes
	if s.Impersonate != "" {
		asked = []string{cloudPlatform}
	}
	creds, who, err := f.own(s, asked)
	if err != nil {
		return nil, err
	}
	if s.Impersonate == "" {
		return explained(creds, who), nil
	}
	client, err := httptransport.NewClient(&httptransport.Options{Credentials: explained(creds, who), BaseRoundTripper: f.transport})
	if err != nil {
		return nil, fmt.Errorf("a client for impersonation: %w", err)
	}
	acting, err := impersonate.NewCredentials(&impersonate.CredentialsOptions{TargetPrincipal: s.Impersonate, Scopes: scopes, Client: client})
	if err != nil {
		return nil, fault.Wrap(fault.Config, "google.credentials", "check `impersonate`", err)
	}
	return explained(acting, "service account "+s.Impersonate), nil
}

// own are the credentials before any impersonation, and what to call them.
func (f finder) own(s Spec, scopes []string) (creds *auth.Credentials, who string, err error) {
	switch {
	case s.Federation != "":
		account := &externalAccount{Audience: providerPrefix + s.provider(), SubjectTokenType: awsTokenType}
		return f.fromAWS(account, scopes)
	case s.Credentials != "":
		return f.fromJSON([]byte(s.Credentials.Reveal()), "`credentials`", scopes)
	}
	if name := os.Getenv("GOOGLE_APPLICATION_CREDENTIALS"); name != "" {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, "", fault.Wrap(fault.Config, "google.credentials", "check GOOGLE_APPLICATION_CREDENTIALS", fmt.Errorf("application default credentials: %w", err))
		}
		return f.fromJSON(text, name+" (GOOGLE_APPLICATION_CREDENTIALS)", scopes)
	}
	creds, err = credentials.DetectDefault(&credentials.DetectOptions{Scopes: scopes, Client: f.client()})
	if err != nil {
		return nil, "", fault.Wrap(fault.Config, "google.no_credentials",
			"on AWS set `auth: {federation: projects/…}`; on your machine run `gcloud auth application-default login`",
			fmt.Errorf("there are no application default credentials here: %w", err))
	}
	return creds, "the application default credentials", nil
}

// tokenTimeout bounds one request for a token.
const tokenTimeout = 30 * time.Second

// client carries requests for tokens; nil lets the library choose.
func (f finder) client() *http.Client {
	if f.transport == nil {
		return nil
	}
	return &http.Client{Transport: f.transport, Timeout: tokenTimeout}
}
