package aws

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logstypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"go.yaml.in/yaml/v3"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/job"
)

// TestShards asserts what a run in shards depends on: how many, with what each is the task's twin, and who is started again.
func TestShards(t *testing.T) {
	s := fullStack()
	s.Shards, s.Buckets, s.Size = 4, []string{"acme-lake"}, Size{512, 2048}
	text, err := s.Render()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Parameters map[string]struct {
			Default string `yaml:"Default"`
		} `yaml:"Parameters"`
		Resources map[string]struct {
			Properties map[string]any `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	get := func(resource string, path ...any) any {
		var v any = doc.Resources[resource].Properties
		for _, p := range path {
			switch p := p.(type) {
			case string:
				v = v.(map[string]any)[p]
			case int:
				v = v.([]any)[p]
			}
		}
		return v
	}
	for _, tc := range []struct{ got, want any }{
		{doc.Parameters["Shards"].Default, "4"},
		{get("ShardMachines", "ComputeResources", "MaxvCpus"), 2},
		{get("ShardMachines", "ComputeResources", "Type"), "FARGATE"},
		{get("Runner", "Definition", "States", "Begin", "Next"), "Which"},
		{get("Runner", "Definition", "States", "Which", "Default"), "Run"},
		{get("Runner", "Definition", "States", "Shards", "Parameters", "ArrayProperties", "Size"), 4},
		{get("Shard", "RetryStrategy", "Attempts"), 4},
		{get("Shard", "RetryStrategy", "EvaluateOnExit", 4, "OnExitCode"), "5"},
		{get("Shard", "ContainerProperties", "ResourceRequirements", 0, "Value"), "0.5"},
		{get("Shard", "ContainerProperties", "Command", 0), "shard"},
	} {
		if fmt.Sprint(tc.got) != fmt.Sprint(tc.want) {
			t.Errorf("got %v, want %v", tc.got, tc.want)
		}
	}
	for _, name := range []string{"Environment", "Secrets"} {
		shard, task := get("Shard", "ContainerProperties", name), get("Task", "ContainerDefinitions", 0, name)
		if fmt.Sprint(shard) != fmt.Sprint(task) || len(shard.([]any)) < 2 {
			t.Errorf("%s of a shard is %v, of the task %v", name, shard, task)
		}
	}
	if input := fmt.Sprint(get("Schedule", "Target", "Input")); !strings.Contains(input, `"command": ["shard", "-f"`) {
		t.Errorf("the schedule starts %s", input)
	}
	if role := fmt.Sprint(get("TaskRole", "Policies")); !strings.Contains(role, ":s3:::acme-lake/*") {
		t.Errorf("the shards may not write to the bucket: %s", role)
	}
}

// TestElsewhere reads from the config what tasks share, and refuses a folder that they can't.
func TestElsewhere(t *testing.T) {
	type files struct {
		Dir string `json:"dir"`
	}
	j := &job.Job{
		State: "s3://acme-state/kitamae", Destination: job.End{Use: "files", Spec: &files{"s3://acme-lake/app"}},
		Deploy: job.Deploy{Engine: job.EngineBatch, Shards: 3},
	}
	var s Stack
	if err := s.elsewhere(j); err != nil || s.Shards != 3 || fmt.Sprint(s.Buckets) != "[acme-state acme-lake]" {
		t.Errorf("%d shards, buckets %v, %v", s.Shards, s.Buckets, err)
	}
	j.Destination.Spec = &files{"out"}
	if err := s.elsewhere(j); !fault.HasCode(err, "deploy.shards_folder") {
		t.Errorf("a folder for shards: %v", err)
	}
}

// TestFollowShards reads what shards log, each line once, until their run is over.
func TestFollowShards(t *testing.T) {
	name := servertest.FreshName(t)
	c := account(t, name, "eu-north-1")
	ctx, group := t.Context(), aws.String("/kitamae/"+name)
	must(c.logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: group}))(t)
	for stream, line := range map[string]string{"shard/default/a": "of shard 0", "shard/default/b": "of shard 1", "run/kitamae/c": "of another task"} {
		must(c.logs.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: group, LogStreamName: &stream}))(t)
		must(c.logs.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: group, LogStreamName: &stream, LogEvents: []logstypes.InputLogEvent{
			{Message: &line, Timestamp: aws.Int64(time.Now().UnixMilli())},
		}}))(t)
	}
	machine := must(c.sfn.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{
		Name: &name, RoleArn: aws.String("arn:aws:iam::123456789012:role/follow"),
		Definition: aws.String(`{"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 3600, "End": true}}}`),
	}))(t)
	run := must(c.sfn.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: machine.StateMachineArn, Input: aws.String("{}")}))(t)
	must(c.sfn.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: run.ExecutionArn}))(t)
	var out strings.Builder
	err := c.followShards(ctx, &out, aws.ToString(run.ExecutionArn))
	var ended *Ended
	if !errors.As(err, &ended) || ended.Code != 1 || !strings.Contains(ended.Why, "aborted") {
		t.Errorf("a run that was stopped: %v", err)
	}
	for line, want := range map[string]int{"of shard 0\n": 1, "of shard 1\n": 1, "of another task": 0} {
		if got := strings.Count(out.String(), line); got != want {
			t.Errorf("%q is written %d times, want %d", line, got, want)
		}
	}
}
