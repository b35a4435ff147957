package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kitamae/kitamae/deploy/aws"
	"github.com/kitamae/kitamae/deploy/eject"
	"github.com/kitamae/kitamae/fault"
)

// deployFlags are those of `deploy aws`.
type deployFlags struct {
	plan, print, yes, fromCI bool
	binaries                 []string
}

func (a *app) deployAWSCommand() *cobra.Command {
	var f deployFlags
	c := &cobra.Command{
		Use:   "aws",
		Short: "Deploy to AWS Fargate, or update what is deployed",
		Long: `Finds the source's database in RDS, its network and a way out; pushes this binary as an image; shows
the change set and a month's cost; applies it; runs doctor inside the task. After the first deployment it
starts a run, shows its log and ends with its exit code. Where there is nothing to change it changes nothing.`,
		Example: `  kitamae deploy aws --plan
  kitamae deploy aws --print > template.yml   # for review
  kitamae deploy aws --yes
  kitamae deploy aws --from-ci                # a workflow that plans on a pull request and applies on merge`,
		Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.fromCI {
				files, err := eject.Workflow(a.file)
				if err != nil {
					return err
				}
				return a.writeFiles(".", files)
			}
			return a.deployAWS(cmd, f)
		},
	}
	c.Flags().BoolVar(&f.plan, "plan", false, "show what would change and what a month costs, and change nothing")
	c.Flags().BoolVar(&f.print, "print", false, "print the CloudFormation template, and change nothing")
	c.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&f.fromCI, "from-ci", false, "write a GitHub Actions workflow that deploys, without any stored key")
	c.Flags().StringArrayVar(&f.binaries, "binary", nil, "a static Linux binary to deploy instead of this one; once for each architecture")
	return c
}

func (a *app) deployAWS(cmd *cobra.Command, f deployFlags) error {
	ctx := cmd.Context()
	j, c, zone, err := a.deploymentIn(ctx)
	if err != nil {
		return err
	}
	s, m, err := a.stack(ctx, j, c, f.binaries)
	if err != nil {
		return err
	}
	template, err := s.Render()
	if err != nil {
		return err
	}
	if f.print {
		_, err := a.Out.Write(template)
		return err
	}
	set, err := c.Plan(ctx, template)
	if err != nil {
		return err
	}
	a.printDeployment(c, s, set)
	if j.Destination.Use == "bigquery" {
		fmt.Fprintf(a.Out, "role: %s, which Google must trust: kitamae init --gcp --aws-role %s\n", c.Role(), c.Role())
	}
	if f.plan {
		if len(set.Changes) > 0 {
			a.tell("nothing was changed; `kitamae deploy aws` does it")
		}
		return c.Drop(ctx, set)
	}
	if len(set.Changes) > 0 {
		if err := a.confirm(f.yes, "apply?"); err != nil {
			return errors.Join(err, c.Drop(ctx, set))
		}
	}
	a.tell("pushing the image")
	if err := c.Push(ctx, m); err != nil {
		return errors.Join(err, c.Drop(ctx, set))
	}
	if err := c.StoreConfig(ctx, s); err != nil {
		return errors.Join(err, c.Drop(ctx, set))
	}
	if err := c.Apply(ctx, set, template); err != nil {
		return err
	}
	if err := c.StoreConfig(ctx, s); err != nil {
		return err
	}
	a.tell("doctor, inside the task")
	if err := ended(c.Once(ctx, a.cloudLog(zone), "doctor")); err != nil {
		return err
	}
	if !set.Fresh {
		return nil
	}
	a.tell("the first run")
	if err := ended(c.RunNow(ctx, a.cloudLog(zone))); err != nil {
		return err
	}
	if next, ok := nextRun(j, zone); ok {
		a.tell("deployed; the next run is at %s. `kitamae deploy status` shows how it is", next)
	}
	return nil
}

func (a *app) printDeployment(c *aws.Cloud, s *aws.Stack, set *aws.ChangeSet) {
	fmt.Fprintf(a.Out, "%s in %s, account %s\n", c.Name, c.Region, c.Account)
	fmt.Fprintf(a.Out, "network: %s\n", s.Network)
	if s.Shards > 0 {
		fmt.Fprintf(a.Out, "shards: %d, as an array job\n", s.Shards)
	}
	fmt.Fprintf(a.Out, "schedule: %s %s\n", s.Schedule.Expression, s.Schedule.Zone)
	if s.Database != nil && s.Database.Note != "" {
		fmt.Fprintf(a.Out, "note: %s\n", s.Database.Note)
	}
	if s.Database == nil {
		fmt.Fprintln(a.Out, "note: RDS does not know the source's host: let the stack's security group in where it runs")
	}
	if s.Alert == "" {
		fmt.Fprintf(a.Out, "note: deploy.alert names nobody: what goes wrong is told to the topic %s-alerts, to which nobody may have subscribed\n", c.Name)
	}
	if !s.Arm {
		fmt.Fprintln(a.Out, "note: this binary is for x86-64; kitamae-arm64 beside it, or --binary, saves a fifth of the price")
	}
	fmt.Fprintln(a.Out)
	a.printChanges(set)
	use := aws.Use{
		Region: c.Region, Arm: s.Arm, Size: s.Size, Network: s.Network, RunsPerMonth: s.Schedule.PerMonth,
		Tasks: s.Shards, Secrets: s.Managed(), Disk: s.Disk, MinutesPerRun: 10, GBPerRun: 1, Measured: "assumed",
	}
	fmt.Fprintf(a.Out, "\ncost of a month:\n%s", aws.Table(aws.Estimate(use), use))
}

func (a *app) printChanges(set *aws.ChangeSet) {
	if len(set.Changes) == 0 {
		fmt.Fprintln(a.Out, "nothing to change")
		return
	}
	var rows [][]string
	for _, ch := range set.Changes {
		rows = append(rows, []string{ch.Action, ch.Resource, ch.Type, ch.Detail})
	}
	grid(a.Out, []string{"change", "resource", "type", "what"}, rows)
}

// writeFiles writes files below folder and replaces none.
func (a *app) writeFiles(folder string, files map[string][]byte) error {
	for name := range files {
		if _, err := os.Stat(filepath.Join(folder, name)); !errors.Is(err, fs.ErrNotExist) {
			return fault.New(fault.Config, "eject.exists", "move it away, or name another folder with --out", "%s is there already", filepath.Join(folder, name))
		}
	}
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fault.Wrap(fault.Config, "eject.write", "look at the folder's permissions", err)
		}
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(string(text), "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(path, text, mode); err != nil {
			return fault.Wrap(fault.Config, "eject.write", "look at the folder's permissions", err)
		}
		fmt.Fprintf(a.Out, "wrote %s\n", path)
	}
	return nil
}
