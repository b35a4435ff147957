package aws

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"

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

	*at(root, "Resources", "Runner", "Properties", "Definition", "States", "Shards", "Parameters", "ArrayProperties", "Size") = *number(s.Shards)
	*at(root, "Resources", "ShardMachines", "Properties", "ComputeResources", "MaxvCpus") = *number((s.Shards*s.Size.CPU + 1023) / 1024)
	at(root, "Parameters", "Shards", "Default").SetString(strconv.Itoa(s.Shards))
	container := at(root, "Resources", "Shard", "Properties", "ContainerProperties")
	at(at(container, "ResourceRequirements").Content[0], "Value").SetString(fmt.Sprint(float64(s.Size.CPU) / 1024))
	if s.Disk > 0 {
		container.Content = append(container.Content, mapping("EphemeralStorage", mapping("SizeInGiB", number(s.Disk))).Content...)
	}
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
