package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/job"
	"github.com/kitamae/kitamae/run"
)

func (a *app) planCommand() *cobra.Command {
	var asJSON, columns bool
	var output string
	c := &cobra.Command{
		Use:   "plan",
		Short: "Show what a run would do, and change nothing",
		Long: `Shows, per table, the columns and types here and there, rows, bytes, partitions and what will
change; what the destination will bill, where it bills; and where each setting came from. It reads the catalogue, not the rows, and changes nothing.`,
		Example: `  kitamae plan
  kitamae plan --columns           # every column of every table
  kitamae plan -o plan.json        # for kitamae apply plan.json`,
		Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			j, s, err := a.open(cmd.Context())
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
			if output != "" {
				if err := a.savePlan(j, p, output); err != nil {
					return err
				}
			}
			if asJSON {
				return encode(a, p)
			}
			printPlan(a.Out, p, j, columns)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	c.Flags().StringVarP(&output, "output", "o", "", "also write the plan to a file, for kitamae apply")
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
	printTables(w, p)
	if cost := p.Cost(); cost != nil {
		fmt.Fprintf(w, "\nbilled: %s\n", billed(cost))
	}
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

// printTables is one line a table; what it will be billed only where the destination bills at all.
func printTables(w io.Writer, p *run.Plan) {
	head := []string{"from", "to", "mode", "columns", "rows", "bytes", "partitions", "what changes"}
	bills := p.Cost() != nil
	if bills {
		head = append(head, "billed")
	}
	var rows [][]string
	for _, t := range p.Tables {
		line := []string{
			t.Scan.Table.Ref(), t.Target.Name, string(t.Target.Mode), fmt.Sprint(len(t.Target.Columns)),
			"~" + rowsOrUnknown(t.Scan.Table.Rows), "~" + bytes(t.Scan.Table.Bytes), humanize.Comma(int64(t.Partitions)), willChange(t),
		}
		if bills {
			line = append(line, billed(t.Target.Cost))
		}
		rows = append(rows, line)
	}
	grid(w, head, rows, 3, 4, 5, 6)
}

// billed says what something costs: 0 for what is free.
func billed(c *connector.Cost) string {
	if c == nil || c.Bytes == 0 && c.Price == 0 {
		return "0"
	}
	return fmt.Sprintf("%s for %s", c.Price, bytes(c.Bytes))
}

func willChange(t run.PlannedTable) string {
	switch {
	case !t.Target.Exists:
		return "new table"
	case len(t.Target.Changes) == 0:
		return "rows"
	}
	return count(int64(len(t.Target.Changes)), "change")
}

// printTablePlan shows a table's columns: all of them for a new table or when asked, else what is worth a look.
func printTablePlan(w io.Writer, t run.PlannedTable, all bool) {
	var rows [][]string
	for i, from := range t.Scan.Columns { // a snapshot's own columns follow
		c := t.Target.Columns[i]
		if all || c.Name != from.Name || c.Note != "" || len(from.Notes) > 0 {
			note := strings.Join(append(append([]string{}, from.Notes...), c.Note), "; ")
			rows = append(rows, []string{from.Name, from.Native, c.Name, c.Native, strings.Trim(note, "; ")})
		}
	}
	if len(rows)+len(t.LeftOut)+len(t.Notes)+len(t.Target.Notes)+len(t.Target.Changes) == 0 && t.Target.Layout.String() == "" {
		return
	}
	fmt.Fprintf(w, "\n%s\n", t.Scan.Table.Ref())
	if layout := t.Target.Layout.String(); layout != "" {
		fmt.Fprintf(w, "  layout: %s\n", layout)
	}
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
