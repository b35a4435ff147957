package aws

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func fullStack() Stack {
	return Stack{
		Name: "app", Image: "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/app@sha256:" + strings.Repeat("a", 64), Arm: true, Size: SizeFor(0),
		Network: Network{VPC: "vpc-0123456789abcdef0", Subnets: []string{"subnet-0123456789abcdef0", "subnet-0123456789abcdef1"}, PublicAddress: true},
		Port:    3306, Database: &Database{VPC: "vpc-0123456789abcdef0", SecurityGroup: "sg-0123456789abcdef0", ResourceID: "cluster-ABC"}, IAMUser: "kitamae",
		Schedule: Schedule{Expression: "cron(0 5 * * ? *)", Zone: "Asia/Tokyo", FreshHours: 26, PerMonth: 30.4},
		Alert:    "data@example.com", Bucket: "kitamae-app-123456789012-ap-northeast-1", Config: "KLUv/QQ=",
		Plain:    map[string]string{"DB_READER_HOST": "reader.example.com"},
		Injected: map[string]Secret{"DB_PASSWORD": {Store: "aws-ssm", Name: "/app/db/password"}, "TOKEN": {Store: "aws-sm", Name: "app", Field: "token"}},
		Read:     []Secret{{Store: "aws-ssm", Name: "/app/slack"}, {Store: "aws-sm", Name: "app/other", Field: "x"}},
	}
}

// TestLint holds what is deployed against the schemas of the real resources.
func TestLint(t *testing.T) {
	for name, change := range map[string]func(*Stack){
		"everything": func(*Stack) {},
		"least": func(s *Stack) {
			s.Database, s.IAMUser, s.Alert, s.Plain, s.Injected, s.Read, s.BucketThere, s.Arm = nil, "", "", nil, nil, nil, true, false
		},
		"shards": func(s *Stack) { s.Shards, s.Buckets, s.Disk = 4, []string{"acme-lake/app"}, 100 },
	} {
		t.Run(name, func(t *testing.T) {
			s := fullStack()
			change(&s)
			text, err := s.Render()
			if err != nil {
				t.Fatal(err)
			}
			if out, err := lint(t, text); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	t.Run("sees mistakes", func(t *testing.T) {
		text, err := fullStack().Render()
		if err != nil {
			t.Fatal(err)
		}
		if out, err := lint(t, bytes.Replace(text, []byte("StopTimeout:"), []byte("StopTimout:"), 1)); err == nil {
			t.Errorf("a property that no task has was accepted:\n%s", out)
		}
		s := fullStack()
		s.Shards = 4
		if text, err = s.Render(); err != nil {
			t.Fatal(err)
		}
		if out, err := lint(t, bytes.Replace(text, []byte("JobRoleArn:"), []byte("JobRolArn:"), 1)); err == nil {
			t.Errorf("a property that no job has was accepted:\n%s", out)
		}
	})
}

func lint(t *testing.T, template []byte) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "template.yml")
	if err := os.WriteFile(path, template, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("../../scripts/cfn-lint.sh", path).CombinedOutput()
	return string(out), err
}

// TestTemplate asserts what matters of each resource by itself, as no emulator makes all of them.
func TestTemplate(t *testing.T) {
	full := fullStack()
	full.Ports, full.Disk = []int{5432}, 40
	text, err := full.Render()
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	root := doc.Content[0]
	get := func(path string) string {
		n := root
		for key := range strings.SplitSeq(path, "/") {
			if n.Kind == yaml.SequenceNode {
				n = n.Content[int(key[0]-'0')]
			} else {
				n = at(n, key)
			}
		}
		var out []string
		for _, c := range n.Content {
			out = append(out, c.Value)
		}
		return n.Value + strings.Join(out, " ")
	}
	const container, taskRole = "Resources/Task/Properties/ContainerDefinitions/0", "Resources/TaskRole/Properties/Policies/0/PolicyDocument/Statement"
	for path, want := range map[string]string{
		"Resources/State/DeletionPolicy":                                                    "Retain",
		container + "/User":                                                                 "65532:65532",
		container + "/StopTimeout":                                                          "120",
		container + "/Environment/1/Name":                                                   "KITAMAE_CONFIG",
		container + "/Environment/1/Value":                                                  "KLUv/QQ=",
		container + "/Environment/2/Value":                                                  "reader.example.com",
		container + "/Secrets/0/Name":                                                       "DB_PASSWORD",
		container + "/Secrets/0/ValueFrom":                                                  "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/app/db/password",
		container + "/Secrets/1/ValueFrom":                                                  "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:app:token::",
		"Resources/Schedule/Type":                                                           "AWS::Scheduler::Schedule",
		"Resources/Schedule/Properties/ScheduleExpressionTimezone":                          "ScheduleZone",
		"Resources/Schedule/Properties/Target/RetryPolicy/MaximumRetryAttempts":             "10",
		"Resources/Schedule/Properties/Target/DeadLetterConfig/Arn":                         "DeadLetters.Arn",
		"Resources/Stale/Properties/TreatMissingData":                                       "breaching",
		"Resources/Stale/Properties/MetricName":                                             "ExecutionsSucceeded",
		"Resources/TaskDied/Properties/EventPattern/detail/$or/1/stopCode":                  "TaskFailedToStart SpotInterruption TerminationNotice",
		"Resources/RunFailed/Properties/EventPattern/detail/status":                         "FAILED TIMED_OUT ABORTED",
		"Resources/Runner/Properties/Definition/States/Run/Resource":                        "arn:${AWS::Partition}:states:::ecs:runTask.sync",
		"Resources/TaskRole/Properties/RoleName":                                            "Name",
		taskRole + "/1/Resource":                                                            "arn:${AWS::Partition}:s3:::${Bucket}/kitamae/*",
		taskRole + "/2/Action":                                                              "s3:GetObject",
		taskRole + "/3/Action":                                                              "ssm:GetParameters ssm:GetParameter",
		taskRole + "/3/Resource":                                                            "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/app/slack",
		taskRole + "/4/Action":                                                              "kms:Decrypt",
		taskRole + "/4/Condition/StringLike/kms:EncryptionContext:PARAMETER_ARN":            "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/app/slack",
		taskRole + "/5/Resource":                                                            "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:app/other-??????",
		taskRole + "/6/Condition/StringLike/kms:EncryptionContext:SecretARN":                "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:app/other-??????",
		taskRole + "/7/Action":                                                              "rds-db:connect",
		"Resources/ExecutionRole/Properties/Policies/0/PolicyDocument/Statement/3/Resource": "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/app/db/password",
		"Resources/ExecutionRole/Properties/Policies/0/PolicyDocument/Statement/4/Action":   "kms:Decrypt",
		"Resources/TaskSecurityGroup/Properties/SecurityGroupEgress/2/ToPort":               "5432",
		"Resources/Task/Properties/EphemeralStorage/SizeInGiB":                              "40",
		"Resources/State/Properties/LifecycleConfiguration/Rules/1/Prefix":                  "kitamae/shards/",
		"Resources/State/Properties/LifecycleConfiguration/Rules/1/ExpirationInDays":        "7",
		"Resources/RunFailed/Properties/Targets/0/InputTransformer/InputPathsMap/run":       "$.detail.executionArn",
		"Parameters/Subnets/Default":                                                        "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
		"Parameters/Image/Default":                                                          fullStack().Image,
		"Resources/DatabaseIngress/Properties/SourceSecurityGroupId":                        "TaskSecurityGroup",
	} {
		if got := get(path); got != want {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}
	for _, role := range []string{"ExecutionRole", "TaskRole", "RunnerRole", "ScheduleRole"} {
		statements := at(at(root, "Resources", role, "Properties", "Policies").Content[0], "PolicyDocument", "Statement")
		for _, s := range statements.Content {
			resource := at(s, "Resource")
			if resource.Value == "*" && at(s, "Action").Value != "ecr:GetAuthorizationToken" {
				t.Errorf("%s may %s on everything", role, at(s, "Action").Value)
			}
		}
	}
	for _, rule := range []string{"RunFailed", "TaskDied"} { // a value that may have quotes in it must not stand in a text
		transformer := at(at(root, "Resources", rule, "Properties", "Targets").Content[0], "InputTransformer")
		paths := at(transformer, "InputPathsMap")
		for i := 0; i < len(paths.Content); i += 2 {
			path, in := paths.Content[i+1].Value, strings.Contains(at(transformer, "InputTemplate").Value, `<`+paths.Content[i].Value+`>`)
			plain := strings.Contains(at(transformer, "InputTemplate").Value, `: <`+paths.Content[i].Value+`>`)
			if free := path == "$.detail.input" || path == "$.detail.cause" || path == "$.detail.stoppedReason"; free && !plain || !in {
				t.Errorf("%s puts %s into a text", rule, path)
			}
		}
	}
	if !strings.Contains(string(text), "# TaskRole is what kitamae runs as") {
		t.Error("the printed template has lost its comments")
	}
}

// TestIAMUser: a template for a database that is not known yet still lets the user log in, by its name.
func TestIAMUser(t *testing.T) {
	s := fullStack()
	s.Database = nil
	text, err := s.Render()
	if want := "dbuser:*/kitamae"; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("no %s in the template (%v)", want, err)
	}
}

// TestDeployment gives the same name to the same stack and another to any other.
func TestDeployment(t *testing.T) {
	a, b := fullStack(), fullStack()
	first, err := a.Deployment()
	if err != nil {
		t.Fatal(err)
	}
	if second, _ := b.Deployment(); first != second {
		t.Errorf("the same stack is called %s and %s", first, second)
	}
	b.Config += "x"
	if second, _ := b.Deployment(); first == second {
		t.Error("another config has the same name")
	}
}

func TestParseSchedule(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want Schedule
	}{
		{"0 5 * * *  Asia/Tokyo", Schedule{"cron(0 5 * * ? *)", "Asia/Tokyo", 26, 30.4}},
		{"30 */6 * * *", Schedule{"cron(30 */6 * * ? *)", "UTC", 8, 121.6}},
		{"0 5 * * 1-5", Schedule{"cron(0 5 ? * MON-FRI *)", "UTC", 168, 21.71}},
		{"0 5 * * 0,7", Schedule{"cron(0 5 ? * SUN,SUN *)", "UTC", 168, 8.69}},
		{"0 5 1 * *", Schedule{"cron(0 5 1 * ? *)", "UTC", 168, 1}},
	} {
		t.Run(tc.in, func(t *testing.T) {
			got, err := ParseSchedule(tc.in, "UTC")
			if err != nil {
				t.Fatal(err)
			}
			got.PerMonth = math.Round(got.PerMonth*100) / 100
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	for _, bad := range []string{"", "0 5 * *", "0 5 1 * 1", "0 5 * * *  Asia/Tokio", "0 5 * * 9"} {
		if s, err := ParseSchedule(bad, "UTC"); err == nil {
			t.Errorf("%q became %v", bad, s)
		}
	}
}

// TestRoleName keeps google.subject, the role's session, within Google's 127 bytes.
func TestRoleName(t *testing.T) {
	longest := strings.Repeat("a", 32)
	if !stackName.MatchString(longest) || stackName.MatchString(longest+"a") {
		t.Fatal("a name may have 32 bytes")
	}
	if subject := "arn:aws-us-gov:sts::123456789012:assumed-role/" + longest + "/" + strings.Repeat("f", 32); len(subject) > 127 {
		t.Errorf("google.subject would be %d bytes", len(subject))
	}
}

// TestEstimate does the sums again by hand.
func TestEstimate(t *testing.T) {
	u := Use{Region: "us-east-1", Arm: true, Size: SizeFor(0), Network: Network{PublicAddress: true}, RunsPerMonth: 30, MinutesPerRun: 10, GBPerRun: 1, Measured: "assumed"}
	for _, tc := range []struct {
		name   string
		change func(*Use)
		want   []float64 // Fargate's vCPU and memory, way out, egress, images, log, alarms, steps, secrets
		says   []string
	}{
		{"daily", func(*Use) {}, []float64{5 * 0.5 * 0.04048 * 0.8, 5 * 0.004445 * 0.8, 5 * 0.005, 0, 0.105, 0.015, 0.2, 0.0045},
			[]string{"    0.08  Fargate arm64, 0.5 vCPU", "30.0 runs x 10 min = 5.00 h, x 0.5 x 0.03238", "~  0.20  alarms", "     0.45  USD a month"}},
		{"through NAT, much", func(u *Use) { u.Network.PublicAddress, u.GBPerRun, u.Region = false, 10, "ap-northeast-1" },
			[]float64{5 * 0.5 * 0.05056 * 0.8, 5 * 0.00553 * 0.8, 300 * 0.062, 200 * 0.114, 0.105, 0.0228, 0.2, 0.0045},
			[]string{"~ 22.80  egress", "at 45 a month, which is not counted", "30.0 runs x 10 GB = 300.0 GB, less 100 free in an account, x 0.114"}},
		{"shards", func(u *Use) { u.Tasks, u.Arm, u.Size, u.Secrets = 4, false, Size{1024, 4096}, 2 },
			[]float64{20 * 0.04048, 80 * 0.004445, 0.1, 0, 0.105, 0.06, 0.2, 0.0045, 0.8}, []string{"30.0 runs x 10 min x 4 shards = 20.00 h", "2 x 0.40"}},
		{"another region", func(u *Use) { u.Region = "eu-north-1" }, []float64{0.1011, 0.0221, 0.025, 0, 0.105, 0.0228, 0.2, 0.0045}, []string{"~  0.10  Fargate"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := u
			tc.change(&u)
			costs := Estimate(u)
			table := Table(costs, u)
			if len(costs) != len(tc.want) {
				t.Fatalf("%d lines, want %d:\n%s", len(costs), len(tc.want), table)
			}
			for i, c := range costs {
				if math.Abs(c.Dollars-tc.want[i]) > 0.0001 {
					t.Errorf("%s is %.4f, want %.4f", c.What, c.Dollars, tc.want[i])
				}
			}
			for _, want := range tc.says {
				if !strings.Contains(table, want) {
					t.Errorf("no %q in\n%s", want, table)
				}
			}
		})
	}
}
