// Package cli turns a command line into calls and their answers into text. It holds no
// logic of its own: one file per command, flags, a call, printing.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kitamae/kitamae/bucket"
	"github.com/kitamae/kitamae/connectors/all"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
	"github.com/kitamae/kitamae/job/native"
	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/secrets"
	"github.com/kitamae/kitamae/state"
)

// Version is what --version prints; the build stamps it.
var Version = "dev"

// IO is the process's surroundings as the commands see them.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	// Terminal says that Err is a terminal Width columns wide.
	Terminal bool
	Width    int
	Getenv   func(string) (string, bool)
}

// Stdio is the real surroundings.
func Stdio() IO {
	s := IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.LookupEnv, Width: 80}
	if w, _, err := term.GetSize(int(os.Stderr.Fd())); err == nil {
		s.Terminal, s.Width = term.IsTerminal(int(os.Stderr.Fd())), w
	}
	return s
}

// app is what the commands share.
type app struct {
	IO
	file      string
	quiet     bool
	logFormat string
}

// Run executes one command line and returns the exit code (see fault.ExitCode).
func Run(ctx context.Context, args []string, std IO) int {
	root := Root(std)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	var usage *usageError
	if errors.As(err, &usage) {
		err = fault.Wrap(fault.Config, "cli.usage", "see `"+cmd.CommandPath()+" --help`", usage.err)
	}
	printFault(std.Err, err)
	return fault.ExitCode(err)
}

// usageError is a command line that cannot be understood.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }

// Root is the whole command tree.
func Root(std IO) *cobra.Command {
	a := &app{IO: std}
	root := &cobra.Command{
		Use:   "kitamae",
		Short: "Moves an application database into a warehouse, verified",
		Long: `kitamae moves the tables of an application database into an analytics warehouse: one binary, one
YAML file. It reads one consistent state, verifies every table against the source and
publishes all tables at once. Without any account the warehouse is kura.duckdb beside the file.`,
		Example: `  kitamae demo                              # see it work on a sample database
  kitamae init mysql://etl@db1/app          # write kitamae.yml
  kitamae plan                              # see what a run would do
  kitamae run                               # do it
  kitamae query "select count(*) from users"`,
		Version:       Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Errorf("unknown command %q%s", args[0], near(cmd, args[0]))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(std.Out)
	root.SetErr(std.Err)
	root.SetIn(std.In)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.CompletionOptions.HiddenDefaultCmd = true
	flags := root.PersistentFlags()
	flags.StringVarP(&a.file, "file", "f", "kitamae.yml", "the config file")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "print nothing but faults and answers")
	flags.StringVar(&a.logFormat, "log-format", "text", "how progress is told: text or json (a line an event)")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if a.logFormat != "text" && a.logFormat != "json" {
			return &usageError{fmt.Errorf("--log-format is text or json, not %q", a.logFormat)}
		}
		return nil
	}
	root.AddCommand(a.initCommand(), a.doctorCommand(), a.planCommand(), a.applyCommand(), a.runCommand(), a.shardCommand(), a.previewCommand(),
		a.runsCommand(), a.queryCommand(), a.demoCommand(), a.imageCommand(), a.deployCommand(), a.connectorsCommand(), a.schemaCommand(), a.serveCommand())
	return root
}

func near(cmd *cobra.Command, name string) string {
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	if n := job.Nearest(name, names); n != "" {
		return " (did you mean " + n + "?)"
	}
	return ""
}

// args checks how many arguments a command has, and says it in our words.
func args(least, most int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return &usageError{fmt.Errorf("wanted %s, got %d arguments", what, len(args))}
		}
		return nil
	}
}

// load reads the config file.
func (a *app) load() (*job.Job, error) {
	return native.Load(a.file, all.Registry(), a.Getenv)
}

// request is the job with all that a session needs.
func (a *app) request(ctx context.Context, j *job.Job, observe func(run.Event)) (run.Request, error) {
	st, err := openState(ctx, j)
	if err != nil {
		return run.Request{}, err
	}
	if observe == nil {
		observe = a.blocked
	}
	return run.Request{
		Job: j, Registry: all.Registry(), State: st, Version: Version,
		Secrets: secrets.Stores(j.Dir, a.Getenv), Observe: observe,
	}, nil
}

// open is the config's job and a session of it, for a command that moves nothing. The caller closes it.
func (a *app) open(ctx context.Context) (*job.Job, *run.Session, error) {
	j, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	req, err := a.request(ctx, j, nil)
	if err != nil {
		return nil, nil, err
	}
	s, err := run.Open(ctx, req)
	return j, s, err
}

// openState opens what holds ledger and lease: where the config says, else a folder beside it. Two configs
// that share a place have one each.
func openState(ctx context.Context, j *job.Job) (state.Store, error) {
	where := j.State
	switch {
	case where == "":
		where = filepath.Join(j.Dir, ".kitamae")
	case !bucket.Is(where) && !filepath.IsAbs(where):
		where = filepath.Join(j.Dir, where)
	}
	return state.Open(ctx, where, j.Name())
}

// printFault tells a fault: what happened, then what to do.
func printFault(w io.Writer, err error) {
	f := fault.From(err)
	msg := err.Error()
	told := f.Code != "" && f.Code != "run.interrupted" // by a cause worth reading
	if f.Kind == fault.Interrupted && !told {
		msg = "interrupted; nothing was published"
	}
	fmt.Fprintf(w, "error: %s\n", msg)
	if f.Hint != "" {
		fmt.Fprintf(w, "hint: %s\n", f.Hint)
	}
	if told {
		fmt.Fprintf(w, "code: %s\n", f.Code)
	}
}
