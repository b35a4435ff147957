package aws

import (
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/kitamae/kitamae/job"
)

// TestShards asserts what a run in shards depends on: how many, with what each is the task's twin, and who is started again.
func TestShards(t *testing.T) {
	s := fullStack()
	s.Shards, s.Buckets, s.Size, s.Disk = 4, []string{"acme-lake/app"}, Size{512, 2048}, 50
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
		{get("Shard", "ContainerProperties", "EphemeralStorage", "SizeInGiB"), 50},
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
	if role := fmt.Sprint(get("TaskRole", "Policies")); !strings.Contains(role, ":s3:::acme-lake/app/*") || strings.Contains(role, ":s3:::acme-lake/*") {
		t.Errorf("the shards may not write to the bucket: %s", role)
	}
}

// TestElsewhere reads from the config what tasks share.
func TestElsewhere(t *testing.T) {
	type files struct {
		Dir string `json:"dir"`
	}
	j := &job.Job{
		State: "s3://acme-state/kitamae", Destination: job.End{Use: "files", Spec: &files{"s3://acme-lake/app"}},
		Deploy: job.Deploy{Engine: job.EngineBatch, Shards: 3},
	}
	var s Stack
	if err := s.elsewhere(j); err != nil || s.Shards != 3 || fmt.Sprint(s.Buckets) != "[acme-state/kitamae acme-lake/app]" {
		t.Errorf("%d shards, buckets %v, %v", s.Shards, s.Buckets, err)
	}
}
