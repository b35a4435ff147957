package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
)

// TestShards kills the processes of a run at its step boundaries, starts each twice and starts them late. What is published at any
// moment is a whole state of the source, and a run that comes to its end publishes the one the source is in.
func TestShards(t *testing.T) {
	eachFleet(t, []string{"MariaDB to S3", "PostgreSQL to GCS", "MariaDB to PostgreSQL, append", "PostgreSQL to S3, append", "MariaDB to BigQuery"}, func(t *testing.T, w *world, f *fleet) {
		lists := filepath.Join(t.TempDir(), "steps")
		at := f.occasion()
		var ends []outcome
		for i := range shards { // one after the other: each list is a way of its own
			ends = append(ends, f.shard(t, i, at, "", stepListVar+"="+lists+fmt.Sprint(i)))
		}
		f.good(t, w, at, "at first", ends)
		if r := f.record(t, at); !slices.ContainsFunc(r.Tables, func(tab run.TableReport) bool { return tab.Partitions > shards }) {
			t.Fatal("no table is divided: the test proves nothing")
		}
		steps := stepsOf(t, lists)
		deaths, kills := 0, *crashes
		if f.slow { // what the others prove of reading and writing is proven for it
			steps, kills = steps[slices.Index(steps, "dest.Commit:before#1"):], max(kills/5, 1)
		}
		for kill := range kills {
			step := steps[(kill*len(steps)/kills+int(*seed))%len(steps)]
			at, when := f.occasion(), "killed at "+step
			w.advance(t)
			ends, died := f.all(t, at, step, kill%2 == 1)
			deaths += died
			f.good(t, w, at, when, ends)
			for i := range shards { // late
				if o := f.shard(t, i, at, ""); o.code != 0 || !strings.Contains(o.output, "over") {
					t.Fatalf("%s: late, shard %d ended with code %d:\n%s", when, i, o.code, o.output)
				}
			}
			w.see(t, f.project, false)
		}
		if deaths < kills/2 {
			t.Errorf("%d kills of %d runs: the test proves little", deaths, kills)
		}
	})
}

// stepsOf are the boundaries of a run's processes, each once.
func stepsOf(t testing.TB, lists string) (steps []string) {
	t.Helper()
	for i := range shards {
		text, err := os.ReadFile(lists + fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		for step := range strings.FieldsSeq(string(text)) {
			if !slices.Contains(steps, step) {
				steps = append(steps, step)
			}
		}
	}
	return steps
}

// TestShardSleeps has a shard sleep at a step until its twin has ended the run, and another run was published. What it does when it
// wakes up changes nothing.
func TestShardSleeps(t *testing.T) {
	eachFleet(t, []string{"MariaDB to S3", "MariaDB to PostgreSQL, append", "MariaDB to BigQuery, append"}, func(t *testing.T, w *world, f *fleet) {
		steps := []string{"dest.Commit:before#1", "dest.Write:batch#1", "state.done/N.json:before#1"}
		if f.slow {
			steps = steps[:1]
		}
		for _, step := range steps {
			at := f.occasion()
			w.advance(t)
			for i := 1; i < shards; i++ {
				if o := f.shard(t, i, at, ""); o.code != 0 {
					t.Fatalf("shard %d ended with code %d:\n%s", i, o.code, o.output)
				}
			}
			sleeper := f.command(t, "shard", "0", at)
			sleeper.Env = append(sleeper.Env, stepStopVar+"="+step)
			var out strings.Builder
			sleeper.Stdout, sleeper.Stderr = &out, &out
			if err := sleeper.Start(); err != nil {
				t.Fatal(err)
			}
			asleep(t, sleeper.Process.Pid)
			f.good(t, w, at, "while one sleeps at "+step, []outcome{f.shard(t, 0, at, "")})
			w.advance(t)
			next := f.occasion()
			ends, _ := f.all(t, next, "", false)
			f.good(t, w, next, "the run after", ends)
			if err := sleeper.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			err := sleeper.Wait()
			w.see(t, f.project, false)
			if r := f.record(t, at); r.Status != run.StatusPublished {
				t.Errorf("asleep at %s, its run now is %s: %v\n%s", step, r.Status, err, out.String())
			}
		}
	})
}

// asleep waits until the process is stopped.
func asleep(t testing.TB, pid int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		if _, rest, _ := strings.Cut(string(text), ") "); strings.HasPrefix(rest, "T") {
			return
		}
	}
	t.Fatal("the process never came to the step it was to sleep at")
}

// oneFleet is a way from MariaDB through shards to a bucket.
func oneFleet(t *testing.T, extra ...string) (*world, *fleet) {
	address := servertest.S3(t)
	w := &world{server: servertest.MariaDB(t)}
	w.begin(t, 55_000)
	return w, w.newFleet(t, farFiles(address), address, extra...)
}

// TestShardsHoldBack: a table that reads back other than it was written is held back, the others are published, and every process
// that looks for the run's end is told.
func TestShardsHoldBack(t *testing.T) {
	w, f := oneFleet(t)
	first := f.occasion()
	ends, _ := f.all(t, first, "", false)
	f.good(t, w, first, "whole", ends)
	users := w.now()["users"]
	w.advance(t)
	at := f.occasion()
	ends, _ = f.all(t, at, "", false, damageVar+"=users")
	told := 0
	for _, o := range ends {
		switch {
		case o.code == 5 && strings.Contains(o.output, "verify.mismatch"):
			told++
		case o.code != 0:
			t.Errorf("a shard ended with code %d:\n%s", o.code, o.output)
		}
	}
	if told == 0 {
		t.Errorf("no shard says what was held back: %v", ends)
	}
	if r := f.record(t, at); r == nil || r.Status != run.StatusPartial {
		t.Errorf("the ledger has %+v", r)
	}
	got, err := f.place.read(t.Context(), f.dir, f.config, w.tables(t))
	if err != nil {
		t.Fatal(err)
	}
	want := contents{}
	for name, sum := range w.now() {
		want[name] = sum
	}
	want["users"] = users
	if got.String() != want.String() {
		t.Errorf("published is\n%s\nwant\n%s", got, want)
	}
	if o := f.shard(t, 0, at, ""); o.code != 5 {
		t.Errorf("late, a shard ended with code %d:\n%s", o.code, o.output)
	}
}

// TestShardsOvertaken: what another run published while the shards read is newer, and stays.
func TestShardsOvertaken(t *testing.T) {
	w, f := oneFleet(t)
	at := f.occasion()
	for i := 1; i < shards; i++ {
		if o := f.shard(t, i, at, ""); o.code != 0 {
			t.Fatalf("shard %d ended with code %d:\n%s", i, o.code, o.output)
		}
	}
	w.advance(t)
	f.run(t)
	if o := f.shard(t, 0, at, ""); o.code != 2 || !strings.Contains(o.output, "shard.overtaken") {
		t.Errorf("the last shard ended with code %d:\n%s", o.code, o.output)
	}
	w.see(t, f.project, false)
	if r := f.record(t, at); r == nil || r.Status != run.StatusFailed {
		t.Errorf("the ledger has %+v", r)
	}
}

// TestShardsGivenUp: a run whose shards all died is given up by the next one; one of whose shards one lives is not.
func TestShardsGivenUp(t *testing.T) {
	w, f := oneFleet(t)
	at, next := f.occasion(), f.occasion()
	if o := f.shard(t, 1, at, "end#1"); o.code != -1 {
		t.Fatalf("shard 1 ended with code %d:\n%s", o.code, o.output)
	}
	held := f.command(t, "shard", "0", at)
	held.Env = append(held.Env, stepHoldVar+"=dest.Write:before#1", patientVar+"=1")
	if err := held.Start(); err != nil {
		t.Fatal(err)
	}
	f.started(t, at, 0)
	busy := f.shard(t, 0, next, "")
	if err := held.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = held.Wait()
	if busy.code != 2 || !strings.Contains(busy.output, "run.busy") || !strings.Contains(busy.output, run.Occasion(at)) {
		t.Errorf("beside a living shard of another run, a shard ended with code %d:\n%s", busy.code, busy.output)
	}
	if f.record(t, next) != nil {
		t.Error("a run that could not begin has an end")
	}
	w.advance(t)
	ends, _ := f.all(t, next, "", false)
	f.good(t, w, next, "after one that was given up", ends)
	if r := f.record(t, at); r == nil || r.Status != run.StatusFailed || r.Error.Code != "shard.given_up" {
		t.Errorf("the ledger has %+v", r)
	}
	if o := f.shard(t, 2, at, ""); o.code != 6 || !strings.Contains(o.output, "shard.given_up") {
		t.Errorf("late, a shard of the run given up ended with code %d:\n%s", o.code, o.output)
	}
	w.see(t, f.project, false)
}

// TestShardCommand starts `kitamae shard` as AWS Batch and Kubernetes do, each shard twice, and counts its connections meanwhile.
func TestShardCommand(t *testing.T) {
	w, f := oneFleet(t)
	most := make(chan int)
	done := make(chan struct{})
	go func() {
		n := 0
		for {
			rows := w.server.Query(t, "", "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = '"+w.db+"'")
			var now int
			_, _ = fmt.Sscan(rows[0][0], &now)
			n = max(n, now)
			select {
			case <-done:
				most <- n
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	at := f.occasion()
	ends := make(chan outcome, 2*shards)
	for i := range shards {
		for _, variable := range []string{"AWS_BATCH_JOB_ARRAY_INDEX", "JOB_COMPLETION_INDEX"} {
			cmd := f.command(t, "kitamae", "shard")
			cmd.Env = append(cmd.Env, variable+"="+fmt.Sprint(i), "KITAMAE_RUN_ID="+at)
			go func() { ends <- finish(cmd) }()
		}
	}
	var all []outcome
	for range 2 * shards {
		all = append(all, <-ends)
	}
	close(done)
	if n := <-most; n < 3 || n > 4+shards {
		t.Errorf("%d connections at once: limits.connections is 4, and each shard has one for control", n)
	}
	f.good(t, w, at, "as commands", all)
	if !slices.ContainsFunc(all, func(o outcome) bool {
		return strings.Contains(o.output, "log") && strings.Contains(o.output, "chunked")
	}) {
		t.Errorf("nobody printed the summary: %v", all)
	}
	o := finish(f.command(t, "kitamae", "shard", "--index", "3", "--scheduled-time", at))
	if o.code != 2 || !strings.Contains(o.output, "shard.index") {
		t.Errorf("shard 3 of 3 ended with code %d:\n%s", o.code, o.output)
	}
}
