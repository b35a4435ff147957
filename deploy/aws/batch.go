package aws

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"go.yaml.in/yaml/v3"
)

//go:embed batch.yml
var embeddedBatch []byte

// divide adds to a template what starts a run as shards: an array job that the runner submits in place of one task.
func (s Stack) divide(root *yaml.Node) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(embeddedBatch, &doc); err != nil {
		return err
	}
	extra := doc.Content[0]
	add := func(to *yaml.Node, from string) { to.Content = append(to.Content, at(extra, from).Content...) }
	add(at(root, "Resources"), "Resources")
	add(at(root, "Parameters"), "Parameters")
	add(at(root, "Outputs"), "Outputs")
	runner := at(root, "Resources", "Runner", "Properties", "Definition", "States")
	add(runner, "States")
	at(runner, "Begin", "Next").SetString("Which")
	grant(root, "RunnerRole", at(extra, "Statements").Content...)

	number := func(n int, keys ...string) {
		*at(root, keys...) = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(n)}
	}
	number(s.Shards, "Resources", "Runner", "Properties", "Definition", "States", "Shards", "Parameters", "ArrayProperties", "Size")
	number((s.Shards*s.Size.CPU+1023)/1024, "Resources", "ShardMachines", "Properties", "ComputeResources", "MaxvCpus")
	at(root, "Parameters", "Shards", "Default").SetString(strconv.Itoa(s.Shards))
	container := at(root, "Resources", "Shard", "Properties", "ContainerProperties")
	at(at(container, "ResourceRequirements").Content[0], "Value").SetString(fmt.Sprint(float64(s.Size.CPU) / 1024))
	task := at(root, "Resources", "Task", "Properties", "ContainerDefinitions").Content[0]
	for i := 0; i < len(task.Content); i += 2 { // what the config refers to is there as in the task
		if key := task.Content[i]; key.Value == "Environment" || key.Value == "Secrets" {
			container.Content = append(container.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key.Value}, task.Content[i+1])
		}
	}
	input := at(root, "Resources", "Schedule", "Properties", "Target", "Input")
	input.Value = strings.Replace(input.Value, `["run",`, `["shard",`, 1)
	return nil
}

// shardStreams begin the names of the shards' log streams.
const shardStreams = "shard/"

// followShards writes what all shards of a run log, until the run is over, and returns [*Ended] unless it went well.
func (c *Cloud) followShards(ctx context.Context, w io.Writer, execution string) error {
	since, told := time.Now().Add(-time.Minute), map[string]bool{} // the service's clock may differ
	for last := 0; ; {
		run, err := c.sfn.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &execution})
		if err != nil {
			return c.fault("look at the run", err)
		}
		pages := cloudwatchlogs.NewFilterLogEventsPaginator(c.logs, &cloudwatchlogs.FilterLogEventsInput{
			LogGroupName: aws.String("/kitamae/" + c.Name), LogStreamNamePrefix: aws.String(shardStreams), StartTime: aws.Int64(since.UnixMilli()),
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return c.fault("read the log", err)
			}
			for _, e := range page.Events {
				if id := aws.ToString(e.EventId); !told[id] && strings.HasPrefix(aws.ToString(e.LogStreamName), shardStreams) {
					told[id] = true
					fmt.Fprintln(w, strings.TrimRight(aws.ToString(e.Message), "\n"))
				}
			}
		}
		if run.Status != sfntypes.ExecutionStatusRunning {
			if last++; last > 2 { // the log may come a little later than the end
				if run.Status == sfntypes.ExecutionStatusSucceeded {
					return nil
				}
				return &Ended{1, fmt.Sprintf("the run %s: %s", strings.ToLower(string(run.Status)), aws.ToString(run.Cause))}
			}
		}
		if err := c.wait(ctx); err != nil {
			return err
		}
	}
}
