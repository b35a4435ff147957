package guide

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logstypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"go.yaml.in/yaml/v3"

	"github.com/kitamae/kitamae/internal/servertest"
)

// fargate stands in front of moto and does what moto does not: it runs tasks. A task is the command of its task definition, or of
// the call, run by the program itself with the definition's environment and nothing else; its lines go into CloudWatch's log in moto, and its exit
// code into the answers of ECS and Step Functions. All other calls go to moto.
type fargate struct {
	t    *testing.T
	url  string
	aws  []string // what a task has from its surroundings
	cfg  aws.Config
	dir  string
	mu   sync.Mutex
	runs map[string]*task   // by task ARN and by execution ARN
	jobs map[string][]*task // of an array job, by execution ARN and by the job's ID: its children
	all  sync.WaitGroup
}

type task struct {
	arn     string
	stopped bool
	code    int
}

func newFargate(t *testing.T, region string) *fargate {
	t.Helper()
	moto := servertest.Moto(t)
	to, err := url.Parse(moto)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": moto, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": region, "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f := &fargate{t: t, cfg: cfg, dir: t.TempDir(), runs: map[string]*task{}, jobs: map[string][]*task{}, aws: []string{
		"AWS_ENDPOINT_URL=" + moto, "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=" + region, "AWS_EC2_METADATA_DISABLED=true",
	}}
	behind := httputil.NewSingleHostReverseProxy(to)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		sent := forMoto(body)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(sent)), int64(len(sent))
		_, action, called := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		if !called {
			action = r.URL.Path // as AWS Batch is asked
		}
		answer, err := f.answer(action, body)
		switch {
		case err != nil:
			t.Errorf("%s: %v", action, err)
			http.Error(w, err.Error(), http.StatusInternalServerError)
		case answer == nil:
			behind.ServeHTTP(w, r)
		default:
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			_ = json.NewEncoder(w).Encode(answer)
		}
	}))
	t.Cleanup(func() { f.all.Wait(); server.Close() })
	f.url = server.URL
	return f
}

type object = map[string]any

// answer is what ECS or Step Functions would say; nil leaves the call to moto.
func (f *fargate) answer(action string, body []byte) (object, error) {
	var ask struct {
		TaskDefinition string
		Overrides      struct {
			ContainerOverrides []struct{ Command []string }
		}
		Tasks        []string
		Input        string
		ExecutionArn string
		Jobs         []string
	}
	switch action {
	case "RunTask", "DescribeTasks", "StartExecution", "DescribeExecution", "GetExecutionHistory", "/v1/describejobs":
		if err := json.Unmarshal(body, &ask); err != nil {
			return nil, err
		}
	}
	now := float64(time.Now().Unix())
	switch action {
	case "RunTask":
		k, err := f.start(ask.TaskDefinition, ask.Overrides.ContainerOverrides[0].Command, nil, logPrefix)
		return object{"tasks": []object{f.look(k.arn).json()}, "failures": []object{}}, err
	case "DescribeTasks":
		return object{"tasks": []object{f.look(ask.Tasks[0]).json()}, "failures": []object{}}, nil
	case "StartExecution":
		var in struct {
			RunID   string `json:"run_id"`
			Command []string
		}
		if err := json.Unmarshal([]byte(ask.Input), &in); err != nil {
			return nil, err
		}
		var machine struct{ StateMachineArn string }
		if err := json.Unmarshal(body, &machine); err != nil {
			return nil, err
		}
		family := machine.StateMachineArn[strings.LastIndex(machine.StateMachineArn, ":")+1:]
		execution := strings.Replace(machine.StateMachineArn, "stateMachine", "execution", 1) + ":" + servertest.FreshName(f.t)
		runID := "KITAMAE_RUN_ID=" + in.RunID
		if in.Command[0] == "shard" {
			return object{"executionArn": execution, "startDate": now}, f.startArray(family, execution, in.Command, runID)
		}
		k, err := f.start(family, in.Command, []string{runID}, logPrefix)
		if err != nil {
			return nil, err
		}
		f.mu.Lock()
		f.runs[execution] = k
		f.mu.Unlock()
		return object{"executionArn": execution, "startDate": now}, nil
	case "DescribeExecution":
		if f.children(ask.ExecutionArn) != nil {
			return object{"executionArn": ask.ExecutionArn, "status": f.arrayStatus(ask.ExecutionArn), "startDate": now}, nil
		}
		status := "RUNNING"
		if k := f.look(ask.ExecutionArn); k.stopped && k.code == 0 {
			status = "SUCCEEDED"
		} else if k.stopped {
			status = "FAILED"
		}
		return object{"executionArn": ask.ExecutionArn, "status": status, "startDate": now}, nil
	case "GetExecutionHistory":
		submitted := object{"Tasks": []object{{"TaskArn": f.look(ask.ExecutionArn).arn}}}
		if f.children(ask.ExecutionArn) != nil {
			submitted = object{"JobId": jobOf(ask.ExecutionArn)}
		}
		out, err := json.Marshal(submitted)
		return object{"events": []object{{"id": 1, "type": "TaskSubmitted", "timestamp": now,
			"taskSubmittedEventDetails": object{"resource": "runTask.sync", "resourceType": "ecs", "output": string(out)}}}}, err
	case "/v1/describejobs":
		return f.describeJobs(ask.Jobs), nil
	}
	return nil, nil
}

func (k task) json() object {
	o := object{"taskArn": k.arn, "lastStatus": "RUNNING", "containers": []object{{"name": "kitamae"}}}
	if k.stopped {
		o["lastStatus"], o["stopCode"], o["containers"] = "STOPPED", "EssentialContainerExited", []object{{"name": "kitamae", "exitCode": k.code}}
	}
	return o
}

func (f *fargate) look(arn string) task {
	f.mu.Lock()
	defer f.mu.Unlock()
	if k := f.runs[arn]; k != nil {
		return *k
	}
	return task{arn: arn}
}

// start runs the definition's container with a command; its log's name begins with prefix.
func (f *fargate) start(family string, command, env []string, prefix string) (*task, error) {
	container, err := f.defined(family)
	if err != nil {
		return &task{}, err
	}
	for _, pair := range container.Environment {
		env = append(env, pair.Name+"="+pair.Value)
	}
	self, err := os.Executable()
	if err != nil {
		return &task{}, err
	}
	id := servertest.FreshName(f.t)
	k := &task{arn: "arn:aws:ecs:" + f.cfg.Region + ":123456789012:task/" + family + "/" + id}
	cmd := exec.Command(self, command...)
	cmd.Dir, cmd.Env = f.dir, append(append(env, f.aws...), childVar+"=1")
	pipe, err := cmd.StderrPipe()
	if err != nil {
		return k, err
	}
	cmd.Stdout = cmd.Stderr
	if err := cmd.Start(); err != nil {
		return k, err
	}
	f.mu.Lock()
	f.runs[k.arn] = k
	f.mu.Unlock()
	f.all.Go(func() {
		err := f.log(logGroup+family, prefix+"/"+container.Name+"/"+id, pipe)
		err = errors.Join(err, ended(cmd.Wait()))
		if err != nil {
			f.t.Error(err)
		}
		f.mu.Lock()
		k.stopped, k.code = true, cmd.ProcessState.ExitCode()
		f.mu.Unlock()
	})
	return k, nil
}

// Where the log of tasks goes.
const logGroup, logPrefix = "/kitamae/", "run"

// container is what a task definition says of its one.
type container struct {
	Name        string
	Environment []struct{ Name, Value string }
}

// defined asks ECS for a task definition. moto loses what is in one when it updates a stack: then the stack's template says it, with its parameters
// filled in.
func (f *fargate) defined(family string) (c container, err error) {
	ctx := context.Background()
	out, err := ecs.NewFromConfig(f.cfg).DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &family})
	if err != nil {
		return c, err
	}
	if made := out.TaskDefinition.ContainerDefinitions[0]; made.Name != nil {
		c.Name = *made.Name
		if o := made.LogConfiguration.Options; o["awslogs-group"] != logGroup+family || o["awslogs-stream-prefix"] != logPrefix {
			return c, fmt.Errorf("the log goes to %v, where the program does not look for it", o)
		}
		for _, pair := range made.Environment {
			c.Environment = append(c.Environment, struct{ Name, Value string }{aws.ToString(pair.Name), aws.ToString(pair.Value)})
		}
		return c, nil
	}
	stack, err := cloudformation.NewFromConfig(f.cfg).GetTemplate(ctx, &cloudformation.GetTemplateInput{StackName: &family})
	if err != nil {
		return c, err
	}
	var template struct {
		Parameters map[string]struct {
			Default string `yaml:"Default"`
		} `yaml:"Parameters"`
		Resources struct {
			Task struct {
				Properties struct {
					ContainerDefinitions []struct {
						Name        string `yaml:"Name"`
						Environment []struct {
							Name  string `yaml:"Name"`
							Value string `yaml:"Value"`
						} `yaml:"Environment"`
					} `yaml:"ContainerDefinitions"`
				} `yaml:"Properties"`
			} `yaml:"Task"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal([]byte(aws.ToString(stack.TemplateBody)), &template); err != nil {
		return c, err
	}
	said := template.Resources.Task.Properties.ContainerDefinitions[0]
	c.Name = said.Name
	for _, pair := range said.Environment {
		for name, p := range template.Parameters {
			pair.Value = strings.ReplaceAll(pair.Value, "${"+name+"}", p.Default)
		}
		c.Environment = append(c.Environment, struct{ Name, Value string }{pair.Name, pair.Value})
	}
	return c, nil
}

// ended leaves exit codes to whoever looks at them.
func ended(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// log writes lines as the awslogs driver does.
func (f *fargate) log(group, stream string, lines io.Reader) error {
	ctx, logs := context.Background(), cloudwatchlogs.NewFromConfig(f.cfg)
	if _, err := logs.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &group, LogStreamName: &stream}); err != nil {
		return fmt.Errorf("log group %s: %w", group, err)
	}
	for in := bufio.NewScanner(lines); in.Scan(); {
		if in.Text() == "" {
			continue // the service refuses empty lines
		}
		event := logstypes.InputLogEvent{Message: aws.String(in.Text()), Timestamp: aws.Int64(time.Now().UnixMilli())}
		if _, err := logs.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: &stream, LogEvents: []logstypes.InputLogEvent{event}}); err != nil {
			return err
		}
	}
	return nil
}
