package googleauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"

	"cloud.google.com/go/auth"

	"github.com/kitamae/kitamae/fault"
)

// explained makes faults of what goes wrong when creds ask for a token. who names them, for people.
func explained(creds *auth.Credentials, who string) *auth.Credentials {
	return auth.NewCredentials(&auth.CredentialsOptions{
		JSON:                   creds.JSON(),
		TokenProvider:          explaining{creds, who},
		ProjectIDProvider:      auth.CredentialsPropertyFunc(creds.ProjectID),
		QuotaProjectIDProvider: auth.CredentialsPropertyFunc(creds.QuotaProjectID),
		UniverseDomainProvider: auth.CredentialsPropertyFunc(creds.UniverseDomain),
	})
}

type explaining struct {
	creds *auth.Credentials
	who   string
}

func (e explaining) Token(ctx context.Context) (*auth.Token, error) {
	token, err := e.creds.Token(ctx)
	if err != nil {
		return nil, explain(err, e.who)
	}
	return token, nil
}

// refusals are the ways Google says no, as it words them. The first that matches counts.
var refusals = []struct{ text, hint string }{
	{"exceeds the 127 bytes limit|google.subject.*127",
		"map google.subject to something shorter: `--attribute-mapping=google.subject=assertion.arn.extract('assumed-role/{role}/'),…`, or give the role a short name"},
	{"attribute condition", "compare the role's ARN with the provider's attribute condition"},
	{"invalid_target|Invalid value for \"audience\"|audience",
		"check project number, pool and provider: gcloud iam workload-identity-pools providers describe"},
	{"unauthorized_client|account.*not.*(allowed|match)", "check the AWS account number of the provider: gcloud iam workload-identity-pools providers describe"},
	{"iam.serviceAccounts.getAccessToken",
		"grant roles/iam.serviceAccountTokenCreator (for a federated identity roles/iam.workloadIdentityUser) on that service account to whoever acts as it"},
	{"has not been used in project|SERVICE_DISABLED|is disabled", "gcloud services enable sts.googleapis.com iamcredentials.googleapis.com"},
	{"NOT_FOUND|Gaia id not found|account not found", "check the service account's address"},
	{"Invalid JWT Signature|invalid_grant.*[Kk]ey", "the key was deleted or replaced: make a new one, or better use no key (`federation`)"},
	{"Token has been expired or revoked|invalid_rapt|reauth", "gcloud auth application-default login"},
	{"must be a short-lived|clock|issued in the future|Signature expired|Signature not yet current", "set this machine's clock"},
	{"invalid_grant", "check that the account exists, is enabled, and that the credentials are its latest"},
	{"PERMISSION_DENIED|status code 403", "grant what the message names"},
}

// description picks the sentence out of Google's answers.
var description = regexp.MustCompile(`"(?:error_description|message)"\s*:\s*"((?:[^"\\]|\\.)*)"`)

// explain makes a fault of a failed request for a token.
func explain(err error, who string) error {
	var known *fault.Error
	if errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	text := err.Error()
	short := errors.New(text)
	if m := description.FindStringSubmatch(text); m != nil {
		short = errors.New(strings.ReplaceAll(m[1], `\"`, `"`))
	}
	wrapped := fmt.Errorf("log in to Google as %s: %w", who, short)
	if passing(err, text) {
		return fault.Again(fault.Wrap(fault.Destination, "google.unreachable",
			"allow HTTPS to sts.googleapis.com, oauth2.googleapis.com and iamcredentials.googleapis.com from here", wrapped))
	}
	for _, r := range refusals {
		if regexp.MustCompile("(?s)" + r.text).MatchString(text) {
			return fault.Wrap(fault.Config, "google.refused", r.hint, wrapped)
		}
	}
	return fault.Wrap(fault.Config, "google.refused", "check `auth`", wrapped)
}

// passing says whether the same request may succeed later.
func passing(err error, text string) bool {
	var answer *auth.Error
	if errors.As(err, &answer) && answer.Temporary() {
		return true
	}
	var op net.Error
	return errors.As(err, &op) || regexp.MustCompile(`status code (5\d\d|429|408)`).MatchString(text)
}
