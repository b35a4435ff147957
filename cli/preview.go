package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) previewCommand() *cobra.Command {
	var rows int64
	c := &cobra.Command{
		Use:   "preview TABLE",
		Short: "Show a table's first rows as they would arrive",
		Example: `  kitamae preview users
  kitamae preview study_logs --rows 100`,
		Args: args(1, 1, "a table"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			_, s, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer closing(s, &err)
			p, err := s.Preview(cmd.Context(), args[0], rows)
			if p != nil {
				defer func() {
					for _, rec := range p.Rows {
						rec.Release()
					}
				}()
			}
			if err != nil {
				return err
			}
			g := newGrid(p.Schema)
			for _, rec := range p.Rows {
				g.add(rec)
			}
			g.print(a.Out)
			for _, n := range p.Table.LeftOut {
				fmt.Fprintf(a.Err, "left out, as it looks like a credential: %s\n", n)
			}
			return nil
		},
	}
	c.Flags().Int64VarP(&rows, "rows", "n", 20, "how many rows")
	return c
}
