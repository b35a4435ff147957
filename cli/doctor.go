package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/run"
)

func (a *app) doctorCommand() *cobra.Command {
	var prove bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Try every link a run rests on, and say how to mend what is broken",
		Long: `Tries each link by itself: logging in at the source, TLS, grants, the snapshot; credentials, rights and
space at the destination; the state, the disk. One line each: ✓ holds, ✗ does not, ! is worth mending
though a run goes through. It moves no rows. The exit code is that of the first ✗ (see exit-codes).

With --bigquery-checks it tries instead, in a scratch dataset that it makes and removes, what a run relies on
and no emulator can show.`,
		Example: `  kitamae doctor
  kitamae doctor -f staging.yml`,
		Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			j, err := a.load()
			if err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "%s → %s\n", j.Source.Place, j.Destination.Place)
			var broken []error
			links := 0
			req, err := a.request(cmd.Context(), j, nil)
			if err != nil {
				return err
			}
			found := func(l run.Link) {
				links++
				if l.Fault != nil && !l.Advice {
					broken = append(broken, l.Fault)
				}
				printLink(a.Out, l)
			}
			try := run.Doctor
			if prove {
				try = run.Prove
			}
			if err := try(cmd.Context(), req, found); err != nil {
				return err
			}
			if len(broken) == 0 {
				return nil
			}
			return &brokenLinks{links, broken}
		},
	}
	c.Flags().BoolVar(&prove, "bigquery-checks", false, "try in a scratch dataset what only BigQuery itself can show")
	return c
}

// brokenLinks stands for the faults of a doctor's links: its kind, code and hint are those of the first.
type brokenLinks struct {
	links  int
	faults []error
}

func (e *brokenLinks) Error() string {
	return fmt.Sprintf("%d of %s broken", len(e.faults), count(int64(e.links), "link"))
}

func (e *brokenLinks) Unwrap() []error { return e.faults }

// linkWidth lines up what was found.
const linkWidth = 40

func printLink(w io.Writer, l run.Link) {
	mark, said := "✓", l.Found
	if l.Fault != nil {
		mark, said = "✗", l.Fault.Error()
	}
	if l.Fault != nil && l.Advice {
		mark = "!"
	}
	indent := "\n" + strings.Repeat(" ", linkWidth+3)
	fmt.Fprintf(w, "%s %s %s\n", mark, fit(l.Of+": "+l.Link, linkWidth), strings.ReplaceAll(said, "\n", indent))
	if l.Fault != nil {
		if hint := fault.From(l.Fault).Hint; hint != "" {
			fmt.Fprintf(w, "  %s fix: %s\n", fit("", linkWidth), hint)
		}
	}
}
