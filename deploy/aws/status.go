package aws

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Status is how a deployment is.
type Status struct {
	Stack, Deployment, Image string
	Runs                     []Run // the newest first
	Alarms                   []Alarm
	Undelivered              int      // calls of the schedule that could not be made
	Drift                    []string // resources of the template that CloudFormation reports as gone or never made
	Past                     []Past
}

// Run is one execution.
type Run struct {
	Status       string
	Begun, Ended time.Time // Ended is zero while it runs
}

// Alarm is one alarm's state: OK, ALARM or INSUFFICIENT_DATA.
type Alarm struct{ Name, State string }

// Status asks for everything at once.
func (c *Cloud) Status(ctx context.Context) (*Status, error) {
	out, err := c.deployed(ctx)
	if err != nil {
		return nil, err
	}
	state, err := c.status(ctx)
	if err != nil {
		return nil, err
	}
	s := &Status{Stack: string(state), Deployment: out["Deployment"], Image: out["Image"]}
	runs, err := c.sfn.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: aws.String(c.runner()), MaxResults: 10})
	if err != nil {
		return nil, c.fault("list the runs", err)
	}
	for _, r := range runs.Executions {
		s.Runs = append(s.Runs, Run{strings.ToLower(string(r.Status)), aws.ToTime(r.StartDate), aws.ToTime(r.StopDate)})
	}
	alarms, err := c.cw.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{c.Name + "-stale", c.Name + "-undelivered"}})
	if err != nil {
		return nil, c.fault("look at the alarms", err)
	}
	for _, a := range alarms.MetricAlarms {
		s.Alarms = append(s.Alarms, Alarm{aws.ToString(a.AlarmName), string(a.StateValue)})
	}
	if s.Undelivered, err = c.undelivered(ctx); err != nil {
		return nil, err
	}
	resources, err := c.cfn.DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: &c.Name})
	if err != nil {
		return nil, c.fault("look at the stack's resources", err)
	}
	for _, r := range resources.StackResources {
		if !strings.HasSuffix(string(r.ResourceStatus), "_COMPLETE") || r.ResourceStatus == "DELETE_COMPLETE" {
			s.Drift = append(s.Drift, aws.ToString(r.LogicalResourceId)+": "+string(r.ResourceStatus))
		}
	}
	s.Past, err = c.History(ctx)
	return s, err
}

func (c *Cloud) undelivered(ctx context.Context) (int, error) {
	queue, err := c.sqs.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(c.Name + "-dead-letters")})
	if err != nil {
		return 0, c.fault("look at the dead letters", err)
	}
	out, err := c.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: queue.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameApproximateNumberOfMessages},
	})
	if err != nil {
		return 0, c.fault("look at the dead letters", err)
	}
	n, err := strconv.Atoi(out.Attributes[string(sqstypes.QueueAttributeNameApproximateNumberOfMessages)])
	return n, c.fault("look at the dead letters", err)
}
