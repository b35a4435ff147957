package cli

import (
	"errors"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
	"github.com/kitamae/kitamae/run"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Move all tables, verify them, publish them",
		Long: `Moves every table the config selects under one consistent view of the source, verifies
what arrived, publishes all of it at once and prints a summary. A table that does not verify is
held back: readers keep yesterday's, and the exit code says so.`,
		Example: `  kitamae run
  kitamae run -f staging.yml --log-format json`,
		Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			j, err := a.load()
			if err != nil {
				return err
			}
			_, err = a.drive(cmd, j)
			return err
		},
	}
}

// drive runs j, tells its progress on Err and prints its summary on Out.
func (a *app) drive(cmd *cobra.Command, j *job.Job) (*run.Report, error) {
	debug.SetMemoryLimit(run.NewBudget(j.Limits.Memory).GoHeap)
	t := a.teller()
	report, err := run.Drive(cmd.Context(), a.request(j, t.observe))
	t.end()
	if report != nil && len(report.Tables) > 0 && !a.quiet && a.logFormat == "text" {
		zone, zoneErr := zoneOf(j)
		if zoneErr != nil {
			return report, errors.Join(err, zoneErr)
		}
		printReport(a.Out, report, zone)
	}
	return report, err
}

// zoneOf is the business day's zone.
func zoneOf(j *job.Job) (*time.Location, error) {
	zone, err := time.LoadLocation(j.Timezone)
	return zone, fault.Wrap(fault.Config, "config.timezone", "use an IANA name such as Asia/Tokyo", err)
}
