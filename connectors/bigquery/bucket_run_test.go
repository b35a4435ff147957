package bigquery_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connectors/all"
	"github.com/kitamae/kitamae/connectors/bigquery"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/job/native"
	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/state"
)

// stateVar is the folder that a large run keeps its state in.
const stateVar = "KITAMAE_BIGQUERY_STATE"

// largeRun is `kitamae run`, but for the command line, to which every table is large enough for the bucket.
func largeRun(ctx context.Context) int {
	registry := all.Registry()
	c := registry["bigquery"]
	end, open := *c.Dest, c.Dest.Open
	end.Open = func(ctx context.Context, spec any, env connector.Env) (connector.Destination, error) {
		d, err := open(ctx, spec, env)
		if err == nil {
			bigquery.SetDirect(d, 0)
		}
		return d, err
	}
	c.Dest = &end
	registry["bigquery"] = c
	j, err := native.Load("kitamae.yml", registry, os.LookupEnv)
	if err == nil {
		_, err = run.Drive(ctx, run.Request{Job: j, Registry: registry, Version: "test", State: state.New(os.Getenv(stateVar))})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestRunKilledWithBucket kills a process whose tables wait in the bucket. The next one loads what is there, or removes it where it has no spool and reads
// again.
func TestRunKilledWithBucket(t *testing.T) {
	address, s := servertest.GCS(t), servertest.MariaDB(t)
	names := []string{"one", "two", "three"}
	for _, spool := range []bool{true, false} {
		t.Run(fmt.Sprintf("spool %v", spool), func(t *testing.T) {
			db := servertest.FreshDatabase(t, s)
			for _, name := range names {
				s.Exec(t, db, "CREATE TABLE "+name+" (id int PRIMARY KEY)", "INSERT INTO "+name+" SELECT seq FROM seq_1_to_100")
			}
			var busy atomic.Bool // BigQuery loads nothing
			busy.Store(true)
			p := newPlace(t, func(c *call) string {
				if c.What == "insert" && busy.Load() {
					return "503 backendError"
				}
				return ""
			})
			p.throughBucket(t, address)
			kept := t.TempDir()
			process := func() *exec.Cmd {
				cmd := p.kitamae(t, s, db)
				cmd.Env = append(cmd.Env, childVar+"=large", stateVar+"="+kept)
				return cmd
			}
			cmd := process()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			deadline := time.After(2 * time.Minute)
			for len(p.waiting(t)) < len(names) {
				select {
				case <-time.After(20 * time.Millisecond):
				case <-deadline:
					t.Fatalf("in the bucket: %q", p.waiting(t))
				}
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			busy.Store(false)
			uploads := p.front.Count("object", "")
			if !spool {
				p.env.Dir = t.TempDir()
			}
			for _, name := range names {
				s.Exec(t, db, "DELETE FROM "+name+" WHERE id > 40")
			}
			if out, err := process().CombinedOutput(); err != nil {
				t.Fatalf("run: %v\n%s", err, out)
			}
			for _, name := range names {
				p.wantRows(t, name, 40)
				want := 1
				if spool { // the dead one's rows came first
					want = 2
				}
				if n := p.jobsOf(t, name); n != want {
					t.Errorf("%d jobs loaded table %s, want %d", n, name, want)
				}
			}
			if n := p.front.Count("object", "") - uploads; n != len(names) {
				t.Errorf("%d objects were uploaded after the kill, want the next run's %d", n, len(names))
			}
			if left := p.waiting(t); len(left) > 0 {
				t.Errorf("left in the bucket: %q", left)
			}
		})
	}
}
