package postgres

import (
	"strings"
	"testing"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/sqlkit"
)

// TestIAM holds that a token, not the password, is what goes to the server, which here does not know it; and that it does not go
// anywhere unverified.
func TestIAM(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_REGION": "ap-northeast-1", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
	s := servertest.Postgres(t)
	spec := specFor(s, "kitamae")
	spec.Auth, spec.Host, spec.TLS = sqlkit.AuthIAM, "localhost", sqlkit.TLS{CAFile: s.CAFile}
	_, err := openSource(t.Context(), spec, connector.Env{})
	if f := fault.From(err); f == nil || f.Code != "postgres.auth" || !strings.Contains(f.Hint, "rds_iam") || strings.Contains(err.Error(), "hush") {
		t.Errorf("%v: %+v", err, f)
	}
	spec.TLS = sqlkit.TLS{}
	if _, err := openSource(t.Context(), spec, connector.Env{}); !fault.HasCode(err, "rds.tls") {
		t.Errorf("in the clear: %v", err)
	}
}
