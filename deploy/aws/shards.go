package aws

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"
	batchtypes "github.com/aws/aws-sdk-go-v2/service/batch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/kitamae/kitamae/bucket"
	"github.com/kitamae/kitamae/job/native"
	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/state"
)

// array follows a run in shards: the array job that an execution has submitted, and what its children log.
type array struct {
	c         *Cloud
	w         io.Writer
	execution string
	size      int    // how many shards
	job       string // the array job's ID, "" before it was submitted

	children []batchtypes.JobDetail // by index
	tries    []int                  // by index: the attempts that were told
	streams  map[string]int         // the index by log stream
	since    time.Time              // how far back the log may have lines that were not told
	told     map[string]time.Time   // events since then, by ID
}

// shardStreams begin the names of the shards' log streams.
const shardStreams = "shard/"

// lateLog is how much later than its time an event may turn up in the log, and by how much its clock may differ from ours.
const lateLog = 2 * time.Minute

// followShards writes what all shards of a run log, each line after the shard's number, until the run is over. at is the run's time. It returns
// nil where everything was published, the fault in the ledger's record where there is one, and else [*Ended] with the first failed shard's exit code.
func (c *Cloud) followShards(ctx context.Context, w io.Writer, execution string, size int, at string) error {
	a := &array{
		c: c, w: w, execution: execution, size: size, tries: make([]int, size), streams: map[string]int{},
		since: time.Now().Add(-lateLog), told: map[string]time.Time{},
	}
	for last := 0; ; {
		run, err := c.sfn.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &execution})
		if err != nil {
			return c.fault("look at the run", err)
		}
		if err := a.look(ctx); err != nil {
			return err
		}
		if err := a.read(ctx); err != nil {
			return err
		}
		if run.Status != sfntypes.ExecutionStatusRunning {
			if last++; last > 2 { // the log may come a little later than the end
				return a.verdict(ctx, run, at)
			}
		}
		if err := c.wait(ctx); err != nil {
			return err
		}
	}
}

// look asks how the children are, and tells what became of them since.
func (a *array) look(ctx context.Context) error {
	if a.job == "" {
		if err := a.submitted(ctx); err != nil || a.job == "" {
			return err
		}
		a.c.Tell("array job %s: %d shards", a.job, a.size)
	}
	ids := make([]string, a.size) // deploy.shards is less than the hundred that one call takes
	for i := range ids {
		ids[i] = fmt.Sprintf("%s:%d", a.job, i)
	}
	out, err := a.c.batch.DescribeJobs(ctx, &batch.DescribeJobsInput{Jobs: ids})
	if err != nil {
		return a.c.fault("look at the shards", err)
	}
	slices.SortFunc(out.Jobs, func(x, y batchtypes.JobDetail) int { return cmp.Compare(index(x), index(y)) })
	a.children = out.Jobs
	for _, child := range a.children {
		i := index(child)
		if i < 0 || i >= a.size {
			continue
		}
		for n, try := range child.Attempts {
			if try.Container == nil {
				continue
			}
			a.streams[aws.ToString(try.Container.LogStreamName)] = i
			if n < a.tries[i] || aws.ToInt32(try.Container.ExitCode) == 0 && try.Container.ExitCode != nil {
				continue
			}
			a.tries[i] = n + 1
			a.c.Tell("shard %d: %s", i, why(try.Container.ExitCode, try.Container.Reason, try.StatusReason))
		}
		if child.Container != nil {
			a.streams[aws.ToString(child.Container.LogStreamName)] = i
		}
	}
	return nil
}

func index(child batchtypes.JobDetail) int {
	if child.ArrayProperties == nil || child.ArrayProperties.Index == nil {
		return -1
	}
	return int(*child.ArrayProperties.Index)
}

// why says how an attempt ended that did not end well.
func why(code *int32, reasons ...*string) string {
	said := "it never ran"
	if code != nil {
		said = fmt.Sprintf("it ended with exit code %d", *code)
	}
	for _, reason := range reasons {
		if reason != nil && *reason != "" {
			return said + ": " + *reason
		}
	}
	return said
}

// submitted finds the array job in the execution's history.
func (a *array) submitted(ctx context.Context) error {
	return a.c.answers(ctx, a.execution, func(answer []byte) {
		var job struct {
			JobID string `json:"JobId"`
		}
		if json.Unmarshal(answer, &job) == nil && job.JobID != "" {
			a.job = job.JobID
		}
	})
}

// read writes the lines that came. Those of another run's shards, whose streams these shards do not have, are left alone.
func (a *array) read(ctx context.Context) error {
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(a.c.logs, &cloudwatchlogs.FilterLogEventsInput{
		LogGroupName: aws.String(a.c.logGroup()), LogStreamNamePrefix: aws.String(shardStreams), StartTime: aws.Int64(a.since.UnixMilli()),
	})
	newest := a.since
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return a.c.fault("read the log", err)
		}
		for _, e := range page.Events {
			i, ours := a.streams[aws.ToString(e.LogStreamName)]
			id, at := aws.ToString(e.EventId), time.UnixMilli(aws.ToInt64(e.Timestamp))
			if _, known := a.told[id]; known || !ours {
				continue
			}
			a.told[id] = at
			if at.After(newest) {
				newest = at
			}
			fmt.Fprintf(a.w, "shard %d | %s\n", i, strings.TrimRight(aws.ToString(e.Message), "\n"))
		}
	}
	if old := newest.Add(-lateLog); old.After(a.since) { // a long run's log is not read from its beginning each time
		a.since = old
		for id, at := range a.told {
			if at.Before(old) {
				delete(a.told, id)
			}
		}
	}
	return nil
}

// verdict is how the run ended: as the ledger has it; where it has nothing, as the first shard did that failed.
func (a *array) verdict(ctx context.Context, execution *sfn.DescribeExecutionOutput, at string) error {
	went := execution.Status == sfntypes.ExecutionStatusSucceeded
	r, err := a.c.recorded(ctx, run.ShardedID(at))
	switch {
	case err != nil && went:
		return nil // who may not read the ledger still sees that all shards ended well
	case err != nil:
		a.c.Tell("the ledger can't be read from here, so the shards' exit codes count: %v", err)
	case r != nil && !went && r.Fault() == nil:
		a.c.Tell("everything was published; %s", a.first().Why)
		return nil
	case r != nil:
		return r.Fault()
	case went:
		return nil
	}
	if a.job == "" {
		return &Ended{1, fmt.Sprintf("the run %s before its shards began: %s", strings.ToLower(string(execution.Status)), aws.ToString(execution.Cause))}
	}
	return a.first()
}

// first is the end of the shard that failed first.
func (a *array) first() *Ended {
	var first *batchtypes.JobDetail
	for i, child := range a.children {
		if child.Status == batchtypes.JobStatusFailed && (first == nil || aws.ToInt64(child.StoppedAt) < aws.ToInt64(first.StoppedAt)) {
			first = &a.children[i]
		}
	}
	if first == nil {
		return &Ended{1, "no shard says why the run failed"}
	}
	end := &Ended{Code: 1}
	var code *int32
	reasons := []*string{first.StatusReason}
	if c := first.Container; c != nil {
		code, reasons = c.ExitCode, []*string{c.Reason, first.StatusReason}
	}
	if code != nil {
		end.Code = int(*code)
	}
	end.Why = fmt.Sprintf("shard %d failed first: %s", index(*first), why(code, reasons...))
	return end
}

// recorded is a run's record in the ledger that the tasks write.
func (c *Cloud) recorded(ctx context.Context, id string) (*run.Report, error) {
	where := c.State
	if !bucket.Is(where) {
		where = "s3://" + c.Bucket() + "?region=" + c.Region
	}
	st, err := state.Open(ctx, where, native.PackedState)
	if err != nil {
		return nil, err
	}
	r, err := run.Recorded(ctx, st, id)
	return r, errors.Join(err, st.Close())
}
