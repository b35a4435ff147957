package chaos

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kitamae/kitamae/internal/servertest"
)

// toPostgres is a database as a destination, with a proxy in front of it that does what plan says once broken is set.
func toPostgres(proxy **Proxy, broken *atomic.Bool, plan func(conn int) Fault) place {
	return place{name: "postgres", read: readPostgres, config: freshPostgres(func(t testing.TB, s servertest.Server) *Proxy {
		var spared atomic.Int64
		*proxy = (&world{server: s}).behind(t, func(conn int) Fault {
			if !broken.Load() {
				spared.Add(1)
				return Fault{}
			}
			return plan(conn - int(spared.Load()))
		})
		return *proxy
	})}
}

// TestLostDestination loses the first connections to the destination, wherever in their life: by what it answers, and in the middle
// of what it is sent. The run publishes all the same, or says that the destination is to blame and leaves what was there;
// and the run after it publishes, though the server may know nothing of the connections that were lost.
func TestLostDestination(t *testing.T) {
	w := newWorld(t, servertest.MariaDB(t), 8000)
	// the first connection is the lease's, over which little goes
	sent := func(kind FaultKind, bytes int64) func(int) Fault {
		return func(conn int) Fault {
			if conn >= 3 {
				return Fault{}
			}
			return Fault{Kind: kind, Sent: bytes << conn >> 1}
		}
	}
	// what the destination answers at length is what is staged, when it is read back
	answered := func(kind FaultKind, bytes int64) func(int) Fault {
		return func(conn int) Fault {
			if conn >= 3 {
				return Fault{}
			}
			return Fault{Kind: kind, After: bytes << conn >> 1}
		}
	}
	for _, tc := range []struct {
		name string
		plan func(int) Fault
		heal bool // the run itself has to get over it
	}{
		{"drop", Random(*seed, 5, 100_000, Drop), false},
		{"cut", Random(*seed, 5, 100_000, Cut), false},
		{"stall", Random(*seed, 5, 100_000, Stall), false},
		{"all", Random(*seed+1, 5, 100_000, Drop, Cut, Stall), false},
		{"drop while rows are sent", sent(Drop, 60_000), true},
		{"stall while rows are sent", sent(Stall, 60_000), true},
		{"drop while rows are read back", answered(Drop, 60_000), true},
		{"stall while rows are read back", answered(Stall, 60_000), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var proxy *Proxy
			var broken atomic.Bool
			p := w.project(t, toPostgres(&proxy, &broken, tc.plan), nil)
			broken.Store(true)
			o := finish(p.command(t, "kitamae", "run"))
			t.Logf("code %d after %s, %d faults: %s", o.code, o.took, proxy.Happened(), lastError(o.output))
			if proxy.Happened() == 0 {
				t.Error("no fault happened: the test proves nothing")
			}
			if o.took > within {
				t.Errorf("the run took %s", o.took)
			}
			switch {
			case o.code == 0:
				w.see(t, p, false)
			case tc.heal:
				t.Errorf("code %d:\n%s", o.code, o.output)
			default:
				w.see(t, p, true)
				destinationFault(t, o)
			}
			broken.Store(false)
			p.run(t)
			w.see(t, p, false)
			p.tidy(t)
		})
	}
}

// destinationFault fails unless the output blames the destination, with something to do.
func destinationFault(t testing.TB, o outcome) {
	t.Helper()
	if o.code != 4 || !strings.Contains(o.output, "error: ") || !strings.Contains(o.output, "code: ") {
		t.Errorf("code %d, want 4 (the destination's fault), with an error and its code:\n%s", o.code, o.output)
	}
}

// TestNothingWorksAtTheDestination loses every connection, for good: the run gives up in time, says why, and what was
// published before stays.
func TestNothingWorksAtTheDestination(t *testing.T) {
	w := newWorld(t, servertest.MariaDB(t), 8000)
	for _, f := range []Fault{{Kind: Stall}, {Kind: Drop}, {Kind: Stall, Sent: 60_000}, {Kind: Drop, Sent: 60_000}} {
		t.Run(fmt.Sprintf("fault %d after %d bytes", f.Kind, f.Sent), func(t *testing.T) {
			var proxy *Proxy
			var broken atomic.Bool
			p := w.project(t, toPostgres(&proxy, &broken, func(int) Fault { return f }), nil)
			p.run(t)
			broken.Store(true)
			o := finish(p.command(t, "kitamae", "run"))
			t.Logf("code %d after %s: %s", o.code, o.took, lastError(o.output))
			if o.took > within {
				t.Errorf("the run took %s", o.took)
			}
			destinationFault(t, o)
			w.see(t, p, false)
		})
	}
}

// TestLoginDropped hangs up on the first logins at once, as a server does that is starting, or something before it: the run
// waits and gets over it, at either end.
func TestLoginDropped(t *testing.T) {
	first := func(conn int) Fault {
		if conn < 2 {
			return Fault{Kind: Drop}
		}
		return Fault{}
	}
	for _, s := range servers(t) {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s, 50)
			proxy := w.behind(t, first)
			gotOver(t, w, w.project(t, places[0], proxy), proxy)
		})
	}
	t.Run("destination", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, servertest.MariaDB(t), 50)
		var proxy *Proxy
		var broken atomic.Bool
		broken.Store(true)
		p := w.project(t, toPostgres(&proxy, &broken, first), nil)
		gotOver(t, w, p, proxy)
	})
}

func gotOver(t *testing.T, w *world, p *project, proxy *Proxy) {
	t.Helper()
	o := p.run(t)
	w.see(t, p, false)
	if n := proxy.Happened(); n == 0 || strings.Count(o.output, "trying again: ") != n {
		t.Errorf("%d logins were dropped, and the run said\n%s", proxy.Happened(), o.output)
	}
}
