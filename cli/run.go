package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
	"github.com/kitamae/kitamae/lineage"
	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/serve"
	"github.com/kitamae/kitamae/telemetry"
)

func (a *app) runCommand() *cobra.Command {
	var at string
	var only []string
	c := &cobra.Command{
		Use:   "run",
		Short: "Move all tables, verify them, publish them",
		Long: `Moves every table the config selects under one consistent view of the source, verifies
what arrived, publishes all of it at once and prints a summary. A table that does not verify is
held back: readers keep yesterday's, and the exit code says so.

With --table only those tables are read and published; the others stay as they are.

A scheduler that may start a run twice gives the time it was scheduled for, by --scheduled-time, KITAMAE_RUN_AT or KITAMAE_RUN_ID: once
a run for that time has published everything, or while one is under way, another start does nothing and ends well.`,
		Example: `  kitamae run
  kitamae run --table orders --table "log_*"
  kitamae run -f staging.yml --log-format json`,
		Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			j, err := a.load()
			if err != nil {
				return err
			}
			_, err = a.drive(cmd.Context(), j, wanted{occasion: run.Occasion(a.scheduled(at)), only: only})
			var already *run.Already
			if errors.As(err, &already) {
				fmt.Fprintln(a.Err, already)
				return nil
			}
			return err
		},
	}
	c.Flags().StringVar(&at, "scheduled-time", "", "what this start is for, as in 2026-11-29T05:00:00+09:00")
	c.Flags().StringArrayVar(&only, "table", nil, "a table to move, or a glob in quotes; may be given again")
	return c
}

// scheduled is what a start is for: as the flag says it, or the scheduler's variable.
func (a *app) scheduled(flag string) string {
	for _, name := range []string{"KITAMAE_RUN_AT", "KITAMAE_RUN_ID"} {
		if flag == "" {
			flag, _ = a.Getenv(name)
		}
	}
	return flag
}

// wanted is what a run is for, beside the job: see the fields of [run.Request].
type wanted struct {
	occasion string
	only     []string
	saved    *run.Saved
	do       func(context.Context, run.Request) (*run.Report, error) // nil is run.Drive
}

// drive runs j, tells its progress on Err and prints its summary on Out. Where nobody watches, whoever the config names is
// told how it ended. A saved plan is what the run must be.
func (a *app) drive(ctx context.Context, j *job.Job, w wanted) (*run.Report, error) {
	debug.SetMemoryLimit(run.NewBudget(j.Limits.Memory).GoHeap)
	t := a.teller()
	req, err := a.request(ctx, j, t.observe)
	if err != nil {
		return nil, err
	}
	req.Saved, req.Occasion, req.Only = w.saved, w.occasion, w.only
	if w.do == nil {
		w.do = run.Drive
	}
	report, err := a.followed(ctx, req, w.do)
	t.end()
	if c := lineage.FromEnv(a.Getenv); c != nil && report != nil {
		if err := c.Send(ctx, filepath.Base(j.File), report); err != nil {
			printFault(a.Err, err)
		}
	}
	// a shard that has nothing to report is one of many, or starts again
	ended := report != nil || err != nil && fault.From(err).Kind != fault.Interrupted
	if ended && (w.occasion != "" || !a.Terminal) {
		if tellErr := serve.Tell(ctx, req, report, err); tellErr != nil {
			printFault(a.Err, tellErr) // the run is what it is
		}
	}
	if report != nil && len(report.Tables) > 0 && !a.quiet && a.logFormat == "text" {
		zone, zoneErr := zoneOf(j)
		if zoneErr != nil {
			return report, errors.Join(err, zoneErr)
		}
		printReport(a.Out, report, zone)
	}
	return report, err
}

// followed does a run whose traces and metrics go where the config or OpenTelemetry's variables say. That they can't be sent is
// printed, and no reason not to run.
func (a *app) followed(ctx context.Context, req run.Request, do func(context.Context, run.Request) (*run.Report, error)) (*run.Report, error) {
	spec := req.Job.Telemetry
	err := conf.Resolve(ctx, &spec, req.Secrets)
	var c *telemetry.Client
	if err == nil {
		c, err = telemetry.Open(ctx, spec, a.Getenv, filepath.Base(req.Job.File), req.Job.State, Version)
	}
	if err != nil {
		printFault(a.Err, err)
	}
	if c == nil {
		return do(ctx, req)
	}
	req.Follow = c.Follow
	report, err := do(ctx, req)
	if sendErr := c.Close(ctx); sendErr != nil {
		printFault(a.Err, sendErr)
	}
	return report, err
}

// zoneOf is the business day's zone.
func zoneOf(j *job.Job) (*time.Location, error) {
	zone, err := time.LoadLocation(j.Timezone)
	return zone, fault.Wrap(fault.Config, "config.timezone", "use an IANA name such as Asia/Tokyo", err)
}
