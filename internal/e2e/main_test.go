package e2e

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], cli.Stdio())
	stop()
	fmt.Fprintf(os.Stderr, "%s%d\n", peakPrefix, peakKiB())
	os.Exit(code)
}

// peakPrefix starts the child's last line: its greatest resident memory, in KiB.
const peakPrefix = "peak KiB: "

// peakKiB is this process's greatest resident memory. The kernel's VmHWM begins anew with the
// program, which getrusage's maximum does not: it would be the parent's.
func peakKiB() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			var kib int64
			if _, err := fmt.Sscan(rest, &kib); err == nil {
				return kib
			}
		}
	}
	return -1
}
