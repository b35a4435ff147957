package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kitamae/kitamae/bucket"
	"github.com/kitamae/kitamae/cli"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job/native"
	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/state"
)

// shardTTL is how long a killed shard's lease outlives it in these tests. A living one has five sixths of it to renew it in, which a busy
// machine may not give it: see [fleet.shard].
const shardTTL = 1500 * time.Millisecond

// longTTL is that of a shard which must not lose its lease, told by patientVar.
const longTTL = 6 * time.Second

// steppedShard is `kitamae shard`, but for the command line, with the boundaries of steppedRun and one before and after each
// value that it writes down for others. Its arguments are the index and the scheduled time.
func steppedShard(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := &stepper{count: map[string]int{}}
	registry := steppedRegistry(s)
	j, err := native.Load("kitamae.yml", registry, os.LookupEnv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	index, err := strconv.Atoi(args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	b, err := bucket.Open(ctx, j.State+"/kitamae")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	kept := state.NewBucket(b)
	kept.TTL = shardTTL
	if os.Getenv(patientVar) != "" {
		kept.TTL = longTTL
	}
	s.at("begin")
	report, err := run.Shard(ctx, run.Request{
		Job: j, Registry: registry, Version: cli.Version, State: steppedState{kept, s}, Occasion: run.Occasion(args[1]),
	}, index)
	s.at("end")
	if code := s.list(); code != 0 {
		return code
	}
	var already *run.Already
	switch {
	case errors.As(err, &already) && already.Fault == nil:
		fmt.Println("over")
		return 0
	case err != nil:
		fmt.Println(fault.From(err).Code+":", err)
		return fault.ExitCode(err)
	case report != nil:
		fmt.Println("committed")
	}
	return 0
}

// steppedState is a store with boundaries around what is written, but for leases.
type steppedState struct {
	state.Store
	s *stepper
}

var digits = regexp.MustCompile(`[0-9]+(\.[0-9]+)*`)

func (d steppedState) Put(ctx context.Context, key string, value []byte, version string) (string, error) {
	parts := strings.Split(key, "/")
	what := parts[len(parts)-1]
	if len(parts) > 2 {
		what = strings.Join(parts[2:], "/")
	} else if parts[0] == "runs" {
		what = "ledger"
	}
	defer d.s.around("state." + strings.Trim(digits.ReplaceAllString(what, "N"), "./"))()
	return d.Store.Put(ctx, key, value, version)
}

func (d steppedState) Forget(ctx context.Context, prefix string) error {
	defer d.s.around("state.forget")()
	return d.Store.Forget(ctx, prefix)
}
