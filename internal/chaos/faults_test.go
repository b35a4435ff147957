package chaos

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kitamae/kitamae/internal/servertest"
)

// within bounds a run that meets faults, whatever comes of it: read_timeout is two seconds, and what is tried again waits seven.
const within = 90 * time.Second

// behind puts a proxy with a plan between the world and kitamae.
func (w *world) behind(t testing.TB, plan func(conn int) Fault) *Proxy {
	t.Helper()
	p, err := Listen(w.server.Address(), plan)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func servers(t testing.TB) []servertest.Server {
	return append(servertest.MySQLServers(t), servertest.PostgresServers(t)...)
}

// TestLostConnections loses the first connections of a run, wherever in their life the dice say. It ends with
// all of the source published, or with a fault of the source's that says so and nothing half.
func TestLostConnections(t *testing.T) {
	for _, s := range servers(t) {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s, 8000)
			for round, kinds := range [][]FaultKind{{Drop}, {Cut}, {Stall}, {Drop, Cut, Stall}} {
				proxy := w.behind(t, Random(*seed+uint64(round), 3, 300_000, kinds...))
				p := w.project(t, places[round%len(places)], proxy)
				o := finish(p.command(t, "kitamae", "run"))
				if proxy.Happened() == 0 {
					t.Errorf("faults %v: none happened: the test proves nothing", kinds)
				}
				if o.took > within {
					t.Errorf("faults %v: the run took %s", kinds, o.took)
				}
				if o.code == 0 {
					w.see(t, p, false)
				} else {
					w.see(t, p, true)
					sourceFault(t, o)
				}
				t.Logf("faults %v: code %d after %s", kinds, o.code, o.took.Round(time.Millisecond))
			}
		})
	}
}

// sourceFault fails unless the output blames the source, with something to do.
func sourceFault(t testing.TB, o outcome) {
	t.Helper()
	if o.code != 3 || !strings.Contains(o.output, "error: ") || !strings.Contains(o.output, "code: ") {
		t.Errorf("code %d, want 3 (the source's fault), with an error and its code:\n%s", o.code, o.output)
	}
}

// TestNothingWorks loses every connection after so many bytes, for good: the run gives up in time, says why, and what
// was published before stays.
func TestNothingWorks(t *testing.T) {
	for _, s := range servers(t) {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s, 8000)
			p := w.project(t, places[0], nil)
			p.run(t)
			for _, f := range []Fault{{Kind: Stall}, {Kind: Drop}, {Kind: Stall, After: 100_000}, {Kind: Drop, After: 100_000}} {
				proxy := w.behind(t, func(int) Fault { return f })
				q := w.project(t, places[0], proxy)
				if err := copyFile(q.dir+"/kitamae.yml", p.dir+"/faulty.yml"); err != nil {
					t.Fatal(err)
				}
				o := finish(p.command(t, "kitamae", "run", "-f", "faulty.yml"))
				what := fmt.Sprintf("fault %d after %d bytes", f.Kind, f.After)
				if o.took > within {
					t.Errorf("%s: the run took %s", what, o.took)
				}
				if o.code == 0 {
					t.Errorf("%s: the run published", what)
				} else if o.code != 2 { // a server that never greets may as well be a wrong port
					sourceFault(t, o)
				}
				w.see(t, p, false)
				t.Logf("%s: code %d after %s: %s", what, o.code, o.took.Round(time.Millisecond), lastError(o.output))
			}
		})
	}
}

func lastError(output string) string {
	_, rest, _ := strings.Cut(output, "error: ")
	line, _, _ := strings.Cut(rest, "\n")
	return line
}
