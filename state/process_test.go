package state_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kitamae/kitamae/fault"
)

// starterEnv makes this test binary one start of a run: it takes the lease at the address in it and holds it.
const starterEnv = "KITAMAE_TEST_STARTER"

func TestMain(m *testing.M) {
	if address := os.Getenv(starterEnv); address != "" {
		os.Exit(starter(address))
	}
	os.Exit(m.Run())
}

// The exit codes of a start.
const (
	exitRan     = 0
	exitOverlap = 9
	exitBusy    = 20
	exitLost    = 21
	exitBroken  = 22
)

// starter holds the lease from the line "holding" on until its standard input ends, with a file that proves it is alone, and then asks
// whether it still has it.
func starter(address string) int {
	ctx := context.Background()
	l, err := leaseAt(ctx, address, fmt.Sprintf("process %d", os.Getpid()))
	switch {
	case fault.HasCode(err, "run.busy"):
		return exitBusy
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return exitBroken
	}
	alone := os.Getenv("KITAMAE_TEST_ALONE")
	f, err := os.OpenFile(alone, os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return exitOverlap
	}
	f.Close()
	fmt.Println("holding")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	err = l.Check(ctx)
	if fault.HasCode(err, "run.lease_lost") {
		return exitLost
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitBroken
	}
	_ = os.Remove(alone)
	l.Release()
	return exitRan
}

type started struct {
	cmd     *exec.Cmd
	in      interface{ Close() error }
	holding chan bool
	ended   chan int
}

func start(t *testing.T, address, alone string) *started {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), starterEnv+"="+address, "KITAMAE_TEST_ALONE="+alone)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &started{cmd: cmd, in: in, holding: make(chan bool, 1), ended: make(chan int, 1)}
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		p.holding <- strings.TrimSpace(line) == "holding"
		err := cmd.Wait()
		var ee *exec.ExitError
		if err != nil && !errors.As(err, &ee) {
			t.Error(err)
		}
		p.ended <- cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return p
}

func eachPlace(t *testing.T, f func(t *testing.T, address string)) {
	t.Run("folder", func(t *testing.T) { f(t, t.TempDir()) })
	eachStore(t, f)
	eachRegister(t, f)
}

// TestTwoStarts: of many processes that start at once, one runs and all others say that it does.
func TestTwoStarts(t *testing.T) {
	eachPlace(t, func(t *testing.T, address string) {
		alone := filepath.Join(t.TempDir(), "alone")
		var all []*started
		for range 4 {
			all = append(all, start(t, address, alone))
		}
		var wg sync.WaitGroup
		holders := make(chan *started, len(all))
		for _, p := range all {
			wg.Go(func() {
				if <-p.holding {
					holders <- p
				} else if code := <-p.ended; code != exitBusy {
					t.Errorf("a start that did not run ended with %d, want %d", code, exitBusy)
				}
			})
		}
		wg.Wait()
		if len(holders) != 1 {
			t.Fatalf("%d starts ran at once", len(holders))
		}
		p := <-holders
		p.in.Close()
		if code := <-p.ended; code != exitRan {
			t.Errorf("the one that ran ended with %d", code)
		}
	})
}

// TestKilledHolder: the next start follows a killed one.
func TestKilledHolder(t *testing.T) {
	eachPlace(t, func(t *testing.T, address string) {
		first := start(t, address, filepath.Join(t.TempDir(), "first"))
		if !<-first.holding {
			t.Fatal("the first start does not run")
		}
		if err := first.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-first.ended
		next := start(t, address, filepath.Join(t.TempDir(), "next"))
		if !<-next.holding {
			t.Fatalf("the next start does not run: %d", <-next.ended)
		}
		next.in.Close()
		if code := <-next.ended; code != exitRan {
			t.Errorf("the next start ended with %d", code)
		}
	})
}

// TestStoppedHolder: a process that sleeps through its TTL loses a lease that others see, and learns it when it wakes up.
func TestStoppedHolder(t *testing.T) {
	test := func(t *testing.T, address string) {
		first := start(t, address, filepath.Join(t.TempDir(), "first"))
		if !<-first.holding {
			t.Fatal("the first start does not run")
		}
		if err := first.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		next := start(t, address, filepath.Join(t.TempDir(), "next"))
		if !<-next.holding {
			t.Fatalf("the next start does not run: %d", <-next.ended)
		}
		if took := time.Since(began); took < shortTTL {
			t.Errorf("taken over after %v, before the TTL of %v was over", took, shortTTL)
		}
		if err := first.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		first.in.Close()
		if code := <-first.ended; code != exitLost {
			t.Errorf("the first start ended with %d when it woke up, want %d: it must see that it lost the lease", code, exitLost)
		}
		next.in.Close()
		if code := <-next.ended; code != exitRan {
			t.Errorf("the next start ended with %d", code)
		}
	}
	eachStore(t, test)
	onPostgres(t, test)
}
