package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/format"
	"github.com/kitamae/kitamae/job"
	"github.com/kitamae/kitamae/run"
)

// screenRows is how many rows a query prints as a table when nothing else is asked.
const screenRows = 1000

func (a *app) queryCommand() *cobra.Command {
	var output string
	var rows int
	c := &cobra.Command{
		Use:   "query SQL",
		Short: "Ask the warehouse",
		Long:  `Runs one read-only statement in the warehouse's SQL. "-" reads it from standard input.`,
		Example: `  kitamae query "select count(*) from users"
  kitamae query --output csv "from payments" > payments.csv
  echo "from users limit 3" | kitamae query -`,
		Args: args(1, 1, "one statement, in quotes"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "table" && output != "csv" && output != "ndjson" {
				return &usageError{fmt.Errorf("--output is table, csv or ndjson, not %q", output)}
			}
			sql := args[0]
			if sql == "-" {
				text, err := io.ReadAll(a.In)
				if err != nil {
					return fmt.Errorf("read the statement: %w", err)
				}
				sql = string(text)
			}
			j, err := a.load()
			if err != nil {
				return err
			}
			if rows < 0 {
				if rows = 0; output == "table" {
					rows = screenRows
				}
			}
			return a.ask(cmd.Context(), j, connector.Query{SQL: strings.TrimSpace(sql), Rows: rows, MaxCost: j.Limits.CostPerRun}, output)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "table", "table, csv or ndjson")
	c.Flags().IntVarP(&rows, "rows", "n", -1, "at most so many rows; 0 for all (default: 1,000 in a table, else all)")
	return c
}

// ask runs q and prints the answer.
func (a *app) ask(ctx context.Context, j *job.Job, q connector.Query, output string) (err error) {
	req, err := a.request(ctx, j, nil)
	if err != nil {
		return err
	}
	dst, err := run.OpenDestination(ctx, req)
	if err != nil {
		return err
	}
	defer closing(dst, &err)
	w, ok := dst.(connector.Warehouse)
	if !ok {
		return fault.New(fault.Config, "query.no_warehouse", "leave `destination:` out for the embedded warehouse, or open the files with any tool",
			"destination %s does not answer SQL", j.Destination.Use)
	}
	res, err := w.Query(ctx, q)
	if err != nil {
		return err
	}
	defer func() {
		if e := res.Close(); err == nil {
			err = e
		}
	}()
	switch output {
	case "csv":
		_, err = format.WriteCSV(a.Out, res.Schema, res.Rows)
		return err
	case "ndjson":
		_, err = format.WriteNDJSON(a.Out, res.Schema, res.Rows)
		return err
	}
	g := newGrid(res.Schema)
	for rec, err := range res.Rows {
		if err != nil {
			return err
		}
		g.add(rec)
	}
	g.print(a.Out)
	if res.More() {
		fmt.Fprintf(a.Err, "only the first %s; --rows 0 prints all\n", count(int64(q.Rows), "row"))
	}
	return nil
}
