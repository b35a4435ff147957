package chaos

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"

	"github.com/kitamae/kitamae/cli"
	"github.com/kitamae/kitamae/internal/servertest"
)

// How much is broken, and by which dice. `make test` takes the defaults; `make crash` and `make day` ask for more.
var (
	seed    = flag.Uint64("seed", 1, "decides every random choice")
	crashes = flag.Int("crashes", 5, "how often TestCrash kills kitamae, for each destination and way to read")
	days    = flag.Int("days", 3, "how many runs TestDay makes")
)

// childVar asks the test binary to be another program: what breaks needs a process of its own.
const childVar = "KITAMAE_CHAOS_CHILD"

// children are those programs.
var children = map[string]func(args []string) int{
	"kitamae": func(args []string) int { // as in cmd/kitamae
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return cli.Run(ctx, args, cli.Stdio())
	},
	"steps":  steppedRun,
	"shard":  steppedShard,
	"reader": readOn,
}

func TestMain(m *testing.M) {
	if child := children[os.Getenv(childVar)]; child != nil {
		os.Exit(child(os.Args[1:]))
	}
	flag.Parse()
	s, err := servertest.Find("postgres")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// for the children too, which work in other folders
	os.Setenv("CHAOS_DEST_PASSWORD", s.Password)
	os.Setenv("CHAOS_DEST_PORT", strconv.Itoa(s.Port))
	os.Exit(m.Run())
}
