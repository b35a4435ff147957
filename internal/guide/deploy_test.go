package guide

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/go-containerregistry/pkg/registry"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/kitamae/kitamae/internal/servertest"
)

// reader is somebody who follows the guides: in a folder, with a shell.
type reader struct {
	f       *fargate
	dir     string
	binary  string // what is deployed: the running program is the test, which no empty container can start
	secret  string // the database's password
	address string // of the registry
}

// do runs one of the guide's commands, and returns how it ended and all it said.
func (r *reader) do(t *testing.T, command string) (code int, said string) {
	t.Helper()
	args := words(command)
	if args[0] == "aws" {
		return 0, r.aws(t, args[1:])
	}
	if strings.HasPrefix(command, "kitamae deploy aws") && !slices.Contains(args, "--from-ci") {
		args = append(args, "--binary", r.binary)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args[1:]...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), childVar+"=1", "AWS_ENDPOINT_URL="+r.f.url, "KITAMAE_DEPLOY_REGISTRY="+r.address)
	cmd.Stdin = strings.NewReader("y\n") // a reader who agrees
	out, err := cmd.CombinedOutput()
	if err := ended(err); err != nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// well is do for what must end well, and say so.
func (r *reader) well(t *testing.T, command string, says ...string) {
	t.Helper()
	code, said := r.do(t, command)
	if code != 0 {
		t.Fatalf("%s: exit code %d\n%s", command, code, said)
	}
	for _, want := range says {
		if !strings.Contains(said, want) {
			t.Errorf("%s does not say %q:\n%s", command, want, said)
		}
	}
}

// aws is as much of Amazon's command line as the guide uses.
func (r *reader) aws(t *testing.T, args []string) string {
	t.Helper()
	flags := map[string]string{}
	for i := 2; i+1 < len(args); i += 2 {
		flags[args[i]] = args[i+1]
	}
	if strings.Join(args[:2], " ") != "ssm put-parameter" || len(flags) != 3 {
		t.Fatalf("the guide has come to use aws %v: teach this test", args)
	}
	client, name := ssm.NewFromConfig(r.f.cfg), aws.String(flags["--name"])
	_, err := client.PutParameter(t.Context(), &ssm.PutParameterInput{
		Name: name, Value: aws.String(strings.ReplaceAll(flags["--value"], "…", r.secret)), Type: ssmtypes.ParameterType(flags["--type"]), Overwrite: aws.Bool(true),
	})
	if err != nil {
		t.Fatal(err)
	}
	return ""
}

// put writes the reader's file.
func (r *reader) put(t *testing.T, text string, changes ...string) {
	t.Helper()
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			t.Fatalf("there is no %q in the guide's file any more:\n%s", changes[i], text)
		}
		text = strings.Replace(text, changes[i], changes[i+1], 1)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "kitamae.yml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFargate follows docs/guides/fargate.md from the first command to the last, with a MariaDB for Aurora, local-bigquery for BigQuery, and moto for AWS, before which
// a double runs the tasks. What is changed in the guide's text is what names the reader's own things.
func TestFargate(t *testing.T) {
	f := newFargate(t, "ap-northeast-1")
	s := servertest.MariaDB(t)
	db := servertest.FreshDatabase(t, s)
	s.Exec(t, db, "CREATE TABLE users (id int PRIMARY KEY, name varchar(20))", "INSERT INTO users VALUES (1, '花子'), (2, NULL)",
		"CREATE TABLE tmp_x (id int PRIMARY KEY)", "CREATE TABLE orders (id int PRIMARY KEY)", "INSERT INTO orders VALUES (1)")
	hub := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer hub.Close()
	r := &reader{f: f, dir: t.TempDir(), binary: staticBinary(t), secret: s.Password, address: strings.TrimPrefix(hub.URL, "http://")}
	stack, dataset := fmt.Sprintf("g%d", time.Now().UnixNano()%1e9), servertest.FreshName(t)
	warehouse, err := bq.NewClient(t.Context(), "acme-data", option.WithEndpoint(servertest.BigQuery(t)+"/bigquery/v2/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	defer warehouse.Close()
	if err := warehouse.Dataset(dataset).Create(t.Context(), &bq.DatasetMetadata{Location: "US"}); err != nil {
		t.Fatal(err)
	}
	rows := func(table string, want int) {
		t.Helper()
		n := 0
		for it := warehouse.Dataset(dataset).Table(table).Read(t.Context()); ; n++ {
			var row map[string]bq.Value
			err := it.Next(&row)
			if errors.Is(err, iterator.Done) {
				break
			}
			if err != nil {
				t.Fatalf("%s in BigQuery: %v", table, err)
			}
		}
		if n != want {
			t.Errorf("%s in BigQuery has %d rows, want %d", table, n, want)
		}
	}

	guide, second := read(t, "docs/guides/fargate.md"), read(t, "docs/guides/bigquery.md").block(t, "yaml", 0)
	_, destination, _ := strings.Cut(second, "destination:")
	for _, command := range commands(guide.block(t, "sh", 0)) {
		r.well(t, command)
	}
	file := guide.block(t, "yaml", 0) + "destination:" + destination
	own := []string{
		"app.cluster-ro-abc.ap-northeast-1.rds.amazonaws.com", fmt.Sprintf("%s\n    port: %d\n    tls: {mode: \"off\"}", s.Host, s.Port),
		"user: kitamae", "user: " + s.User, "database: app", "database: " + db, "name: app", "name: " + stack + "\n  vpc: " + network(t, f),
		"dataset: app, location: asia-northeast1", fmt.Sprintf("dataset: %s, location: US, endpoint: %q", dataset, servertest.BigQuery(t)),
	}
	r.put(t, file, own...)
	r.well(t, regexp.MustCompile("`(kitamae init --gcp [^`]+)`").FindStringSubmatch(guide.text)[1], "gcloud", "federation: ")
	deploy := commands(guide.block(t, "sh", 1))
	if len(deploy) != 2 {
		t.Fatalf("the guide deploys by %q: teach this test", deploy)
	}
	r.well(t, deploy[0], "add", "AWS::ECS::TaskDefinition", "cost of a month", "role: arn:aws:iam::123456789012:role/"+stack)
	r.well(t, deploy[1], "doctor, inside the task", "the first run", "published\n")
	rows("users", 2)
	rows("orders", 1)

	s.Exec(t, db, "INSERT INTO users VALUES (3, 'x')", "INSERT INTO orders VALUES (2)")
	r.well(t, "kitamae deploy run-now --table users", "published\n")
	rows("users", 3)
	rows("orders", 1)
	if code, said := r.do(t, "kitamae deploy run-now --table usres"); code != 2 || !strings.Contains(said, "did you mean users?") || !strings.Contains(said, "deploy.run") {
		t.Errorf("a run that ended with 2 ended run-now with %d:\n%s", code, said)
	}
	done := map[string]bool{}
	for _, command := range guide.rows {
		done[command] = true
		switch command {
		case "kitamae deploy aws --print":
			r.well(t, command, "AWSTemplateFormatVersion", "# TaskRole is what kitamae runs as")
		case "kitamae deploy status":
			r.well(t, command, stack+" in ap-northeast-1", "image: "+r.address, "next run: ", ":00 JST")
		case "kitamae deploy logs --since 2h":
			r.well(t, command, "published\n", "did you mean users?")
		case "kitamae deploy run-now":
			r.well(t, command, "published\n")
			rows("orders", 2)
		case "kitamae deploy rollback":
			r.put(t, file, append(own, "0 5 * * *", "0 6 * * *")...)
			r.well(t, "kitamae deploy aws --yes", "modify")
			r.well(t, command, "back to deployment")
		case "kitamae deploy destroy":
			large(t, r, stack, file, own)
			r.well(t, command, "stays, and a new deployment goes on from it")
			if code, said := r.do(t, "kitamae deploy status"); code != 2 || !strings.Contains(said, "deploy.nothing") {
				t.Errorf("status after destroy: %d\n%s", code, said)
			}
		case "kitamae deploy aws --from-ci":
			r.well(t, command, "wrote .github")
		case "kitamae deploy --eject kubernetes":
			r.well(t, command+" --image example.com/kitamae@sha256:"+strings.Repeat("a", 64), "wrote ")
		default:
			if !strings.Contains(guide.text[strings.Index(guide.text, "## What only a real cloud can show"):], "`"+command+"`") {
				t.Errorf("the guide has come to name %s: teach this test", command)
			}
		}
	}
	if len(done) < 8 {
		t.Errorf("only %v was tried", done)
	}
}

var step = regexp.MustCompile("(?m)^[0-9]+\\. .*?`(kitamae [^`]+)`")

// TestBigQuery follows docs/guides/bigquery.md, with a MariaDB and local-bigquery.
func TestBigQuery(t *testing.T) {
	f := newFargate(t, "eu-central-1")
	s := servertest.MariaDB(t)
	db := servertest.FreshDatabase(t, s)
	s.Exec(t, db, "CREATE TABLE users (id int PRIMARY KEY, name varchar(20))", "INSERT INTO users VALUES (1, '花子'), (2, NULL)", "CREATE TABLE tmp_x (id int)")
	dataset := servertest.FreshName(t)
	warehouse, err := bq.NewClient(t.Context(), "acme-data", option.WithEndpoint(servertest.BigQuery(t)+"/bigquery/v2/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	defer warehouse.Close()
	if err := warehouse.Dataset(dataset).Create(t.Context(), &bq.DatasetMetadata{Location: "US"}); err != nil {
		t.Fatal(err)
	}
	r := &reader{f: f, dir: t.TempDir(), secret: s.Password}
	r.well(t, commands(read(t, "docs/guides/fargate.md").block(t, "sh", 0))[0]) // the secret that the file refers to
	t.Setenv("DB_READER_HOST", s.Host)
	guide := read(t, "docs/guides/bigquery.md")
	r.put(t, guide.block(t, "yaml", 0),
		"user: kitamae", fmt.Sprintf("port: %d, tls: {mode: \"off\"}, user: %s", s.Port, s.User), "database: app", "database: "+db,
		"dataset: app, location: asia-northeast1", fmt.Sprintf("dataset: %s, location: US, endpoint: %q", dataset, servertest.BigQuery(t)))
	says := map[string]string{"kitamae init --gcp": "gcloud", "kitamae doctor": "dataset", "kitamae plan": "users", "kitamae run": "published"}
	for _, m := range step.FindAllStringSubmatch(guide.text, -1) {
		want, known := says[m[1]]
		if !known {
			t.Errorf("the guide has come to name %s: teach this test", m[1])
		}
		r.well(t, m[1], want)
		delete(says, m[1])
	}
	if len(says) > 0 {
		t.Errorf("the guide no longer names %v", says)
	}
}

// large deploys a config that has no room in a task definition: it travels in the bucket.
func large(t *testing.T, r *reader, stack, file string, own []string) {
	t.Helper()
	var notes bytes.Buffer
	for i := range 1500 {
		fmt.Fprintf(&notes, "# %x\n", 0x9e3779b97f4a7c15*uint64(i+1)) // what does not compress
	}
	r.put(t, file+notes.String(), own...)
	r.well(t, "kitamae deploy aws --yes", "modify", "doctor, inside the task")
	c, err := r.f.defined(stack)
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range c.Environment {
		if pair.Name == "KITAMAE_CONFIG" && !strings.HasPrefix(pair.Value, "s3://") {
			t.Errorf("the config travels in %d bytes of the task definition: the test wants it in the bucket", len(pair.Value))
		}
	}
}

// network makes a network with a way out.
func network(t *testing.T, f *fargate) string {
	t.Helper()
	ctx, c := t.Context(), ec2.NewFromConfig(f.cfg)
	v, err := c.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.60.0.0/16")})
	if err != nil {
		t.Fatal(err)
	}
	gateway, err := c.CreateInternetGateway(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: gateway.InternetGateway.InternetGatewayId, VpcId: v.Vpc.VpcId}); err != nil {
		t.Fatal(err)
	}
	subnet, err := c.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: v.Vpc.VpcId, CidrBlock: aws.String("10.60.0.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	table, err := c.CreateRouteTable(ctx, &ec2.CreateRouteTableInput{VpcId: v.Vpc.VpcId})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AssociateRouteTable(ctx, &ec2.AssociateRouteTableInput{RouteTableId: table.RouteTable.RouteTableId, SubnetId: subnet.Subnet.SubnetId}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateRoute(ctx, &ec2.CreateRouteInput{
		RouteTableId: table.RouteTable.RouteTableId, DestinationCidrBlock: aws.String("0.0.0.0/0"), GatewayId: gateway.InternetGateway.InternetGatewayId,
	}); err != nil {
		t.Fatal(err)
	}
	return aws.ToString(v.Vpc.VpcId)
}

// staticBinary is a small program that an empty container could start.
func staticBinary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kitamae")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", path, "../../deploy/image/testdata/static")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}
