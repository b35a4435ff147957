package guide

import (
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/kitamae/kitamae/internal/servertest"
)

// TestShards follows docs/guides/shards.md with AWS Batch: deployed by one command, a run is an array job, whose children run as processes.
func TestShards(t *testing.T) {
	f := newFargate(t, "eu-west-2")
	servertest.S3(t)
	store := "?endpoint=" + os.Getenv("AWS_ENDPOINT_URL_S3")
	t.Setenv("AWS_ENDPOINT_URL_S3", "") // only what names it: the deployment's own bucket is in moto
	t.Setenv("AWS_REGION", "eu-west-2")
	s := servertest.MariaDB(t)
	db := servertest.FreshDatabase(t, s)
	s.Exec(t, db, "CREATE TABLE users (id int PRIMARY KEY, name varchar(20))", "INSERT INTO users VALUES (1, '花子'), (2, NULL)",
		"CREATE TABLE orders (id int PRIMARY KEY)", "INSERT INTO orders VALUES (1)")
	hub := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer hub.Close()
	r := &reader{f: f, dir: t.TempDir(), binary: staticBinary(t), secret: s.Password, address: strings.TrimPrefix(hub.URL, "http://")}
	r.well(t, commands(read(t, "docs/guides/fargate.md").block(t, "sh", 0))[0]) // the secret that the file refers to
	guide := read(t, "docs/guides/shards.md")
	source := fmt.Sprintf("source:\n  mysql: {host: %s, port: %d, user: %s, password: \"secret:aws-ssm:/app/db/password\", database: %s, tls: {mode: \"off\"}}\n", s.Host, s.Port, s.User, db)
	r.put(t, source+"schedule: \"0 5 * * *\"\ntables: {users: {}, orders: {}}\n"+guide.lines(t, "state:", "limits:", "destination:", "  files:", "deploy: {engine: aws-batch"),
		"s3://acme-data/kitamae", "s3://lake/kitamae"+store, "s3://acme-data/lake", "s3://lake/out"+store,
		"shards: 4", "shards: 2", "name: app", fmt.Sprintf("name: s%d, vpc: %s", time.Now().UnixNano()%1e9, network(t, f)))
	r.well(t, "kitamae deploy aws --print", "AWS::Batch::JobQueue")
	r.well(t, "kitamae deploy aws --plan", "ShardQueue", "shards: 2")
	r.well(t, "kitamae deploy aws --yes", "the first run", "shard 0 | ", "shard 1 | ", "published\n")
	r.well(t, "kitamae deploy run-now --table users", "published\n")

	s.Exec(t, db, "DROP TABLE orders")
	code, said := r.do(t, "kitamae deploy run-now")
	if code != 2 || !strings.Contains(said, "ended as failed") || !strings.Contains(said, "orders") {
		t.Errorf("a run in shards that failed with 2 ended run-now with %d:\n%s", code, said)
	}
}

// lines are those of the guide's indented blocks that begin so, each the last of its kind.
func (p page) lines(t *testing.T, begins ...string) string {
	t.Helper()
	var all strings.Builder
	for _, begin := range begins {
		found := ""
		for _, b := range p.blocks {
			if strings.HasPrefix(b.text, begin) {
				found = b.text
			}
		}
		if found == "" {
			t.Fatalf("the guide has no line %q any more", begin)
		}
		all.WriteString(found)
	}
	return all.String()
}
