package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/kitamae/kitamae/connectors/all"
	"github.com/kitamae/kitamae/deploy/aws"
	"github.com/kitamae/kitamae/deploy/eject"
	"github.com/kitamae/kitamae/deploy/image"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
	"github.com/kitamae/kitamae/job/native"
	"github.com/kitamae/kitamae/schedule"
)

func (a *app) deployCommand() *cobra.Command {
	var target, out, img string
	c := &cobra.Command{
		Use:   "deploy",
		Short: "Run the config in a cloud, at its schedule, watched",
		Long: `Puts this binary and the config into an AWS account as one stack: a Fargate task at the config's
schedule, started again when it died, and an alarm when data grows old. For other places, --eject
writes files to own.`,
		Example: `  kitamae deploy aws --plan       # what would change, and what a month costs
  kitamae deploy aws              # do it, try every link, run once
  kitamae deploy status
  kitamae deploy --eject kubernetes --image registry.example.com/kitamae@sha256:…`,
		Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if target == "" {
				return cmd.Help()
			}
			return a.eject(cmd.Context(), target, img, out)
		},
	}
	c.Flags().StringVar(&target, "eject", "", "write files to own, for "+strings.Join(eject.Targets(), ", "))
	c.Flags().StringVar(&img, "image", "", "the image that ejected files name, by digest")
	c.Flags().StringVar(&out, "out", ".", "the folder that ejected files go into")
	c.AddCommand(a.deployAWSCommand(), a.deployStatusCommand(), a.deployLogsCommand(), a.deployRunNowCommand(), a.deployRollbackCommand(), a.deployDestroyCommand())
	return c
}

// deployment reads the config as its task will find it, and logs in to the cloud where its stack is.
func (a *app) deployment(ctx context.Context) (*job.Job, *aws.Cloud, error) {
	j, err := a.loadForDeploy()
	if err != nil {
		return nil, nil, err
	}
	if e := j.Deploy.Engine; e == job.EngineKubernetes {
		return nil, nil, fault.New(fault.Config, "deploy.engine", "use --eject kubernetes, or deploy: {engine: aws-batch}", "deploy.engine is %s, which is not on AWS", e)
	}
	name, err := aws.NameFor(j)
	if err != nil {
		return nil, nil, err
	}
	c, err := aws.Open(ctx, name, j.Deploy.Region, a.tell)
	if err != nil {
		return nil, nil, err
	}
	c.State = j.State
	if host, ok := a.Getenv("KITAMAE_DEPLOY_REGISTRY"); ok {
		c.Registry = host
	}
	return j, c, nil
}

func (a *app) tell(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.Err, format+"\n", args...)
	}
}

// loadForDeploy reads the config where the variables that hold the task's secrets are not set.
func (a *app) loadForDeploy() (*job.Job, error) {
	var head struct {
		Deploy struct {
			Secrets map[string]string `yaml:"secrets"`
		} `yaml:"deploy"`
	}
	if data, err := os.ReadFile(a.file); err == nil {
		_ = yaml.Unmarshal(data, &head) // what is wrong with the file, Load says with its place
	}
	return native.Load(a.file, all.Registry(), aws.Placeholders(head.Deploy.Secrets, a.Getenv))
}

// stack is the job's stack: what the config says, what the account has, and the image.
func (a *app) stack(ctx context.Context, j *job.Job, c *aws.Cloud, binaries []string) (*aws.Stack, *image.Image, error) {
	data, err := os.ReadFile(a.file)
	if err != nil {
		return nil, nil, fault.Wrap(fault.Config, "config.unreadable", "check the file's permissions", err)
	}
	packed, err := native.Pack(data)
	if err != nil {
		return nil, nil, err
	}
	s := &aws.Stack{Name: c.Name, File: data}
	if err := s.For(j, packed, a.Getenv); err != nil {
		return nil, nil, err
	}
	place, err := aws.SourcePlace(j)
	if err != nil {
		return nil, nil, err
	}
	if err := c.Surroundings(ctx, s, place, j.Deploy.VPC); err != nil {
		return nil, nil, err
	}
	m, err := makeImage(binaries)
	if err != nil {
		return nil, nil, err
	}
	s.Image, s.Arm = c.Address(m), m.Arch() == "arm64"
	return s, m, nil
}

func (a *app) deployStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "How the deployment is: runs, alarms, what was deployed", Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			j, c, zone, err := a.deploymentIn(cmd.Context())
			if err != nil {
				return err
			}
			s, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			a.printStatus(c, s, zone)
			if next, ok := nextRun(j, zone); ok {
				fmt.Fprintf(a.Out, "\nnext run: %s\n", next)
			}
			return nil
		},
	}
}

// moment is how commands about a deployment write a time.
const moment = "2006-01-02 15:04:05 MST"

// deploymentIn is [app.deployment], and the zone that its times are shown in.
func (a *app) deploymentIn(ctx context.Context) (*job.Job, *aws.Cloud, *time.Location, error) {
	j, c, err := a.deployment(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	zone, err := deployZone(j)
	return j, c, zone, err
}

// deployZone is the zone that times of a deployment are shown in: its schedule's, else the business day's.
func deployZone(j *job.Job) (*time.Location, error) {
	zone, err := zoneOf(j)
	if err != nil {
		return nil, err
	}
	if s, err := schedule.Parse(j.Schedule, zone); err == nil { // a config without one has been refused where it matters
		zone = s.Zone()
	}
	return zone, nil
}

// nextRun is when the schedule of the config starts a run next; false where it says no time.
func nextRun(j *job.Job, zone *time.Location) (string, bool) {
	s, err := schedule.Parse(j.Schedule, zone)
	if err != nil {
		return "", false
	}
	next := s.Next(time.Now())
	return next.In(zone).Format(moment), !next.IsZero()
}

func (a *app) printStatus(c *aws.Cloud, s *aws.Status, zone *time.Location) {
	fmt.Fprintf(a.Out, "%s in %s: %s, deployment %s\nimage: %s\n", c.Name, c.Region, strings.ToLower(s.Stack), s.Deployment, s.Image)
	for _, alarm := range s.Alarms {
		fmt.Fprintf(a.Out, "alarm %s: %s\n", alarm.Name, alarm.State)
	}
	if s.Undelivered > 0 {
		fmt.Fprintf(a.Out, "%s of the schedule could not be made\n", count(int64(s.Undelivered), "call"))
	}
	for _, d := range s.Drift {
		fmt.Fprintf(a.Out, "not as deployed: %s\n", d)
	}
	var rows [][]string
	for _, r := range s.Runs {
		took := ""
		if !r.Ended.IsZero() {
			took = r.Ended.Sub(r.Begun).Round(time.Second).String()
		}
		rows = append(rows, []string{r.Begun.In(zone).Format(moment), r.Status, took})
	}
	if len(rows) > 0 {
		fmt.Fprintln(a.Out)
		grid(a.Out, []string{"run", "status", "took"}, rows)
	}
	rows = nil
	for _, p := range s.Past {
		mark := ""
		if p.Deployment == s.Deployment {
			mark = "now"
		}
		rows = append(rows, []string{p.At.In(zone).Format(moment), p.Deployment, mark})
	}
	if len(rows) > 0 {
		fmt.Fprintln(a.Out)
		grid(a.Out, []string{"deployed", "deployment", ""}, rows)
	}
}

func (a *app) deployRollbackCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "rollback", Short: "Go back to the deployment before: image, config and all", Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, c, err := a.deployment(cmd.Context())
			if err != nil {
				return err
			}
			past, template, err := c.Previous(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "back to deployment %s of %s\n", past.Deployment, past.At.Format(time.RFC3339))
			set, err := c.Plan(cmd.Context(), template)
			if err != nil {
				return err
			}
			a.printChanges(set)
			if err := a.confirm(yes, "apply?"); err != nil {
				return errors.Join(err, c.Drop(cmd.Context(), set))
			}
			return c.Apply(cmd.Context(), set, template)
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (a *app) deployDestroyCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "destroy", Short: "Remove the deployment; the bucket with state and history stays", Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, c, err := a.deployment(cmd.Context())
			if err != nil {
				return err
			}
			if err := a.confirm(yes, "remove "+c.Name+" in "+c.Region+"?"); err != nil {
				return err
			}
			if err := c.Destroy(cmd.Context()); err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "removed; s3://%s stays, and a new deployment goes on from it\n", c.Bucket())
			return nil
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// confirm asks a person; where nobody can be asked, only --yes will do.
func (a *app) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	fmt.Fprintf(a.Err, "%s [y/N] ", question)
	line, _ := bufio.NewReader(a.In).ReadString('\n') // no answer is no
	if answer := strings.ToLower(strings.TrimSpace(line)); answer == "y" || answer == "yes" {
		return nil
	}
	return fault.New(fault.Config, "deploy.unconfirmed", "answer y, or give --yes", "nothing was changed")
}

func (a *app) eject(ctx context.Context, target, img, out string) error {
	j, err := a.loadForDeploy()
	if err != nil {
		return err
	}
	data, err := os.ReadFile(a.file)
	if err != nil {
		return fault.Wrap(fault.Config, "config.unreadable", "check the file's permissions", err)
	}
	r := eject.Request{Target: target, Job: j, Config: data, Image: img, Getenv: a.Getenv}
	files, err := eject.Files(r)
	if err != nil {
		return err
	}
	if err := a.writeFiles(out, files); err != nil {
		return err
	}
	if note := eject.Note(r); note != "" {
		a.tell("note: %s", note)
	}
	return nil
}
