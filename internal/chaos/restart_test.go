package chaos

import (
	"bufio"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/internal/servertest"
)

// TestServerRestarts cuts the source's power in the middle of a run, and starts it again at once: the run publishes what
// the source holds or blames the source, and the run after publishes it.
func TestServerRestarts(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *servertest.Private{"mariadb": servertest.PrivateMariaDB, "postgres": servertest.PrivatePostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			w := newWorld(t, s.Server, 60_000)
			p := w.project(t, places[0], nil)
			cmd := p.command(t, "kitamae", "run", "--log-format", "json")
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var told strings.Builder
			lines, restarted := bufio.NewScanner(stderr), false
			for lines.Scan() {
				told.WriteString(lines.Text() + "\n")
				if !restarted && strings.Contains(lines.Text(), `"msg":"scanned"`) {
					restarted = true
					s.Kill(t)
					s.Start(t)
				}
			}
			_ = cmd.Wait()
			o := outcome{code: cmd.ProcessState.ExitCode(), output: told.String()}
			if !restarted {
				t.Fatalf("the run never told that it reads:\n%s", o.output)
			}
			t.Logf("code %d: %s", o.code, lastError(o.output))
			if o.code == 0 {
				w.see(t, p, false)
			} else {
				sourceFault(t, o)
			}
			p.run(t)
			w.see(t, p, false)
			p.tidy(t)
		})
	}
}
