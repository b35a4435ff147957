package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/run"
)

func (a *app) runsCommand() *cobra.Command {
	var asJSON bool
	var most int
	c := &cobra.Command{
		Use:   "runs [RUN]",
		Short: "Show the ledger: when, what, rows, seconds, verified or why not",
		Long:  `Lists this config's runs, newest first, in the business day's time zone; with a run's ID, its whole report.`,
		Example: `  kitamae runs
  kitamae runs 20261123T223300Z-1f0a`,
		Args: args(0, 1, "at most one run"),
		RunE: func(cmd *cobra.Command, args []string) error {
			j, err := a.load()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				most = 0
			}
			st, err := openState(cmd.Context(), j)
			if err != nil {
				return err
			}
			reports, err := run.Ledger(cmd.Context(), st, most)
			if err != nil {
				return err
			}
			zone, err := zoneOf(j)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return a.oneRun(reports, args[0], asJSON, zone)
			}
			if asJSON {
				return encode(a, reports)
			}
			if len(reports) == 0 {
				fmt.Fprintln(a.Out, "no runs yet; `kitamae run` makes the first")
				return nil
			}
			a.listRuns(reports, zone)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().IntVarP(&most, "most", "n", 20, "how many runs to list; 0 for all")
	return c
}

func encode(a *app, v any) error { return encodeTo(a.Out, v) }

func encodeTo(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func (a *app) oneRun(reports []run.Report, id string, asJSON bool, zone *time.Location) error {
	for i := range reports {
		if reports[i].ID != id {
			continue
		}
		if asJSON {
			return encode(a, reports[i])
		}
		printReport(a.Out, &reports[i], zone)
		if f := reports[i].Error; f != nil {
			fmt.Fprintf(a.Out, "error: %s\nhint: %s\n", f.Message, f.Hint)
		}
		return nil
	}
	return fault.New(fault.Config, "runs.unknown", "`kitamae runs` lists them", "no run %q in the ledger", id)
}

func (a *app) listRuns(reports []run.Report, zone *time.Location) {
	var rows [][]string
	for i := range reports {
		r := &reports[i]
		published, held := 0, 0
		level := ""
		for _, t := range r.Tables {
			switch t.Status {
			case run.StatusPublished:
				published++
				if t.Evidence != nil && level == "" {
					level = evidence(t.Evidence.Level, -1, 0)
				}
			case run.StatusHeldBack:
				held++
			}
		}
		why := level
		if r.Error != nil {
			why = r.Error.Message
		}
		tables := fmt.Sprint(published)
		if held > 0 {
			tables = fmt.Sprintf("%d of %d", published, published+held)
		}
		rows = append(rows, []string{
			r.ID, r.Started.In(zone).Format("2006-01-02 15:04:05 MST"), tables, humanize.Comma(r.Rows()),
			fmt.Sprintf("%.1f", r.Ended.Sub(r.Started).Seconds()), string(r.Status), why,
		})
	}
	grid(a.Out, []string{"run", "when", "tables", "rows", "seconds", "state", "verified, or why not"}, rows, 2, 3, 4)
}
