package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/demo"
	"github.com/kitamae/kitamae/fault"
)

func (a *app) demoCommand() *cobra.Command {
	var dir string
	var rows int
	c := &cobra.Command{
		Use:   "demo",
		Short: "See all of it work on a sample database, no server needed",
		Long: `Makes the database of an English-coaching service (SQLite, a million rows, Japanese names),
writes a config for it, moves it into kura.duckdb, verified, and asks the questions a product manager asks.
Everything goes into one new folder; remove it when you have seen enough.`,
		Example: `  kitamae demo
  kitamae demo --dir try --rows 100000`,
		Args: args(0, 0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fault.Wrap(fault.Config, "demo.dir", "name another folder with --dir", err)
			}
			app := filepath.Join(dir, "app.db")
			if _, err := os.Stat(app); err != nil {
				began := time.Now()
				a.say("making %s: the database of an English-coaching service", app)
				if err := demo.Create(ctx, app, demo.Options{Rows: rows}); err != nil {
					return fmt.Errorf("make the sample: %w", err)
				}
				a.say("  %s\n", time.Since(began).Round(100*time.Millisecond))
			}
			a.file = filepath.Join(dir, "kitamae.yml")
			if _, err := os.Stat(a.file); err != nil {
				a.say("$ kitamae init sqlite:app.db")
				text, _, err := a.skeleton(ctx, "sqlite:app.db")
				if err != nil {
					return err
				}
				if err := os.WriteFile(a.file, text, 0o644); err != nil {
					return fault.Wrap(fault.Config, "demo.dir", "name another folder with --dir", err)
				}
				a.say("  wrote %s\n", a.file)
			}
			j, err := a.load()
			if err != nil {
				return err
			}
			a.say("$ kitamae run")
			if _, err := a.drive(cmd.Context(), j, wanted{}); err != nil {
				return err
			}
			for _, q := range demo.Queries() {
				fmt.Fprintf(a.Out, "\n%s\n\n", q.Ask)
				if err := a.ask(ctx, j, connector.Query{SQL: q.SQL, Rows: screenRows}, "table"); err != nil {
					return fmt.Errorf("question %q: %w", q.Name, err)
				}
			}
			a.say("\nnow try:\n  cd %s\n  kitamae plan\n  kitamae preview users\n  kitamae query \"from users limit 5\"\n  kitamae runs", dir)
			return nil
		},
	}
	c.Flags().StringVar(&dir, "dir", "kitamae-demo", "the folder to make")
	c.Flags().IntVar(&rows, "rows", 1_000_000, "about how many rows the sample has")
	return c
}

// say tells people what is going on.
func (a *app) say(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.Out, format+"\n", args...)
	}
}
