package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/kitamae/kitamae/internal/servertest"
)

// TestSecretsStayWhereTheyAreKept logs in with passwords from Parameter Store and Secrets Manager, and looks for them in all that
// every command prints and leaves behind. They are looked up when an end is opened: a change at the store is seen by the next run, and
// a command that opens nothing asks nobody.
func TestSecretsStayWhereTheyAreKept(t *testing.T) {
	surroundings := []string{
		"AWS_ENDPOINT_URL=" + servertest.Moto(t), "AWS_REGION=ap-northeast-1", "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=none", "AWS_SESSION_TOKEN=", "AWS_PROFILE=",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
	}
	for _, e := range surroundings {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []servertest.Server{servertest.MariaDB(t), servertest.Postgres(t)} {
		t.Run(s.Name, func(t *testing.T) {
			db := servertest.FreshDatabase(t, s)
			s.Exec(t, db, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
			name := "/kitamae/" + db
			keep := func(password string) {
				if _, err := ssm.NewFromConfig(cfg).PutParameter(t.Context(), &ssm.PutParameterInput{
					Name: &name, Value: &password, Type: types.ParameterTypeSecureString, Overwrite: aws.Bool(true),
				}); err != nil {
					t.Fatal(err)
				}
			}
			keep("wr0ng-" + s.Password)
			if _, err := secretsmanager.NewFromConfig(cfg).CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{
				Name: &name, SecretString: aws.String(`{"username":"` + s.User + `","password":"` + s.Password + `"}`),
			}); err != nil {
				t.Fatal(err)
			}
			var said strings.Builder
			p := newProject(t, s, db)
			p.secret = "not in the environment"
			ask := func(wantFault string, args ...string) string {
				t.Helper()
				out, err := p.command(t, args...).CombinedOutput()
				said.Write(out)
				if (err != nil) != (wantFault != "") || !strings.Contains(string(out), wantFault) {
					t.Fatalf("kitamae %s: %v, want %q\n%s", strings.Join(args, " "), err, wantFault, out)
				}
				return string(out)
			}
			p.with("password", "secret:aws-ssm:"+name).write(t)
			ask(s.Kind+".auth", "run")
			keep(s.Password)
			ask("", "run")
			for _, args := range [][]string{{"plan"}, {"plan", "--json"}, {"plan", "-o", "plan.json"}, {"doctor"}, {"runs", "--json"}, {"run", "--log-format", "json"}} {
				if out := ask("", args...); args[0] == "plan" && len(args) == 1 && !strings.Contains(out, "secret:aws-ssm:"+name) {
					t.Errorf("the plan does not say where the password is kept:\n%s", out)
				}
			}
			p.with("password", "secret:aws-sm:"+name+"#password").write(t)
			ask("", "run")
			p.with("password", "secret:aws-sm:"+name+"#pass").write(t)
			ask("source."+s.Kind+".password: the aws-sm secret has no text or number in a field \"pass\"", "run")
			p.with("password", "secret:aws-sm:/nobody/has/this").write(t)
			ask("secret.missing", "run")
			ask("", "query", "select count(*) from t") // which does not open the source
			shown(t, "printed", said.String(), s.Password)
			err := filepath.WalkDir(p.dir, func(path string, e fs.DirEntry, err error) error {
				if err != nil || e.IsDir() {
					return err
				}
				text, err := os.ReadFile(path)
				shown(t, path, string(text), s.Password)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func shown(t *testing.T, where, text, secret string) {
	t.Helper()
	if strings.Contains(text, secret) {
		t.Errorf("the password is shown: %s", where)
	}
}
