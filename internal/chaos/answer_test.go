package chaos

import (
	"strings"
	"testing"

	"github.com/kitamae/kitamae/internal/servertest"
)

// TestLostAnswer loses the server's answer to one COMMIT after the other, up to the one that publishes: the
// destination did what it was told, and kitamae can't know. The run asks again and finds out; what is visible is the source's
// state, there once, after it and after the next run.
func TestLostAnswer(t *testing.T) {
	w := newWorld(t, servertest.MariaDB(t), 500)
	committed := false
	for nth := 0; ; nth++ {
		var proxy *Proxy
		to := place{name: "postgres", read: readPostgres, config: freshPostgres(func(t testing.TB, s servertest.Server) *Proxy {
			proxy = (&world{server: s}).behind(t, func(int) Fault { return Fault{Kind: Drop, Upon: []byte("COMMIT\x00"), Nth: nth} })
			return proxy
		})}
		p := w.project(t, to, nil)
		o := finish(p.command(t, "kitamae", "run"))
		if proxy.Happened() == 0 {
			if o.code != 0 || nth < 3 {
				t.Errorf("without a lost answer the run ended with code %d after %d commits:\n%s", o.code, nth, o.output)
			}
			break
		}
		if o.code != 0 {
			t.Errorf("answer %d: code %d:\n%s", nth, o.code, o.output)
		}
		w.see(t, p, false)
		committed = committed || strings.Contains(o.output, "trying again: publishing: the connection to")
		p.run(t)
		w.see(t, p, false)
		p.tidy(t)
	}
	if !committed {
		t.Error("no run ever lost the answer to the COMMIT that publishes: the test proves nothing")
	}
}
