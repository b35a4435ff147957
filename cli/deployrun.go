package cli

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/kitamae/kitamae/deploy/aws"
	"github.com/kitamae/kitamae/fault"
)

func (a *app) deployLogsCommand() *cobra.Command {
	var since time.Duration
	c := &cobra.Command{
		Use: "logs", Short: "The tasks' log", Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, c, zone, err := a.deploymentIn(cmd.Context())
			if err != nil {
				return err
			}
			return c.Logs(cmd.Context(), a.cloudLog(zone), time.Now().Add(-since))
		},
	}
	c.Flags().DurationVar(&since, "since", 24*time.Hour, "how far to go back")
	return c
}

func (a *app) deployRunNowCommand() *cobra.Command {
	var only []string
	c := &cobra.Command{
		Use: "run-now", Short: "Start a run in the cloud, show its log, end with its exit code", Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, c, zone, err := a.deploymentIn(cmd.Context())
			if err != nil {
				return err
			}
			return ended(c.RunNow(cmd.Context(), a.cloudLog(zone), only...))
		},
	}
	c.Flags().StringArrayVar(&only, "table", nil, "a table to move, or a glob in quotes; may be given again; none for all")
	return c
}

// ended passes on a task's exit code: it is kitamae's own, with the same meaning.
func ended(err error) error {
	var e *aws.Ended
	if !errors.As(err, &e) {
		return err
	}
	const hint = "the lines above say why"
	switch e.Code {
	case 2:
		return fault.Wrap(fault.Config, "deploy.run", hint, err)
	case 3:
		return fault.Wrap(fault.Source, "deploy.run", hint, err)
	case 4:
		return fault.Wrap(fault.Destination, "deploy.run", hint, err)
	case 5:
		return fault.Wrap(fault.Verification, "deploy.run", hint, err)
	case 6:
		return fault.Wrap(fault.Interrupted, "deploy.run", hint, err)
	}
	return fault.Wrap(fault.Internal, "deploy.run", hint, err)
}
