package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
	"github.com/kitamae/kitamae/run"
)

func (a *app) applyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "apply PLAN",
		Short: "Run a saved plan, exactly or not at all",
		Long: `Runs what kitamae plan -o wrote. It plans anew first, and refuses when anything differs: the config,
the tables and columns at the source, or the state of the destination. What was looked at
and agreed to is what happens. How many rows a table has may differ: the plan only estimated it.`,
		Example: `  kitamae plan -o plan.json
  kitamae apply plan.json`,
		Args: args(1, 1, "one saved plan"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return fault.Wrap(fault.Config, "apply.not_a_plan", "write one with `kitamae plan -o plan.json`", err)
			}
			saved, err := run.ReadSaved(args[0], text)
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("file") {
				a.file = saved.Config
			}
			j, err := a.load()
			if err != nil {
				return err
			}
			_, err = a.drive(cmd.Context(), j, wanted{saved: saved})
			return err
		},
	}
}

// savePlan writes p where apply will read it.
func (a *app) savePlan(j *job.Job, p *run.Plan, name string) error {
	saved, err := run.Save(j, p, Version)
	if err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return fault.Wrap(fault.Config, "plan.output", "check the path after -o", err)
	}
	if err := encodeTo(f, saved); err != nil {
		f.Close()
		return fault.Wrap(fault.Config, "plan.output", "check the disk", err)
	}
	if err := f.Close(); err != nil {
		return fault.Wrap(fault.Config, "plan.output", "check the disk", err)
	}
	if !a.quiet {
		fmt.Fprintf(a.Err, "wrote %s: `kitamae apply %s` runs it\n", name, name)
	}
	return nil
}
