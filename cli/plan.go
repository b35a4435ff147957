package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/kitamae/kitamae/job"
	"github.com/kitamae/kitamae/run"
)

func (a *app) planCommand() *cobra.Command {
	var asJSON, columns bool
	c := &cobra.Command{
		Use:   "plan",
		Short: "Show what a run would do, and change nothing",
		Long: `Shows, per table, the columns and types here and there, rows, bytes, partitions and what will
change; and where each setting came from. It reads the catalogue, not the rows, and changes nothing.`,
		Example: `  kitamae plan
  kitamae plan --columns           # every column of every table
  kitamae plan --json > plan.json`,
		Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			j, err := a.load()
			if err != nil {
				return err
			}
			s, err := run.Open(cmd.Context(), a.request(j, nil))
			if err != nil {
				return err
			}
			defer closing(s, &err)
			p, err := s.Plan(cmd.Context())
			if err != nil {
				return err
			}
			if err := s.Partitions(cmd.Context(), p); err != nil {
				return err
			}
			if asJSON {
				return encode(a, p)
			}
			printPlan(a.Out, p, j, columns)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	c.Flags().BoolVar(&columns, "columns", false, "show every column, not only those that differ")
	return c
}

// closing closes c when a command ends, and keeps the first error.
func closing(c io.Closer, err *error) {
	if e := c.Close(); *err == nil {
		*err = e
	}
}

func printPlan(w io.Writer, p *run.Plan, j *job.Job, columns bool) {
	fmt.Fprintf(w, "%s → %s\n", p.Source, p.Destination)
	fmt.Fprintf(w, "consistency: %s", p.Guarantee)
	if p.Position != "" {
		fmt.Fprintf(w, " (%s)", p.Position)
	}
	fmt.Fprint(w, "\n\n")
	var rows [][]string
	for _, t := range p.Tables {
		rows = append(rows, []string{
			t.Scan.Table.Ref(), t.Target.Name, string(t.Target.Mode), fmt.Sprint(len(t.Target.Columns)),
			"~" + rowsOrUnknown(t.Scan.Table.Rows), "~" + bytes(t.Scan.Table.Bytes), humanize.Comma(int64(t.Partitions)), willChange(t),
		})
	}
	grid(w, []string{"from", "to", "mode", "columns", "rows", "bytes", "partitions", "what changes"}, rows, 3, 4, 5, 6)
	for _, t := range p.Tables {
		printTablePlan(w, t, columns)
	}
	for _, name := range p.Stale {
		fmt.Fprintf(w, "\n%s: no longer at the source; will be kept as it is\n", name)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(w, "\nnote: %s\n", n)
	}
	printOrigins(w, j)
}

func willChange(t run.PlannedTable) string {
	switch {
	case !t.Target.Exists:
		return "new table"
	case len(t.Target.Changes) == 0:
		return "rows"
	}
	return count(int64(len(t.Target.Changes)), "column change")
}

// printTablePlan shows a table's columns: all of them for a new table or when asked, else what is worth a look.
func printTablePlan(w io.Writer, t run.PlannedTable, all bool) {
	var rows [][]string
	for i, c := range t.Target.Columns {
		from := t.Scan.Columns[i]
		if all || c.Name != from.Name || c.Note != "" || len(from.Notes) > 0 {
			note := strings.Join(append(append([]string{}, from.Notes...), c.Note), "; ")
			rows = append(rows, []string{from.Name, from.Native, c.Name, c.Native, strings.Trim(note, "; ")})
		}
	}
	if len(rows)+len(t.LeftOut)+len(t.Notes)+len(t.Target.Notes)+len(t.Target.Changes) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", t.Scan.Table.Ref())
	for _, c := range t.Target.Changes {
		fmt.Fprintf(w, "  change: %s\n", c)
	}
	if len(t.LeftOut) > 0 {
		fmt.Fprintf(w, "  left out, as they look like credentials: %s\n", strings.Join(t.LeftOut, ", "))
	}
	for _, n := range append(append([]string{}, t.Notes...), t.Target.Notes...) {
		fmt.Fprintf(w, "  note: %s\n", n)
	}
	if len(rows) > 0 {
		grid(w, []string{"  column", "type", "there", "type there", "note"}, indent(rows))
	}
}

func indent(rows [][]string) [][]string {
	for _, r := range rows {
		r[0] = "  " + r[0]
	}
	return rows
}

// printOrigins says where each setting came from. Secrets say where from, never what.
func printOrigins(w io.Writer, j *job.Job) {
	var rows [][]string
	for _, o := range j.Settings() {
		rows = append(rows, []string{o.Path, oneLine(o.Value), o.Origin})
	}
	fmt.Fprintln(w)
	grid(w, []string{"setting", "value", "from"}, rows)
}
