package e2e

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/kitamae/kitamae/cli"
)

// childVar asks the test binary to be the program, as in cmd/kitamae: a test of a process
// needs one of its own.
const childVar = "KITAMAE_E2E_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVar) == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(childVar) == "hold" {
		os.Exit(holdMain(os.Args[1]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], cli.Stdio())
	stop()
	os.Exit(code)
}
