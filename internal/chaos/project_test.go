package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/state"
)

// project is a folder with a kitamae.yml, as a user has it.
type project struct {
	dir      string
	place    place
	config   string // of the place
	password string
}

// project moves the world to a place; through, where it is not nil, stands in between.
func (w *world) project(t testing.TB, to place, through *Proxy, extra ...string) *project {
	t.Helper()
	p := &project{dir: t.TempDir(), place: to, config: to.config(t), password: w.server.Password}
	spec := map[string]any{
		"host": w.server.Host, "port": w.server.Port, "user": w.server.User, "password": "${CHAOS_PASSWORD}", "database": w.db,
	}
	if w.chunked {
		spec["read"] = "chunked"
	}
	if through != nil {
		spec["host"], spec["port"], spec["read_timeout"], spec["connect_timeout"] = "127.0.0.1", through.Port(), "2s", "3s"
	}
	source, err := json.Marshal(map[string]any{w.server.Kind: spec}) // JSON is YAML, but for durations
	if err != nil {
		t.Fatal(err)
	}
	bare := strings.NewReplacer(`"2s"`, "2s", `"3s"`, "3s").Replace(string(source))
	lines := append([]string{"source: " + bare, p.config, "verify: full"}, extra...)
	for _, usual := range []string{"limits: {memory: 256MiB}", `tables: {"*": {}, seq: skip}`} {
		key, _, _ := strings.Cut(usual, " ")
		if !strings.Contains(strings.Join(extra, "\n"), key) {
			lines = append(lines, usual)
		}
	}
	if err := os.WriteFile(filepath.Join(p.dir, "kitamae.yml"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// command is the program of [children] in the project's folder.
func (p *project) command(t testing.TB, program string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), childVar+"="+program, "CHAOS_PASSWORD="+p.password, "CHAOS_ONE=1")
	return cmd
}

// outcome is how a command ended.
type outcome struct {
	code   int // -1 for killed
	output string
	took   time.Duration
}

func finish(cmd *exec.Cmd) outcome {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	err := cmd.Run()
	o := outcome{output: out.String(), took: time.Since(began)}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		o.code = exit.ExitCode()
	case err != nil:
		o.code, o.output = -2, err.Error()
	}
	return o
}

// run is `kitamae run`, which must publish everything.
func (p *project) run(t testing.TB) outcome {
	t.Helper()
	o := finish(p.command(t, "kitamae", "run"))
	if o.code != 0 {
		t.Fatalf("the run ended with code %d:\n%s", o.code, o.output)
	}
	return o
}

// ledger is what the project remembers of its runs, newest first.
func (p *project) ledger(t testing.TB) []run.Report {
	t.Helper()
	reports, err := run.Ledger(t.Context(), p.state(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return reports
}

func (p *project) state() *state.Dir { return state.New(filepath.Join(p.dir, ".kitamae", "kitamae")) }

// tidy fails where a run left anything behind that is not to be there.
func (p *project) tidy(t testing.TB) {
	t.Helper()
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); name != "kitamae.yml" && name != ".kitamae" && !strings.Contains(" "+p.place.files+" ", " "+name+" ") {
			t.Errorf("%s was left behind", name)
		}
	}
	if intent, _, err := p.state().Get(t.Context(), "commit.json"); err != nil || intent != nil {
		t.Errorf("a commit still counts as under way: %s, %v", intent, err)
	}
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o600)
}
