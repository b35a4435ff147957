package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
)

// TestMemoryBound runs the command in a process of its own over a table several times as
// large as its limit, and looks at the process's greatest memory.
func TestMemoryBound(t *testing.T) {
	const most = 400 << 10 // KiB, for limits.memory: 256MiB
	s := servertest.Postgres(t)
	db := servertest.FreshDatabase(t, s)
	// a million rows of some 1,000 bytes that do not compress much
	s.Exec(t, db, "CREATE UNLOGGED TABLE wide AS SELECT i AS id, md5(i::text) AS a, md5((i*7)::text) AS b, repeat(md5((i*11)::text), 28) AS filler, i*1.5 AS c FROM generate_series(1, 1000000::int8) AS g(i)",
		"ALTER TABLE wide ADD PRIMARY KEY (id)", "ANALYZE wide")
	p := newProject(t, s, db)
	p.write(t, "limits: {memory: 256MiB}", "destination: {files: {dir: out}}")
	cmd := p.command(t, "run")
	if raced {
		cmd.Path = build(t)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	peak, err := peakUntil(cmd.Process.Pid, ended)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	t.Logf("greatest memory: %d MiB", peak>>10)
	if peak <= 0 || peak > most {
		t.Errorf("the process took %d KiB at most, want no more than %d", peak, most)
	}
	if files := p.files(t, "out", "wide"); len(files) < 2 {
		t.Errorf("%d files: the table was not divided", len(files))
	}
}

// peakUntil is the process's greatest resident memory in KiB, and how it ended. It asks the kernel
// for its high-water mark as long as it lives: the one that comes with its end begins with
// its parent's memory.
func peakUntil(pid int, ended <-chan error) (peak int64, err error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return peak, err
		case <-tick.C:
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue // it has just ended
		}
		_, rest, _ := strings.Cut(string(status), "VmHWM:")
		var now int64
		if _, err := fmt.Sscan(rest, &now); err == nil {
			peak = max(peak, now)
		}
	}
}

// build makes the program as it is shipped, without the race detector.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "kitamae")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-tags=duckdb_arrow", "-o", bin, "github.com/kitamae/kitamae/cmd/kitamae").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// TestLargeValue meets a value beyond the limit, which is a fault that names it, and one of
// 16 MB, which is none under the default limits.
func TestLargeValue(t *testing.T) {
	for _, s := range []servertest.Server{servertest.MariaDB(t), servertest.Postgres(t)} {
		t.Run(s.Name, func(t *testing.T) {
			db := servertest.FreshDatabase(t, s)
			text := map[string]string{"mysql": "longtext", "postgres": "text"}[s.Kind]
			s.Exec(t, db, "CREATE TABLE letters (id int PRIMARY KEY, body "+text+")",
				"INSERT INTO letters VALUES (1, 'short'), (42, repeat('0123456789abcdef', 1000000)), (43, 'after')")
			p := newProject(t, s, db)
			p.drive(t)
			found := p.duckdb(t)
			if got := one(t, found, "SELECT concat_ws(' ', length(body), md5(body)) FROM letters WHERE id = 42"); got != "16000000 "+s.Query(t, db, "SELECT md5(body) FROM letters WHERE id = 42")[0][0] {
				t.Errorf("the value of 16 MB arrived as %s", got)
			}
			s.Exec(t, db, "INSERT INTO letters VALUES (77, repeat('0123456789abcdef', 1200000))")
			r, err := run.Drive(t.Context(), p.request(t, "limits: {memory: 256MiB}"))
			if !fault.HasCode(err, "value.too_large") || fault.From(err).Hint == "" {
				t.Fatalf("a value of 19.2 MB under a limit of 16 MiB: %v", err)
			}
			for _, want := range []string{"letters", "body", "77"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the fault does not name %s: %v", want, err)
				}
			}
			if line := tableReport(t, r, "letters"); line.Status != run.StatusHeldBack {
				t.Errorf("the table is %s", line.Status)
			}
			if got := one(t, p.duckdb(t), "SELECT count(*)::VARCHAR FROM letters"); got != "3" {
				t.Errorf("the table visible has %s rows, want the 3 of the run before", got)
			}
		})
	}
}

// exitCode is the code a command ended with, -1 where it did not end by itself.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}
