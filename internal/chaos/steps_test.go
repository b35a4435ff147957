package chaos

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/cli"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connectors/all"
	"github.com/kitamae/kitamae/job/native"
	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/state"
)

// What tells a stepped run at which step to die, to sleep or to do no more, where to list the steps that it took, to be slow at writing, and to have a lease that lasts.
const (
	stepVar     = "KITAMAE_CHAOS_STEP"
	stepListVar = "KITAMAE_CHAOS_STEPS"
	stepSlowVar = "KITAMAE_CHAOS_SLOW"
	stepStopVar = "KITAMAE_CHAOS_STOP"
	stepHoldVar = "KITAMAE_CHAOS_HOLD"
	patientVar  = "KITAMAE_CHAOS_PATIENT"
	// damageVar names a table that reads back other than it was written.
	damageVar = "KITAMAE_CHAOS_DAMAGE"
)

// slowness is a little more than the pause between two savings of a run's progress, so that a small world has some to save.
const slowness = 300 * time.Millisecond

// stepper counts step boundaries by name, and kills the process at one of them.
type stepper struct {
	mu    sync.Mutex
	count map[string]int
	names []string
}

func (s *stepper) at(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count[name]++
	name = fmt.Sprintf("%s#%d", name, s.count[name])
	s.names = append(s.names, name)
	if name == os.Getenv(stepVar) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
	if name == os.Getenv(stepHoldVar) {
		select {} // alive, until somebody kills it
	}
	if name == os.Getenv(stepStopVar) {
		awake := make(chan os.Signal, 1)
		signal.Notify(awake, syscall.SIGCONT)
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		<-awake // the signal may stop another thread first, and this one would go on for a while
		signal.Stop(awake)
	}
}

// around is before and after one call.
func (s *stepper) around(name string) func() {
	s.at(name + ":before")
	return func() { s.at(name + ":after") }
}

// steppedRun is `kitamae run`, but for the command line, with a boundary before and after everything that the run asks of
// the destination or tells people, and between any two batches.
func steppedRun([]string) int {
	s := &stepper{count: map[string]int{}}
	registry := steppedRegistry(s)
	j, err := native.Load("kitamae.yml", registry, os.LookupEnv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	s.at("begin")
	_, err = run.Drive(context.Background(), run.Request{
		Job: j, Registry: registry, Version: cli.Version, State: state.New(filepath.Join(j.Dir, ".kitamae", "kitamae")),
		Observe: func(e run.Event) {
			if e.Kind != run.Moved {
				s.at("told:" + strings.ReplaceAll(string(e.Kind), " ", "-"))
			}
		},
	})
	s.at("end")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return s.list()
}

// list writes the names of the steps that were taken where they are wanted.
func (s *stepper) list() (code int) {
	list := os.Getenv(stepListVar)
	if list == "" {
		return 0
	}
	if err := os.WriteFile(list, []byte(strings.Join(s.names, "\n")), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// steppedRegistry are the connectors, with destinations that have boundaries.
func steppedRegistry(s *stepper) connector.Registry {
	registry := all.Registry()
	for name, c := range registry {
		if c.Dest != nil {
			end, open := *c.Dest, c.Dest.Open
			end.Open = func(ctx context.Context, spec any, env connector.Env) (connector.Destination, error) {
				d, err := open(ctx, spec, env)
				if err != nil {
					return nil, err
				}
				return stepped{d, s}, nil
			}
			c.Dest = &end
			registry[name] = c
		}
	}
	return registry
}

// stepped is a destination with boundaries.
type stepped struct {
	connector.Destination
	s *stepper
}

func (d stepped) Stage(ctx context.Context, req connector.StageRequest) (connector.Stage, error) {
	defer d.s.around("dest.Stage")()
	return d.Destination.Stage(ctx, req)
}

func (d stepped) Write(ctx context.Context, st connector.Stage, task int, rows batch.Stream) (connector.Receipt, error) {
	defer d.s.around("dest.Write")()
	if os.Getenv(stepSlowVar) != "" {
		<-time.After(slowness)
	}
	return d.Destination.Write(ctx, st, task, func(yield func(arrow.RecordBatch, error) bool) {
		for rec, err := range rows {
			if !yield(rec, err) {
				return
			}
			d.s.at("dest.Write:batch")
		}
	})
}

func (d stepped) ReadStaged(ctx context.Context, st connector.Stage, receipts []connector.Receipt, columns []string) batch.Stream {
	d.s.at("dest.ReadStaged")
	rows := d.Destination.ReadStaged(ctx, st, receipts, columns)
	if name := os.Getenv(damageVar); name == "" || !strings.Contains(string(st), `"name":"`+name+`"`) {
		return rows
	}
	return func(yield func(arrow.RecordBatch, error) bool) {
		for rec, err := range rows {
			if !yield(rec, err) || err == nil && !yield(rec, nil) { // each row twice
				return
			}
		}
	}
}

func (d stepped) Commit(ctx context.Context, req connector.CommitRequest) ([]connector.Outcome, error) {
	defer d.s.around("dest.Commit")()
	return d.Destination.Commit(ctx, req)
}

func (d stepped) Recover(ctx context.Context, req connector.CommitRequest) (connector.Recovery, error) {
	defer d.s.around("dest.Recover")()
	return d.Destination.Recover(ctx, req)
}

func (d stepped) Abort(ctx context.Context, st connector.Stage) error {
	defer d.s.around("dest.Abort")()
	return d.Destination.Abort(ctx, st)
}

func (d stepped) Close() error {
	defer d.s.around("dest.Close")()
	return d.Destination.Close()
}
