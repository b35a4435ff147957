package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/kitamae/kitamae/fault"
)

// Surroundings finds what a stack for a source at that place rests on: the database, the network, the bucket of an earlier deployment.
func (c *Cloud) Surroundings(ctx context.Context, s *Stack, source Place, vpc string) error {
	var err error
	if s.Database, err = c.database(ctx, source.Host); err != nil {
		return err
	}
	if s.Database != nil && s.Database.OnlyWriter && source.AllowWriter != nil && !*source.AllowWriter { // the run would refuse it too, in the cloud
		return fault.New(fault.Config, "deploy.writer", "add a reader to the cluster; or accept it: source: {mysql: {allow_writer: true}}",
			"%s leads to an Aurora writer: %s", source.Host, s.Database.Note)
	}
	if vpc == "" && s.Database != nil {
		vpc = s.Database.VPC
	}
	if vpc == "" {
		if vpc, err = c.defaultVPC(ctx); err != nil {
			return err
		}
	}
	if s.Network, err = c.network(ctx, vpc); err != nil {
		return err
	}
	s.Bucket = c.Bucket()
	s.BucketThere, err = c.bucketThere(ctx)
	return err
}

// bucketThere says that the bucket exists and is not this stack's: an earlier one was destroyed and left it.
func (c *Cloud) bucketThere(ctx context.Context) (bool, error) {
	_, err := c.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(c.Bucket())})
	var missing *s3types.NotFound
	if errors.As(err, &missing) {
		return false, nil
	}
	if err != nil {
		return false, c.fault("look for the bucket "+c.Bucket(), err)
	}
	own, err := c.resource(ctx, "State")
	return own == "" && err == nil, err
}

// Change is one line of a change set.
type Change struct{ Action, Resource, Type, Detail string }

// ChangeSet is what applying a template would do.
type ChangeSet struct {
	Changes []Change
	Fresh   bool // there is no stack yet
	id      string
}

// Plan asks CloudFormation what template would change. The change set stays until it is applied or dropped.
func (c *Cloud) Plan(ctx context.Context, template []byte) (*ChangeSet, error) {
	status, err := c.status(ctx)
	if err != nil {
		return nil, err
	}
	set := &ChangeSet{Fresh: status == "" || status == cfntypes.StackStatusReviewInProgress}
	kind := cfntypes.ChangeSetTypeUpdate
	if set.Fresh {
		kind = cfntypes.ChangeSetTypeCreate
	}
	out, err := c.cfn.CreateChangeSet(ctx, &cloudformation.CreateChangeSetInput{
		StackName: &c.Name, ChangeSetName: aws.String(fmt.Sprintf("kitamae-%d", time.Now().UnixNano())), ChangeSetType: kind,
		TemplateBody: aws.String(string(template)), Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam},
		Tags: []cfntypes.Tag{{Key: aws.String("kitamae"), Value: &c.Name}},
	})
	if err != nil {
		return nil, c.fault("ask for the change set", err)
	}
	set.id = aws.ToString(out.Id)
	for {
		d, err := c.cfn.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{ChangeSetName: &set.id, StackName: &c.Name})
		if err != nil {
			return nil, c.fault("read the change set", err)
		}
		switch d.Status {
		case cfntypes.ChangeSetStatusCreateComplete:
			set.Changes = append(set.Changes, changes(d.Changes)...)
			return set, nil
		case cfntypes.ChangeSetStatusFailed:
			reason := aws.ToString(d.StatusReason)
			if strings.Contains(reason, "didn't contain changes") || strings.Contains(reason, "No updates") {
				return set, c.Drop(ctx, set)
			}
			return nil, fault.New(fault.Config, "deploy.change_set", "see what CloudFormation says", "the change set: %s", reason)
		}
		if err := c.wait(ctx); err != nil {
			return nil, err
		}
	}
}

func changes(list []cfntypes.Change) []Change {
	var out []Change
	for _, ch := range list {
		r := ch.ResourceChange
		if r == nil {
			continue
		}
		change := Change{Action: strings.ToLower(string(r.Action)), Resource: aws.ToString(r.LogicalResourceId), Type: aws.ToString(r.ResourceType)}
		if r.Replacement == cfntypes.ReplacementTrue {
			change.Action = "replace"
		}
		var scope []string
		for _, s := range r.Scope {
			scope = append(scope, string(s))
		}
		change.Detail = strings.Join(scope, ", ")
		out = append(out, change)
	}
	slices.SortFunc(out, func(a, b Change) int { return strings.Compare(a.Action+a.Type+a.Resource, b.Action+b.Type+b.Resource) })
	return out
}

// Drop forgets a change set, and the empty stack that stood for it where there was none.
func (c *Cloud) Drop(ctx context.Context, set *ChangeSet) error {
	if set.Fresh {
		_, err := c.cfn.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &c.Name})
		return c.fault("drop the change set", err)
	}
	_, err := c.cfn.DeleteChangeSet(ctx, &cloudformation.DeleteChangeSetInput{ChangeSetName: &set.id, StackName: &c.Name})
	return c.fault("drop the change set", err)
}

// Apply executes the change set, tells each resource as it comes, and remembers the template, so that it can be gone back to.
func (c *Cloud) Apply(ctx context.Context, set *ChangeSet, template []byte) error {
	if len(set.Changes) > 0 {
		began := time.Now().Add(-time.Minute) // CloudFormation's clock may differ
		if _, err := c.cfn.ExecuteChangeSet(ctx, &cloudformation.ExecuteChangeSetInput{ChangeSetName: &set.id, StackName: &c.Name}); err != nil {
			return c.fault("apply the change set", err)
		}
		if err := c.follow(ctx, began); err != nil {
			return err
		}
	}
	return c.remember(ctx, template)
}

// follow tells the stack's events until it rests.
func (c *Cloud) follow(ctx context.Context, since time.Time) error {
	told := map[string]bool{}
	var failure string
	for {
		status, err := c.status(ctx)
		if err != nil {
			return err
		}
		events, err := c.cfn.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: &c.Name})
		if err != nil {
			return c.fault("read the stack's events", err)
		}
		slices.Reverse(events.StackEvents)
		for _, e := range events.StackEvents {
			if id := aws.ToString(e.EventId); !told[id] && aws.ToTime(e.Timestamp).After(since) {
				told[id] = true
				state := string(e.ResourceStatus)
				if strings.HasSuffix(state, "FAILED") && failure == "" {
					failure = aws.ToString(e.LogicalResourceId) + ": " + aws.ToString(e.ResourceStatusReason)
				}
				c.Tell("  %-22s %s", strings.ToLower(strings.ReplaceAll(state, "_", " ")), aws.ToString(e.LogicalResourceId))
			}
		}
		switch {
		case status == cfntypes.StackStatusCreateComplete, status == cfntypes.StackStatusUpdateComplete:
			return nil
		case strings.HasSuffix(string(status), "IN_PROGRESS"):
		default:
			return fault.New(fault.Destination, "deploy.stack", "mend it and deploy again; a stack that failed at its first creation is removed by `kitamae deploy destroy`",
				"the stack is %s: %s", status, failure)
		}
		if err := c.wait(ctx); err != nil {
			return err
		}
	}
}

// Destroy removes the stack and the image's repository. The bucket stays, with cursors, ledger and history.
func (c *Cloud) Destroy(ctx context.Context) error {
	if _, err := c.deployed(ctx); err != nil {
		return err
	}
	if _, err := c.cfn.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &c.Name}); err != nil {
		return c.fault("delete the stack", err)
	}
	for {
		status, err := c.status(ctx)
		switch {
		case err != nil:
			return err
		case status == "" || status == cfntypes.StackStatusDeleteComplete:
			return c.removeRepository(ctx)
		case status == cfntypes.StackStatusDeleteFailed:
			return fault.New(fault.Destination, "deploy.stack", "see the stack's events in the console", "the stack could not be deleted")
		}
		if err := c.wait(ctx); err != nil {
			return err
		}
	}
}
