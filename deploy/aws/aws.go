// Package aws deploys kitamae into an AWS account as one CloudFormation stack: a Fargate task that runs at its time, is started
// again when it died, and is watched. What the task does is the run's matter.
package aws

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/kitamae/kitamae/awsauth"
	"github.com/kitamae/kitamae/fault"
)

// Cloud is one account's services in one region, and the deployment called Name in it.
type Cloud struct {
	Name    string
	Region  string
	Account string
	// Tell is told each step, in a line.
	Tell func(format string, args ...any)
	// State is where the config says that its state is kept; what is no bucket's address stands for the deployment's own.
	State string
	// Registry is where images go instead of the account's own; "" for that. Poll is how often what takes time is asked about.
	Registry string
	Poll     time.Duration

	batch *batch.Client
	cfn   *cloudformation.Client
	cw    *cloudwatch.Client
	logs  *cloudwatchlogs.Client
	ec2   *ec2.Client
	ecr   *ecr.Client
	ecs   *ecs.Client
	rds   *rds.Client
	s3    *s3.Client
	sfn   *sfn.Client
	sqs   *sqs.Client
}

// Open logs in. name names all that is made; region "" is the surroundings'.
func Open(ctx context.Context, name, region string, tell func(format string, args ...any)) (*Cloud, error) {
	cfg, err := awsauth.Config(ctx, region)
	if err != nil {
		return nil, err
	}
	if _, err := awsauth.Credentials(ctx, cfg); err != nil {
		return nil, err
	}
	c := &Cloud{
		Name: name, Region: cfg.Region, Tell: tell, Poll: 2 * time.Second,
		batch: batch.NewFromConfig(cfg), cfn: cloudformation.NewFromConfig(cfg), cw: cloudwatch.NewFromConfig(cfg), logs: cloudwatchlogs.NewFromConfig(cfg),
		ec2: ec2.NewFromConfig(cfg), ecr: ecr.NewFromConfig(cfg), ecs: ecs.NewFromConfig(cfg), rds: rds.NewFromConfig(cfg),
		s3:  s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = cfg.BaseEndpoint != nil }),
		sfn: sfn.NewFromConfig(cfg), sqs: sqs.NewFromConfig(cfg),
	}
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		return nil, c.fault("ask who we are", err)
	}
	c.Account = aws.ToString(who.Account)
	return c, nil
}

// Bucket is the state bucket's name: the same whenever the deployment is made again, so that it finds its cursors.
func (c *Cloud) Bucket() string { return fmt.Sprintf("kitamae-%s-%s-%s", c.Name, c.Account, c.Region) }

// logGroup is where all tasks log.
func (c *Cloud) logGroup() string { return "/kitamae/" + c.Name }

// fault tells what the cloud refused, and by which right it could be had.
func (c *Cloud) fault(doing string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	err = fmt.Errorf("%s: %w", doing, err)
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "Forbidden":
			return fault.Wrap(fault.Config, "deploy.denied", "ask for the right that the message names", err)
		}
	}
	return fault.Wrap(fault.Destination, "deploy.aws", "see what AWS says; the same command may be given again", err)
}

// wait pauses for one poll.
func (c *Cloud) wait(ctx context.Context) error {
	t := time.NewTimer(c.Poll)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// status is the stack's, "" when there is none.
func (c *Cloud) status(ctx context.Context) (cfntypes.StackStatus, error) {
	out, err := c.cfn.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &c.Name})
	if notThere(err) || err == nil && len(out.Stacks) == 0 {
		return "", nil
	}
	if err != nil {
		return "", c.fault("look at the stack", err)
	}
	return out.Stacks[0].StackStatus, nil
}

// notThere is CloudFormation's way to say that there is no such stack or resource.
func notThere(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "ValidationError"
}

// deployed is what the stack's template was filled with, by the names of its parameters; a fault when nothing is deployed.
func (c *Cloud) deployed(ctx context.Context) (map[string]string, error) {
	status, err := c.status(ctx)
	if err != nil {
		return nil, err
	}
	if status == "" || status == cfntypes.StackStatusReviewInProgress || status == cfntypes.StackStatusDeleteComplete {
		return nil, fault.New(fault.Config, "deploy.nothing", "`kitamae deploy aws` makes it; look also at the region", "there is no stack %s in %s", c.Name, c.Region)
	}
	out, err := c.cfn.GetTemplate(ctx, &cloudformation.GetTemplateInput{StackName: &c.Name, TemplateStage: cfntypes.TemplateStageOriginal})
	if err != nil {
		return nil, c.fault("read the stack's template", err)
	}
	return filled([]byte(aws.ToString(out.TemplateBody)))
}

// resource is what a resource of the template is called in its service, "" when the stack has none such.
func (c *Cloud) resource(ctx context.Context, logical string) (string, error) {
	out, err := c.cfn.DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: &c.Name})
	if notThere(err) {
		return "", nil
	}
	if err != nil {
		return "", c.fault("look for the stack's "+logical, err)
	}
	for _, r := range out.StackResources {
		if aws.ToString(r.LogicalResourceId) == logical && r.ResourceStatus != cfntypes.ResourceStatusDeleteComplete {
			return aws.ToString(r.PhysicalResourceId), nil
		}
	}
	return "", nil
}

// runner is the state machine's ARN.
func (c *Cloud) runner() string {
	return fmt.Sprintf("arn:%s:states:%s:%s:stateMachine:%s", c.partition(), c.Region, c.Account, c.Name)
}

// Role is the ARN of the role that the task has.
func (c *Cloud) Role() string {
	return fmt.Sprintf("arn:%s:iam::%s:role/%s", c.partition(), c.Account, c.Name)
}

func (c *Cloud) partition() string {
	switch {
	case strings.HasPrefix(c.Region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(c.Region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}
