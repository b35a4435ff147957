// Package secrets looks up what a config only refers to: in the environment and in files, at AWS Systems Manager and Secrets
// Manager, and at Google's Secret Manager. When that happens, and where the secret goes, is conf's matter.
package secrets

import (
	"encoding/json"
	"strings"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/fault"
)

// Stores are all that a reference can name. Nothing is reached before a secret is looked up. dir and lookupEnv are
// as in [conf.LocalStores].
func Stores(dir string, lookupEnv func(name string) (string, bool)) conf.Stores {
	s := conf.LocalStores(dir, lookupEnv)
	s["aws-ssm"] = parameter
	s["aws-sm"] = awsSecret
	s["gcp-sm"] = google{}.secret
	return s
}

// field takes one key out of a secret that is a JSON object, as those that RDS manages are; no field means all of it.
func field(text, name, store string) (string, error) {
	if name == "" {
		return text, nil
	}
	var object map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&object); err != nil { // whose message may repeat the secret
		return "", fault.New(fault.Config, "secret.field", "leave #"+name+" out, or store the secret as JSON", "the %s secret is not a JSON object with a field %q", store, name)
	}
	switch v := object[name].(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	}
	return "", fault.New(fault.Config, "secret.field", "check what comes after the #", "the %s secret has no text or number in a field %q", store, name)
}
