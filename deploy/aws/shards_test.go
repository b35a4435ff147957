package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logstypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job/native"
	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/state"
)

type object = map[string]any

// child is a shard as AWS Batch tells of it.
func child(index int, status, stream string, code any, stopped int, attempts ...object) object {
	return object{
		"jobId": fmt.Sprintf("job-1:%d", index), "jobName": "app", "jobQueue": "q", "jobDefinition": "d", "startedAt": 1, "status": status, "stoppedAt": stopped,
		"arrayProperties": object{"index": index}, "container": object{"exitCode": code, "logStreamName": stream}, "attempts": attempts,
	}
}

// arrayJob answers for Step Functions and AWS Batch: moto's jobs can't fail, and its executions submit none. An execution runs for as many looks
// as there are states of the children, then it has ended; without any it ends before it submits its job.
func arrayJob(t *testing.T, status string, states ...[]object) {
	t.Helper()
	var looks, polls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		var answer object
		switch {
		case action == "DescribeExecution":
			answer = object{"executionArn": "e", "stateMachineArn": "m", "startDate": 1, "status": "RUNNING"}
			if int(looks.Add(1)) >= len(states) {
				answer["status"], answer["cause"] = status, "no rights"
			}
		case action == "GetExecutionHistory" && len(states) > 0:
			answer = object{"events": []object{{"id": 1, "type": "TaskSubmitted", "timestamp": 1, "taskSubmittedEventDetails": object{
				"resource": "submitJob.sync", "resourceType": "batch", "output": `{"JobArn":"a","JobId":"job-1","JobName":"app"}`}}}}
		case action == "GetExecutionHistory":
			answer = object{"events": []object{}}
		case r.URL.Path == "/v1/describejobs":
			if !strings.Contains(string(body), `"job-1:0","job-1:1","job-1:2"`) {
				t.Errorf("asked for the jobs %s", body)
			}
			answer = object{"jobs": states[min(int(polls.Add(1)), len(states))-1]}
		default:
			t.Errorf("asked for %s %s", action, r.URL)
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL_SFN", server.URL)
	t.Setenv("AWS_ENDPOINT_URL_BATCH", server.URL)
}

// TestFollowShards: the run's end is that in its record, else the one of the shard that failed first; each line of a shard's log is written once,
// after its number.
func TestFollowShards(t *testing.T) {
	const at = "2026-11-29T05:00:00Z"
	killed := object{"container": object{"exitCode": 137, "reason": "OutOfMemoryError", "logStreamName": "shard/default/c"}}
	running := []object{child(0, "RUNNING", "shard/default/a", nil, 0), child(1, "RUNNABLE", "", nil, 0), child(2, "RUNNING", "shard/default/d", nil, 0, killed)}
	failed := []object{child(2, "FAILED", "shard/default/d", 3, 40, killed), child(0, "SUCCEEDED", "shard/default/a", 0, 10), child(1, "FAILED", "shard/default/b", 4, 50)}
	fine := []object{child(0, "SUCCEEDED", "shard/default/a", 0, 10), child(1, "SUCCEEDED", "shard/default/b", 0, 10), child(2, "SUCCEEDED", "shard/default/d", 0, 10, killed)}
	mismatch := &run.Failure{Kind: fault.Verification, Code: "verify.mismatch", Message: "users did not verify", Hint: "look"}
	for name, tc := range map[string]struct {
		status string
		states [][]object
		record *run.Report
		code   int
		says   string
	}{
		"nothing is recorded":         {"FAILED", [][]object{running, failed}, nil, 3, "shard 2 failed first: it ended with exit code 3"},
		"a fault is recorded":         {"FAILED", [][]object{running, failed}, &run.Report{Status: run.StatusFailed, Error: mismatch}, 5, "users did not verify"},
		"a table was held back":       {"SUCCEEDED", [][]object{fine}, &run.Report{Status: run.StatusPartial, Tables: []run.TableReport{{Error: mismatch}}}, 5, "ended as partial"},
		"published, and one was late": {"FAILED", [][]object{running, failed}, &run.Report{Status: run.StatusPublished}, 0, ""},
		"all went well":               {"SUCCEEDED", [][]object{running, fine}, nil, 0, ""},
		"it never began":              {"ABORTED", nil, nil, 1, "aborted before its shards began: no rights"},
	} {
		t.Run(name, func(t *testing.T) {
			arrayJob(t, tc.status, tc.states...)
			c := account(t, fmt.Sprintf("t%d", time.Now().UnixNano()%1e9), "eu-north-1")
			var told strings.Builder
			c.Tell = func(format string, args ...any) { fmt.Fprintf(&told, format+"\n", args...) }
			logged(t, c, map[string]string{"shard/default/a": "of a", "shard/default/b": "of b", "shard/default/c": "of c", "shard/default/d": "of d", "shard/default/x": "of another run", "run/kitamae/y": "of a task"})
			if tc.record != nil {
				tc.record.ID = run.ShardedID(at)
				recorded(t, c, tc.record)
			}
			var out strings.Builder
			err := c.followShards(t.Context(), &out, "e", 3, at)
			code := fault.ExitCode(err)
			if ended := (*Ended)(nil); errors.As(err, &ended) {
				code = ended.Code
			}
			if code != tc.code || tc.says != "" && !strings.Contains(fmt.Sprint(err), tc.says) {
				t.Errorf("ended with %d, %v; want %d, %s", code, err, tc.code, tc.says)
			}
			if tc.states == nil {
				return
			}
			for line, want := range map[string]int{"shard 0 | of a\n": 1, "shard 2 | of c\n": 1, "shard 2 | of d\n": 1, "shard 1 | of b\n": 1, "another run": 0, "of a task": 0} {
				if got := strings.Count(out.String(), line); got != want {
					t.Errorf("%q is written %d times, want %d:\n%s", line, got, want, out.String())
				}
			}
			if got := strings.Count(told.String(), "shard 2: it ended with exit code 137: OutOfMemoryError"); got != 1 {
				t.Errorf("told %d times that shard 2 died:\n%s", got, told.String())
			}
		})
	}
}

// TestUnwatched: who stops looking at a run is told that it goes on.
func TestUnwatched(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	failure := errors.New("no line")
	if err := unwatched(ctx, "the run", failure); !errors.Is(err, failure) {
		t.Errorf("somebody still looks: %v", err)
	}
	stop()
	if err := unwatched(ctx, "the run", ctx.Err()); !fault.HasCode(err, "deploy.unwatched") || fault.ExitCode(err) != 6 {
		t.Errorf("nobody looks any more: %v", err)
	}
	if err := unwatched(ctx, "the run", nil); err != nil {
		t.Errorf("it was over: %v", err)
	}
}

// logged puts a line into each log stream.
func logged(t *testing.T, c *Cloud, lines map[string]string) {
	t.Helper()
	ctx, group := t.Context(), aws.String(c.logGroup())
	must(c.logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: group}))(t)
	for stream, line := range lines {
		must(c.logs.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: group, LogStreamName: &stream}))(t)
		must(c.logs.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: group, LogStreamName: &stream, LogEvents: []logstypes.InputLogEvent{
			{Message: &line, Timestamp: aws.Int64(time.Now().UnixMilli())},
		}}))(t)
	}
}

// recorded writes a run's record where the tasks do.
func recorded(t *testing.T, c *Cloud, r *run.Report) {
	t.Helper()
	must(c.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{
		Bucket: aws.String(c.Bucket()), CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(c.Region)},
	}))(t)
	st, err := state.Open(t.Context(), "s3://"+c.Bucket(), native.PackedState)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	must(st.Put(t.Context(), "runs/"+r.ID+".json", text, ""))(t)
}
