package guide

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"go.yaml.in/yaml/v3"
)

// shardPrefix begins the names of the shards' logs.
const shardPrefix = "shard"

// jobOf is the array job that an execution submits.
func jobOf(execution string) string { return "job-" + execution[strings.LastIndex(execution, ":")+1:] }

var batchType = regexp.MustCompile(`AWS::Batch::\w+`)

// forMoto has topics stand in for what AWS Batch would make of a template: moto makes it only for other kinds of machines.
func forMoto(body []byte) []byte {
	form, err := url.ParseQuery(string(body))
	if text := form.Get("TemplateBody"); err == nil && batchType.MatchString(text) {
		form.Set("TemplateBody", batchType.ReplaceAllString(text, "AWS::SNS::Topic"))
		return []byte(form.Encode())
	}
	return body
}

// startArray runs a command as an array job does: as many times as the stack says, each with its index.
func (f *fargate) startArray(family, execution string, command []string, runID string) error {
	out, err := cloudformation.NewFromConfig(f.cfg).GetTemplate(context.Background(), &cloudformation.GetTemplateInput{StackName: &family})
	if err != nil {
		return err
	}
	var template struct {
		Parameters struct {
			Shards struct {
				Default string `yaml:"Default"`
			} `yaml:"Shards"`
		} `yaml:"Parameters"`
	}
	if err := yaml.Unmarshal([]byte(aws.ToString(out.TemplateBody)), &template); err != nil {
		return err
	}
	n, err := strconv.Atoi(template.Parameters.Shards.Default)
	if err != nil {
		return err
	}
	children := make([]*task, n)
	var errs []error
	for i := range children {
		children[i], err = f.start(family, command, []string{runID, fmt.Sprintf("AWS_BATCH_JOB_ARRAY_INDEX=%d", i)}, shardPrefix)
		errs = append(errs, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jobs[execution], f.jobs[jobOf(execution)] = children, children
	return errors.Join(errs...)
}

// children are an array job's, as they are now; nil of what is none.
func (f *fargate) children(of string) (now []task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.jobs[of] {
		now = append(now, *k)
	}
	return now
}

func (f *fargate) arrayStatus(execution string) string {
	children := f.children(execution)
	switch {
	case slices.ContainsFunc(children, func(k task) bool { return !k.stopped }):
		return "RUNNING"
	case slices.ContainsFunc(children, func(k task) bool { return k.code != 0 }):
		return "FAILED"
	}
	return "SUCCEEDED"
}

// describeJobs answers for children by their IDs, job:index.
func (f *fargate) describeJobs(ids []string) object {
	var jobs []object
	for _, id := range ids {
		job, index, _ := strings.Cut(id, ":")
		i, err := strconv.Atoi(index)
		children := f.children(job)
		if err != nil || i >= len(children) {
			continue
		}
		k := children[i]
		container := object{"logStreamName": shardPrefix + "/kitamae/" + k.arn[strings.LastIndex(k.arn, "/")+1:]}
		status := "RUNNING"
		if k.stopped {
			container["exitCode"] = k.code
			status = map[bool]string{true: "SUCCEEDED", false: "FAILED"}[k.code == 0]
		}
		jobs = append(jobs, object{"jobId": id, "jobName": "j", "jobQueue": "q", "jobDefinition": "d", "startedAt": 1, "stoppedAt": 2, "status": status,
			"arrayProperties": object{"index": i}, "container": container})
	}
	return object{"jobs": jobs}
}
