package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kitamae/kitamae/internal/servertest"
)

// ordeal is a way to read, what it is read into, and what the world does meanwhile.
type ordeal struct {
	name  string
	place place
	adds  bool     // the world only adds rows
	first string   // the steps to begin with
	extra []string // lines of kitamae.yml
	// chunked reads in short transactions. The world changes only once what it holds is published: a run that is taken up
	// mixes what was read before and after.
	chunked bool
}

func ordeals() []ordeal {
	var all []ordeal
	for _, to := range places {
		all = append(all, ordeal{name: to.name, place: to, first: "dest.Commit"})
	}
	cursors := "tables: {mark: {mode: append, cursor: gen}, users: {mode: append, cursor: id}, log: {mode: append, cursor: id}, words: {mode: append, cursor: gen}}"
	for _, to := range places {
		all = append(all, ordeal{name: to.name + ", append", place: to, adds: true, first: "dest.Commit", extra: []string{cursors}})
	}
	return append(all, ordeal{
		name: "duckdb, chunked", place: places[0], first: "dest.Write:before#2",
		chunked: true, extra: []string{"limits: {memory: 256MiB, connections: 1}"},
	})
}

// TestCrash kills kitamae with SIGKILL, at every boundary between two steps and at random times, again and again, while
// the source goes on changing and a reader in a process of its own looks at the destination all the while. Whatever is
// published at any moment is one whole state of the source, and a run that lives to its end publishes the one
// the source is in, by full checksum: nothing lost, nothing twice, nothing half-visible, no cursor ahead of its rows.
func TestCrash(t *testing.T) {
	for _, o := range ordeals() {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			w := &world{server: servertest.MariaDB(t), adds: o.adds, chunked: o.chunked}
			w.begin(t, 3000)
			p := w.project(t, o.place, nil, o.extra...)
			o.suffer(t, w, p)
		})
	}
}

// suffer is the kills of one ordeal.
func (by ordeal) suffer(t *testing.T, w *world, p *project) {
	steps := p.steps(t, by.first)
	if w.adds {
		w.advance(t) // a run with nothing to add is over too soon
	}
	usual := p.run(t).took
	stop := p.watch(t, w)
	dice := rand.New(rand.NewPCG(*seed, 7))
	done := true // what the world holds is published
	for kill := range *crashes {
		if done || !by.chunked {
			w.advance(t)
		}
		what, o := "", outcome{}
		if kill%2 == 0 {
			step := steps[kill/2%len(steps)]
			what = "at " + step
			cmd := p.command(t, "steps")
			cmd.Env = append(cmd.Env, stepVar+"="+step)
			if by.chunked {
				cmd.Env = append(cmd.Env, stepSlowVar+"=1")
			}
			o = finish(cmd)
		} else {
			after := time.Duration(dice.Int64N(int64(usual) * 11 / 10))
			what = "after " + after.String()
			o = p.killAfter(t, after)
		}
		if o.code > 0 {
			t.Fatalf("kill %d (seed %d) %s: the run failed by itself, with code %d:\n%s", kill, *seed, what, o.code, o.output)
		}
		w.see(t, p, true)
		if done = o.code == 0; dice.IntN(3) == 0 {
			continue // the next kill meets what this one left
		}
		if dice.IntN(2) == 0 && !by.chunked {
			w.advance(t)
		}
		if o := finish(p.command(t, "kitamae", "run")); o.code != 0 {
			t.Fatalf("kill %d (seed %d) %s: the run after ended with code %d:\n%s", kill, *seed, what, o.code, o.output)
		}
		done = true
		w.see(t, p, false)
		p.tidy(t)
	}
	p.run(t)
	w.see(t, p, false)
	p.tidy(t)
	looks := stop()
	resumed := 0
	for _, r := range p.ledger(t) {
		if r.Resumed {
			resumed++
		}
	}
	if by.chunked && resumed == 0 {
		t.Error("no run was ever taken up: the test proves nothing")
	}
	t.Logf("%d kills over %d steps, %d runs taken up, %d looks by the reader", *crashes, len(steps), resumed, looks)
}

// steps runs once without a kill, and returns the names of all step boundaries, from the first of that name on.
func (p *project) steps(t testing.TB, first string) []string {
	t.Helper()
	list := filepath.Join(t.TempDir(), "steps")
	cmd := p.command(t, "steps")
	cmd.Env = append(cmd.Env, stepListVar+"="+list)
	if o := finish(cmd); o.code != 0 {
		t.Fatalf("the run that counts steps ended with code %d:\n%s", o.code, o.output)
	}
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(text))
	late := slices.IndexFunc(names, func(n string) bool { return strings.HasPrefix(n, first) })
	if late < 0 {
		t.Fatalf("no %s among the steps %v", first, names)
	}
	return append(slices.Clone(names[late:]), names[:late]...)
}

// killAfter starts a run and kills it, unless it ended before.
func (p *project) killAfter(t testing.TB, after time.Duration) outcome {
	t.Helper()
	cmd := p.command(t, "kitamae", "run")
	began := make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(over)
		<-began
		<-time.After(after) // the time is what is tried
		_ = cmd.Process.Signal(syscall.SIGKILL)
	}()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(began)
	_ = cmd.Wait()
	<-over
	return outcome{code: cmd.ProcessState.ExitCode(), output: out.String()}
}

// watch starts a reader in a process of its own. stop ends it, and fails unless everything it ever saw was whole.
func (p *project) watch(t testing.TB, w *world) (stop func() (looks int)) {
	t.Helper()
	tables, err := json.Marshal(w.tables(t))
	if err != nil {
		t.Fatal(err)
	}
	cmd := p.command(t, "reader", p.place.name, p.config, string(tables))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := make(chan []look)
	go func() {
		var all []look
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var l look
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
				l.Err = err.Error()
			}
			all = append(all, l)
		}
		seen <- all
	}()
	return func() (looks int) {
		_ = in.Close()
		all := <-seen
		if err := cmd.Wait(); err != nil {
			t.Errorf("the reader: %v", err)
		}
		for _, l := range all {
			if l.Err != "" {
				t.Errorf("the reader: %s", l.Err)
			} else if l.Saw != nil {
				w.whole(t, l.Saw)
			}
			looks += l.Times
		}
		if len(all) < 2 {
			t.Errorf("the reader saw %d states: the test proves nothing", len(all))
		}
		return looks
	}
}

// look is what a reader saw, and how many times in a row.
type look struct {
	Saw   contents
	Err   string
	Times int
}

// readOn looks at the destination until its input ends, and prints each state it sees once.
func readOn(args []string) int {
	at := slices.IndexFunc(places, func(p place) bool { return p.name == args[0] })
	var tables map[string][]column
	if err := json.Unmarshal([]byte(args[2]), &tables); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ended := make(chan struct{})
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		close(ended)
	}()
	out := json.NewEncoder(os.Stdout)
	var last look
	pace := time.NewTicker(50 * time.Millisecond) // the machine is small, and the runs need it too
	defer pace.Stop()
	for {
		var now look
		saw, err := places[at].read(context.Background(), ".", args[1], tables)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			now.Err = err.Error()
		}
		now.Saw = saw
		if last.Times > 0 && (now.Saw.String() != last.Saw.String() || now.Err != last.Err) {
			_ = out.Encode(last)
			last.Times = 0
		}
		now.Times = last.Times + 1
		last = now
		select {
		case <-ended:
			_ = out.Encode(last)
			return 0
		case <-pace.C:
		}
	}
}

// TestCommitRefusedForGood kills a run right before its commit, which the destination then will not take any more: the run after gives it
// up, and publishes what the source holds by then.
func TestCommitRefusedForGood(t *testing.T) {
	w := newWorld(t, servertest.MariaDB(t), 50)
	p := w.project(t, places[2], nil)
	p.run(t)
	w.advance(t)
	cmd := p.command(t, "steps")
	cmd.Env = append(cmd.Env, stepVar+"=dest.Commit:before#1")
	if o := finish(cmd); o.code != -1 {
		t.Fatalf("the run was not killed: code %d:\n%s", o.code, o.output)
	}
	servertest.Postgres(t).Exec(t, destSpec.FindStringSubmatch(p.config)[2], fmt.Sprintf("ALTER TABLE %s ADD CHECK (gen <> %d)", mark, w.gen))
	w.advance(t)
	if o := p.run(t); !strings.Contains(o.output, "can't be published") || !strings.Contains(o.output, "its tables are read again") {
		t.Errorf("nobody is told what became of the commit:\n%s", o.output)
	}
	w.see(t, p, false)
	p.tidy(t)
}
