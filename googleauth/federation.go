package googleauth

import (
	"context"
	"encoding/json"
	"fmt"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/credentials/externalaccount"
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/kitamae/kitamae/awsauth"
	"github.com/kitamae/kitamae/fault"
)

// awsTokenType marks a federation whose subject token is a signed request to AWS.
const awsTokenType = "urn:ietf:params:aws:token-type:aws4_request"

// externalAccount is what matters of the JSON that `gcloud iam workload-identity-pools create-cred-config` writes. Its
// credential_source, which knows neither ECS nor EKS, is not looked at for AWS.
type externalAccount struct {
	Audience         string `json:"audience"`
	SubjectTokenType string `json:"subject_token_type"`
	TokenURL         string `json:"token_url"`
	ImpersonationURL string `json:"service_account_impersonation_url"`
	Impersonation    struct {
		LifetimeSeconds int `json:"token_lifetime_seconds"`
	} `json:"service_account_impersonation"`
	QuotaProject   string `json:"quota_project_id"`
	UniverseDomain string `json:"universe_domain"`
}

func (f finder) fromExternalAccount(text []byte, where string, scopes []string) (*auth.Credentials, string, error) {
	var account externalAccount
	if err := json.Unmarshal(text, &account); err != nil {
		return nil, "", fault.Wrap(fault.Config, "google.credentials", "make the file anew: gcloud iam workload-identity-pools create-cred-config", fmt.Errorf("%s: %w", where, err))
	}
	if account.SubjectTokenType == awsTokenType {
		return f.fromAWS(&account, scopes)
	}
	creds, err := credentials.NewCredentialsFromJSON(credentials.ExternalAccount, text, &credentials.DetectOptions{Scopes: scopes, Client: f.client()})
	if err != nil {
		return nil, "", fault.Wrap(fault.Config, "google.credentials", "make the file anew: gcloud iam workload-identity-pools create-cred-config", fmt.Errorf("%s: %w", where, err))
	}
	return creds, "the federated identity of " + where, nil
}

// fromAWS trades AWS credentials, wherever AWS's own SDK finds them, for Google's.
func (f finder) fromAWS(account *externalAccount, scopes []string) (*auth.Credentials, string, error) {
	cfg, err := awsauth.Config(f.ctx, "")
	if err != nil {
		return nil, "", err
	}
	creds, err := externalaccount.NewCredentials(&externalaccount.Options{
		Audience: account.Audience, SubjectTokenType: account.SubjectTokenType, TokenURL: account.TokenURL,
		ServiceAccountImpersonationURL:             account.ImpersonationURL,
		ServiceAccountImpersonationLifetimeSeconds: account.Impersonation.LifetimeSeconds,
		QuotaProjectID: account.QuotaProject, UniverseDomain: account.UniverseDomain,
		Scopes: scopes, AwsSecurityCredentialsProvider: role{cfg}, Client: f.client(),
	})
	if err != nil {
		return nil, "", fault.Wrap(fault.Config, "google.credentials", "make the file anew: gcloud iam workload-identity-pools create-cred-config", err)
	}
	return creds, "this machine's AWS role through " + account.Audience, nil
}

// role hands Google's library the credentials that AWS's finds, which are cached and refreshed there.
type role struct{ cfg aws.Config }

var _ externalaccount.AwsSecurityCredentialsProvider = role{}

func (r role) AwsRegion(context.Context, *externalaccount.RequestOptions) (string, error) {
	return r.cfg.Region, nil
}

func (r role) AwsSecurityCredentials(ctx context.Context, _ *externalaccount.RequestOptions) (*externalaccount.AwsSecurityCredentials, error) {
	c, err := awsauth.Credentials(ctx, r.cfg)
	if err != nil {
		return nil, err
	}
	return &externalaccount.AwsSecurityCredentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}, nil
}
