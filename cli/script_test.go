package cli_test

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite"

	"github.com/kitamae/kitamae/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"kitamae": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			os.Exit(cli.Run(ctx, os.Args[1:], cli.Stdio()))
		},
	})
}

// TestScripts is the command line's contract: testdata/script at the top of the repo.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "../testdata/script",
		RequireExplicitExec: false,
		Setup: func(env *testscript.Env) error {
			env.Setenv("TZ", "America/New_York") // nothing may depend on the machine's zone
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sqlite":   sqliteCommand,
			"exitcode": exitCommand,
			"one":      oneCommand,
		},
	})
}

// sqliteCommand runs the statements in the second file against the first: sqlite app.db setup.sql
func sqliteCommand(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec(ts.ReadFile(args[1]))
	ts.Check(err)
}

// exitCommand runs a command and checks its exit code: exitcode 2 kitamae run
func exitCommand(ts *testscript.TestScript, _ bool, args []string) {
	want := args[0]
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = "1"
		if code, ok := codeOf(err); ok {
			got = code
		}
	}
	if got != want {
		ts.Fatalf("exit code %s, want %s", got, want)
	}
}

// oneCommand copies the one file that matches a pattern: one out/current/users/*.csv users.csv
func oneCommand(ts *testscript.TestScript, _ bool, args []string) {
	found, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(found) != 1 {
		ts.Fatalf("%d files match %s, want 1", len(found), args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(ts.ReadFile(found[0])), 0o644))
}

func codeOf(err error) (string, bool) {
	const prefix = "exit status "
	if s := err.Error(); len(s) > len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):], true
	}
	return "", false
}

// TestVersionOpensNothing sees that --version needs no config. How long it takes is measured by `make bench`.
func TestVersionOpensNothing(t *testing.T) {
	var out bytes.Buffer
	code := cli.Run(t.Context(), []string{"--version"}, cli.IO{Out: &out, Err: &out, Getenv: os.LookupEnv})
	if code != 0 || !bytes.HasPrefix(out.Bytes(), []byte("kitamae ")) {
		t.Errorf("--version: %d, %q", code, out.String())
	}
}
