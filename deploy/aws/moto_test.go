package aws

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kitamae/kitamae/deploy/image"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
)

// account opens a cloud in moto with a region of its own choosing by the test, so that tests don't meet.
func account(t *testing.T, name, region string) *Cloud {
	t.Helper()
	for key, value := range map[string]string{
		"AWS_ENDPOINT_URL": servertest.Moto(t), "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": region,
	} {
		t.Setenv(key, value)
	}
	c, err := Open(t.Context(), name, region, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	c.Poll = 10 * time.Millisecond
	return c
}

// vpc makes one with a public and a closed subnet, and, if asked, one behind a NAT gateway.
func vpc(t *testing.T, c *Cloud, block int, withNAT bool) (id string, subnets map[string]string) {
	t.Helper()
	ctx, subnets := t.Context(), map[string]string{}
	v := must(c.ec2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String(fmt.Sprintf("10.%d.0.0/16", block))}))(t)
	id = aws.ToString(v.Vpc.VpcId)
	igw := must(c.ec2.CreateInternetGateway(ctx, nil))(t).InternetGateway.InternetGatewayId
	must(c.ec2.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: igw, VpcId: &id}))(t)
	zones := must(c.ec2.DescribeAvailabilityZones(ctx, nil))(t).AvailabilityZones
	for i, kind := range []string{"public", "closed", "private"} {
		s := must(c.ec2.CreateSubnet(ctx, &ec2.CreateSubnetInput{
			VpcId: &id, CidrBlock: aws.String(fmt.Sprintf("10.%d.%d.0/24", block, i)), AvailabilityZone: zones[i%len(zones)].ZoneName,
		}))(t).Subnet.SubnetId
		subnets[kind] = aws.ToString(s)
		route := &ec2.CreateRouteInput{DestinationCidrBlock: aws.String("0.0.0.0/0")}
		switch {
		case kind == "public":
			route.GatewayId = igw
		case kind == "private" && withNAT:
			route.NatGatewayId = must(c.ec2.CreateNatGateway(ctx, &ec2.CreateNatGatewayInput{SubnetId: aws.String(subnets["public"]), ConnectivityType: ec2types.ConnectivityTypePrivate}))(t).NatGateway.NatGatewayId
		default:
			continue
		}
		table := must(c.ec2.CreateRouteTable(ctx, &ec2.CreateRouteTableInput{VpcId: &id}))(t).RouteTable.RouteTableId
		must(c.ec2.AssociateRouteTable(ctx, &ec2.AssociateRouteTableInput{RouteTableId: table, SubnetId: s}))(t)
		route.RouteTableId = table
		must(c.ec2.CreateRoute(ctx, route))(t)
	}
	return id, subnets
}

// must takes a call's answer, or ends the test.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// aurora makes a cluster in the VPC with only a writer, and returns its reader endpoint.
func aurora(t *testing.T, c *Cloud, name string, subnets map[string]string, group string) string {
	t.Helper()
	ctx := t.Context()
	must(c.rds.CreateDBSubnetGroup(ctx, &rds.CreateDBSubnetGroupInput{
		DBSubnetGroupName: &name, DBSubnetGroupDescription: aws.String("test"), SubnetIds: []string{subnets["closed"], subnets["public"]},
	}))(t)
	must(c.rds.CreateDBCluster(ctx, &rds.CreateDBClusterInput{
		DBClusterIdentifier: &name, Engine: aws.String("aurora-mysql"), MasterUsername: aws.String("admin"), MasterUserPassword: aws.String("password-of-moto"),
		DBSubnetGroupName: &name, VpcSecurityGroupIds: []string{group},
	}))(t)
	found := must(c.rds.DescribeDBClusters(ctx, &rds.DescribeDBClustersInput{DBClusterIdentifier: &name}))(t)
	return aws.ToString(found.DBClusters[0].ReaderEndpoint)
}

// TestNetwork prefers a NAT gateway that is there, takes public subnets without one, and refuses what has no way out.
func TestNetwork(t *testing.T) {
	c := account(t, "net", "eu-west-1")
	nat, natSubnets := vpc(t, c, 40, true)
	open, openSubnets := vpc(t, c, 41, false)
	n := must(c.network(t.Context(), nat))(t)
	if n.PublicAddress || !slices.Equal(n.Subnets, []string{natSubnets["private"]}) {
		t.Errorf("with a NAT gateway: %s, want %s", n, natSubnets["private"])
	}
	n = must(c.network(t.Context(), open))(t)
	if !n.PublicAddress || !slices.Equal(n.Subnets, []string{openSubnets["public"]}) {
		t.Errorf("without one: %s, want %s", n, openSubnets["public"])
	}
	closed := must(c.ec2.CreateVpc(t.Context(), &ec2.CreateVpcInput{CidrBlock: aws.String("10.42.0.0/16")}))(t).Vpc.VpcId
	must(c.ec2.CreateSubnet(t.Context(), &ec2.CreateSubnetInput{VpcId: closed, CidrBlock: aws.String("10.42.0.0/24")}))(t)
	if _, err := c.network(t.Context(), *closed); !fault.HasCode(err, "deploy.no_way_out") {
		t.Errorf("without a way out: %v", err)
	}
}

// TestDeploy goes the whole way of a deployment against moto: found, planned, pushed, applied, changed, gone back, destroyed, made
// again. moto makes no schedule, topic policy or alarm: TestTemplate and TestLint look at these.
func TestDeploy(t *testing.T) {
	ctx, c := t.Context(), account(t, fmt.Sprintf("t%d", time.Now().UnixNano()%1e9), "ap-northeast-1")
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	c.Registry = strings.TrimPrefix(server.URL, "http://")
	id, subnets := vpc(t, c, 50, false)
	group := aws.ToString(must(c.ec2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: &c.Name, Description: aws.String("database"), VpcId: &id}))(t).GroupId)
	s := fullStack()
	s.Name, s.IAMUser, s.Injected = c.Name, "", nil
	source := Place{listener: listener{Host: aurora(t, c, c.Name, subnets, group)}, AllowWriter: aws.Bool(false)}
	if err := c.Surroundings(ctx, &s, source, ""); !fault.HasCode(err, "deploy.writer") {
		t.Errorf("a cluster with only a writer, which the config does not accept: %v", err)
	}
	source.AllowWriter = aws.Bool(true)
	if err := c.Surroundings(ctx, &s, source, ""); err != nil {
		t.Fatal(err)
	}
	if s.Database == nil || s.Database.SecurityGroup != group || s.Network.VPC != id || s.BucketThere || !strings.Contains(s.Database.Note, "only a writer") {
		t.Fatalf("found %+v, %+v, bucket there: %v", s.Database, s.Network, s.BucketThere)
	}
	m := testImage(t)
	s.Image = c.Address(m)
	first := must(s.Render())(t)
	plan := must(c.Plan(ctx, first))(t)
	if !plan.Fresh || !has(plan, "add", "AWS::ECS::TaskDefinition") {
		t.Errorf("the plan of a first deployment: %+v", plan.Changes)
	}
	if err := c.Drop(ctx, plan); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(ctx); !fault.HasCode(err, "deploy.nothing") {
		t.Errorf("after a plan alone, status says %v", err)
	}
	apply(t, c, first)
	for range 2 {
		if err := c.Push(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	ref := must(name.NewDigest(s.Image, name.Insecure))(t)
	if _, err := remote.Index(ref); err != nil {
		t.Errorf("the image was not pushed: %v", err)
	}
	assertMade(t, c, s)

	s.Config, s.Size = "another", SizeFor(1<<30)
	second := must(s.Render())(t)
	apply(t, c, second)
	status := must(c.Status(ctx))(t)
	if len(status.Past) != 2 || status.Past[1].Deployment != status.Deployment {
		t.Errorf("after two deployments: %+v", status)
	}
	past, template, err := c.Previous(ctx)
	if err != nil || string(template) != string(first) {
		t.Fatalf("the one before is %v (%v), not the first template", past, err)
	}
	apply(t, c, template)
	status = must(c.Status(ctx))(t)
	if status.Deployment != past.Deployment || len(status.Past) != 2 {
		t.Errorf("after the way back: %+v", status)
	}
	if _, _, err := c.Previous(ctx); !fault.HasCode(err, "deploy.no_previous") {
		t.Errorf("before the first: %v", err)
	}
	if err := c.Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(ctx); !fault.HasCode(err, "deploy.nothing") {
		t.Errorf("after destroy, status says %v", err)
	}
	if there := must(c.History(ctx))(t); len(there) != 2 {
		t.Errorf("destroy left %d deployments in the bucket, want 2", len(there))
	}
	if err := c.Surroundings(ctx, &s, source, ""); err != nil || !s.BucketThere {
		t.Errorf("a new deployment does not find the bucket: %v, %v", s.BucketThere, err)
	}
}

func apply(t *testing.T, c *Cloud, template []byte) {
	t.Helper()
	set, err := c.Plan(t.Context(), template)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Changes) == 0 {
		t.Fatal("nothing to change")
	}
	if err := c.Apply(t.Context(), set, template); err != nil {
		t.Fatal(err)
	}
}

func has(set *ChangeSet, action, kind string) bool {
	return slices.ContainsFunc(set.Changes, func(ch Change) bool { return ch.Action == action && ch.Type == kind })
}

// assertMade asks each service for what it made, rather than CloudFormation.
func assertMade(t *testing.T, c *Cloud, s Stack) {
	t.Helper()
	ctx := t.Context()
	group := must(c.resource(ctx, "TaskSecurityGroup"))(t)
	task := must(c.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &c.Name}))(t).TaskDefinition
	container := task.ContainerDefinitions[0]
	got := fmt.Sprintln(aws.ToString(task.Memory), aws.ToString(container.Image), container.Command)
	if want := fmt.Sprintln(1024, s.Image, []string{"run", "-f", "env:KITAMAE_CONFIG", "--log-format", "json"}); got != want {
		t.Errorf("the task is %s, want %s", got, want)
	}
	groups := must(c.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{s.Database.SecurityGroup}}))(t)
	let := false
	for _, p := range groups.SecurityGroups[0].IpPermissions {
		for _, pair := range p.UserIdGroupPairs {
			let = let || aws.ToString(pair.GroupId) == group && aws.ToInt32(p.FromPort) == 3306
		}
	}
	if !let {
		t.Errorf("the database's group does not let %s in: %+v", group, groups.SecurityGroups[0].IpPermissions)
	}
	resources := must(c.cfn.DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: &c.Name}))(t)
	var kinds []string
	for _, r := range resources.StackResources {
		kinds = append(kinds, aws.ToString(r.ResourceType))
	}
	for _, want := range []string{"AWS::Logs::LogGroup", "AWS::S3::Bucket", "AWS::StepFunctions::StateMachine", "AWS::SQS::Queue", "AWS::SNS::Topic", "AWS::Events::Rule", "AWS::IAM::Role"} {
		if !slices.Contains(kinds, want) {
			t.Errorf("no %s was made: %v", want, kinds)
		}
	}
}

func testImage(t *testing.T) *image.Image {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kitamae")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-o", path, "../image/testdata/static")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	p := must(image.Inspect(path))(t)
	return must(image.New([]image.Program{p}, "test"))(t)
}
