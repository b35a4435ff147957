// Command bench measures kitamae's routes as whole processes beside the floor: the same
// rows drained over one connection and thrown away. `make bench` runs it; it needs the
// servers of scripts/servers.sh and leaves nothing behind but the tables it loaded.
//
// Every step that needs memory runs in a child of its own, as Linux counts the peak
// memory of a process that starts another into the other's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/kitamae/kitamae/internal/servertest"
)

// options are the command line's.
type options struct {
	kitamae string // the binary to measure
	rows    int64
	runs    int
	big     bool   // look at the memory at four times the rows, too
	servers string // comma-separated names
	dir     string // where outputs go, "" for a folder that is removed
	out     string // a file the report is also written to
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 3 {
		switch args[0] { // what bench calls itself with: verb, server or destination, rows
		case "load":
			return withServer(args, func(s servertest.Server, rows int64) error { return load(ctx, s, rows) })
		case "drain":
			return withServer(args, func(s servertest.Server, rows int64) error { return drain(ctx, s, rows) })
		case "reference":
			rows, err := strconv.ParseInt(args[2], 10, 64)
			if err != nil {
				return err
			}
			return runReference(ctx, args[1], rows)
		}
	}
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.kitamae, "kitamae", "bin/kitamae", "the `binary` to measure")
	flags.Int64Var(&o.rows, "rows", 3_000_000, "how many rows lineitem has, about")
	flags.IntVar(&o.runs, "runs", 3, "how often each route is measured; the median counts")
	flags.BoolVar(&o.big, "big", true, "then run the verified routes once with four times the rows: peak memory must stay within its target")
	flags.StringVar(&o.servers, "servers", "mariadb,postgres", "comma-separated `names`; mysql and postgres_newest are others")
	flags.StringVar(&o.dir, "dir", "", "write outputs below this `folder` and leave them there")
	flags.StringVar(&o.out, "out", "", "write the report to this `file` as well")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.rows < 1 || o.runs < 1 {
		return errors.New("-rows and -runs start at 1")
	}
	var err error
	if o.kitamae, err = filepath.Abs(o.kitamae); err != nil {
		return err
	}
	return measureAll(ctx, o)
}

func withServer(args []string, do func(servertest.Server, int64) error) error {
	s, err := servertest.Find(args[1])
	if err != nil {
		return err
	}
	var rows int64
	if _, err := fmt.Sscan(args[2], &rows); err != nil {
		return fmt.Errorf("rows %q: %w", args[2], err)
	}
	return do(s, rows)
}
