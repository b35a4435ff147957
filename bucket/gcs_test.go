package bucket

import (
	"strings"
	"testing"
)

// TestParameters refuses what follows the question mark of an address and would be left out, or be refused only in the cloud.
func TestParameters(t *testing.T) {
	const provider = "projects/1/locations/global/workloadIdentityPools/aws/providers/fargate"
	for address, says := range map[string]string{
		"gs://b/f?federation=" + provider:                             "",
		"gs://b/f?federation=":                                        "federation wants one value",
		"gs://b/f?federation=" + provider + "&federation=" + provider: "federation wants one value",
		"gs://b/f?federation=key.json":                                "a credentials file goes into",
		"gs://b/f?federation=" + provider + ";x=1":                    "what follows the question mark",
		"gs://b/f?federation=" + provider + "&impersonate=etl":        "want a service account's e-mail address",
		"gs://b/f?auth=":                                              "auth wants one value",
	} {
		if err := Check(address); (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", address, err, says)
		}
	}
}
