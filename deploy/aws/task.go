package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logstypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/kitamae/kitamae/fault"
)

// configFlag makes kitamae read its config from the task's environment.
const configFlag = "env:KITAMAE_CONFIG"

// Ended says that a task or run came to its end with a code other than 0. The command passes it on as its own.
type Ended struct {
	Code int // the container's exit code; 1 where it never had one
	Why  string
}

func (e *Ended) Error() string { return e.Why }

// Once runs one command in a task of its own, as doctor is, writes its log to w, and returns [*Ended] unless it went well.
func (c *Cloud) Once(ctx context.Context, w io.Writer, command ...string) error {
	out, err := c.deployed(ctx)
	if err != nil {
		return err
	}
	group, err := c.resource(ctx, "TaskSecurityGroup")
	if err != nil {
		return err
	}
	address := ecstypes.AssignPublicIp(out["PublicAddress"])
	started, err := c.ecs.RunTask(ctx, &ecs.RunTaskInput{
		Cluster: &c.Name, TaskDefinition: &c.Name, LaunchType: ecstypes.LaunchTypeFargate,
		NetworkConfiguration: &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{
			Subnets: strings.Split(out["Subnets"], ","), SecurityGroups: []string{group}, AssignPublicIp: address,
		}},
		Overrides: &ecstypes.TaskOverride{ContainerOverrides: []ecstypes.ContainerOverride{{
			Name: aws.String("kitamae"), Command: append(slices.Clone(command), "-f", configFlag),
		}}},
	})
	if err != nil {
		return c.fault("start the task", err)
	}
	if len(started.Tasks) == 0 {
		reason := "no reason was given"
		if len(started.Failures) > 0 {
			reason = aws.ToString(started.Failures[0].Reason)
		}
		return fault.New(fault.Destination, "deploy.no_task", "try again: the zone may be full", "Fargate started no task: %s", reason)
	}
	return unwatched(ctx, "the task", c.followTask(ctx, w, aws.ToString(started.Tasks[0].TaskArn)))
}

// followTask writes a task's log until it has stopped.
func (c *Cloud) followTask(ctx context.Context, w io.Writer, arn string) error {
	tail := &tail{c: c, w: w}
	for unknown := 0; ; {
		task, err := c.task(ctx, arn)
		if errors.Is(err, errUnknown) && unknown < mostUnknown {
			unknown++
		} else if err != nil {
			return err
		}
		if err := tail.read(ctx, arn); err != nil {
			return err
		}
		if aws.ToString(task.LastStatus) == "STOPPED" {
			return c.verdict(ctx, tail, task)
		}
		if err := c.wait(ctx); err != nil {
			return err
		}
	}
}

// errUnknown is ECS's answer for a task that it does not know, or not yet: what it started a moment ago it may only know a moment later.
var errUnknown = errors.New("the task is not known")

// mostUnknown is how often a task that was just started may be unknown.
const mostUnknown = 30

func (c *Cloud) task(ctx context.Context, arn string) (ecstypes.Task, error) {
	out, err := c.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &c.Name, Tasks: []string{arn}})
	if err == nil && len(out.Tasks) == 0 {
		err = errUnknown
	}
	if err != nil {
		return ecstypes.Task{}, c.fault("look at the task", err)
	}
	return out.Tasks[0], nil
}

// verdict is what became of a task that has stopped. The log may come a little later than the end.
func (c *Cloud) verdict(ctx context.Context, t *tail, task ecstypes.Task) error {
	for range 2 {
		if err := c.wait(ctx); err != nil {
			return err
		}
		if err := t.read(ctx, aws.ToString(task.TaskArn)); err != nil {
			return err
		}
	}
	for _, container := range task.Containers {
		if container.ExitCode == nil {
			continue
		}
		if code := int(*container.ExitCode); code != 0 {
			return &Ended{code, "the task: " + why(container.ExitCode, container.Reason)}
		}
		return nil
	}
	return &Ended{1, fmt.Sprintf("the task never ran (%s): %s", task.StopCode, aws.ToString(task.StoppedReason))}
}

// RunNow starts a run as the schedule would, of some tables only where some are named, and writes its log to w. It returns nil where it went
// well; else [*Ended], or of a run in shards the fault in its record.
func (c *Cloud) RunNow(ctx context.Context, w io.Writer, tables ...string) error {
	out, err := c.deployed(ctx)
	if err != nil {
		return err
	}
	shards := 0
	if n, err := strconv.Atoi(out["Shards"]); err == nil && len(tables) == 0 {
		shards = n
	}
	what := "run"
	if shards > 0 {
		what = "shard"
	}
	command := []string{what, "-f", configFlag, "--log-format", "json"}
	for _, table := range tables {
		command = append(command, "--table", table)
	}
	at := time.Now().UTC().Format(time.RFC3339)
	input, err := json.Marshal(map[string]any{"run_id": at, "command": command})
	if err != nil {
		return err
	}
	started, err := c.sfn.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: aws.String(c.runner()), Input: aws.String(string(input))})
	if err != nil {
		return c.fault("start the run", err)
	}
	execution := aws.ToString(started.ExecutionArn)
	if shards > 0 {
		err = c.followShards(ctx, w, execution, shards, at)
	} else {
		err = c.followTasks(ctx, w, execution)
	}
	return unwatched(ctx, "the run", err)
}

// unwatched says of what was started in the cloud that it goes on, where somebody stopped looking at it.
func unwatched(ctx context.Context, what string, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fault.New(fault.Interrupted, "deploy.unwatched", "see how it ends: `kitamae deploy logs`, `kitamae deploy status`", "%s goes on in the cloud; only its log is no longer shown", what)
}

// followTasks writes the log of a run's tasks until it is over.
func (c *Cloud) followTasks(ctx context.Context, w io.Writer, execution string) error {
	tail := &tail{c: c, w: w}
	for {
		run, err := c.sfn.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &execution})
		if err != nil {
			return c.fault("look at the run", err)
		}
		tasks, err := c.tasksOf(ctx, execution)
		if err != nil {
			return err
		}
		for _, arn := range tasks {
			if err := tail.read(ctx, arn); err != nil {
				return err
			}
		}
		if run.Status == sfntypes.ExecutionStatusRunning {
			if err := c.wait(ctx); err != nil {
				return err
			}
			continue
		}
		if len(tasks) > 0 {
			task, err := c.task(ctx, tasks[len(tasks)-1])
			if err != nil {
				return err
			}
			return c.verdict(ctx, tail, task)
		}
		if run.Status == sfntypes.ExecutionStatusSucceeded {
			return nil
		}
		return &Ended{1, fmt.Sprintf("the run %s without a task: %s", strings.ToLower(string(run.Status)), aws.ToString(run.Cause))}
	}
}

// tasksOf are the tasks a run has started, in order: more than one where one died.
func (c *Cloud) tasksOf(ctx context.Context, execution string) (arns []string, err error) {
	err = c.answers(ctx, execution, func(text []byte) {
		var answer struct {
			Tasks []struct{ TaskArn string }
		}
		if json.Unmarshal(text, &answer) == nil && len(answer.Tasks) > 0 {
			arns = append(arns, answer.Tasks[0].TaskArn)
		}
	})
	return arns, err
}

// answers hands out, in order, what the services answered that an execution asked to run something.
func (c *Cloud) answers(ctx context.Context, execution string, each func(text []byte)) error {
	pages := sfn.NewGetExecutionHistoryPaginator(c.sfn, &sfn.GetExecutionHistoryInput{ExecutionArn: &execution})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return c.fault("read the run's history", err)
		}
		for _, e := range page.Events {
			if e.TaskSubmittedEventDetails != nil {
				each([]byte(aws.ToString(e.TaskSubmittedEventDetails.Output)))
			}
		}
	}
	return nil
}

// tail follows tasks' logs and writes each line once.
type tail struct {
	c    *Cloud
	w    io.Writer
	next map[string]*string // by stream
}

func (t *tail) read(ctx context.Context, task string) error {
	stream := "run/kitamae/" + task[strings.LastIndex(task, "/")+1:]
	if t.next == nil {
		t.next = map[string]*string{}
	}
	for {
		out, err := t.c.logs.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{
			LogGroupName: aws.String(t.c.logGroup()), LogStreamName: &stream, StartFromHead: aws.Bool(true), NextToken: t.next[stream],
		})
		var missing *logstypes.ResourceNotFoundException
		if errors.As(err, &missing) {
			return nil // nothing written yet
		}
		if err != nil {
			return t.c.fault("read the log", err)
		}
		for _, e := range out.Events {
			fmt.Fprintln(t.w, strings.TrimRight(aws.ToString(e.Message), "\n"))
		}
		again := t.next[stream] == nil || aws.ToString(out.NextForwardToken) != aws.ToString(t.next[stream])
		t.next[stream] = out.NextForwardToken
		if len(out.Events) == 0 || !again {
			return nil
		}
	}
}

// Logs writes the log since then, of all tasks in the order of time.
func (c *Cloud) Logs(ctx context.Context, w io.Writer, since time.Time) error {
	if _, err := c.deployed(ctx); err != nil {
		return err
	}
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(c.logs, &cloudwatchlogs.FilterLogEventsInput{
		LogGroupName: aws.String(c.logGroup()), StartTime: aws.Int64(since.UnixMilli()),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return c.fault("read the log", err)
		}
		for _, e := range page.Events {
			fmt.Fprintln(w, strings.TrimRight(aws.ToString(e.Message), "\n"))
		}
	}
	return nil
}
