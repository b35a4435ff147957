package googleauth

import (
	"encoding/json"
	"fmt"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"

	"github.com/kitamae/kitamae/fault"
)

// fileHead is what all of Google's credentials files begin with, and what is worth telling of them.
type fileHead struct {
	Type        string `json:"type"`
	ClientEmail string `json:"client_email"`
}

// fromJSON reads a credentials file's content. where names it, for people.
func (f finder) fromJSON(text []byte, where string, scopes []string) (*auth.Credentials, string, error) {
	var head fileHead
	if err := json.Unmarshal(text, &head); err != nil {
		// the message of the JSON package may repeat what it read
		return nil, "", fault.New(fault.Config, "google.credentials", "give the file's whole content, as in secret:file:key.json", "%s is not the JSON of a credentials file", where)
	}
	kind := credentials.CredType(head.Type)
	var who string
	switch kind {
	case credentials.ServiceAccount:
		who = "service account " + head.ClientEmail
	case credentials.AuthorizedUser:
		who = "the user of " + where
	case credentials.ExternalAccount:
		return f.fromExternalAccount(text, where, scopes)
	case credentials.ImpersonatedServiceAccount, credentials.ExternalAccountAuthorizedUser:
		who = "the account of " + where
	default:
		return nil, "", fault.New(fault.Config, "google.credentials",
			"give a service account's key, `gcloud auth application-default login`'s file or `gcloud iam workload-identity-pools create-cred-config`'s",
			"%s holds credentials of the type %q, which log no program in", where, head.Type)
	}
	creds, err := credentials.NewCredentialsFromJSON(kind, text, &credentials.DetectOptions{Scopes: scopes, Client: f.client()})
	if err != nil {
		return nil, "", fault.Wrap(fault.Config, "google.credentials", "fetch the file again from where it came", fmt.Errorf("%s: %w", where, err))
	}
	return creds, who, nil
}
