package e2e

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kitamae/kitamae/internal/servertest"
)

// TestInterrupt sends SIGTERM to a run under way: it ends at once with its own exit code, nothing
// of it is to be seen, and the next run is like any other.
func TestInterrupt(t *testing.T) {
	const rows = 1_500_000
	s := servertest.MariaDB(t)
	db := servertest.FreshDatabase(t, s)
	s.Exec(t, db, "CREATE TABLE log (id bigint PRIMARY KEY, memo varchar(200))",
		fmt.Sprintf("INSERT INTO log SELECT seq, repeat('行', mod(seq, 20)) FROM seq_1_to_%d", rows))
	for _, tc := range []struct{ name, destination, visible string }{
		{"duckdb", "", "kura.duckdb"},
		{"files", "destination: {files: {dir: out}}", "out/manifest.json"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newProject(t, s, db)
			p.write(t, "limits: {memory: 256MiB}", tc.destination)
			cmd := p.command(t, "run", "--log-format", "json")
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var told strings.Builder
			var sent time.Time
			lines := bufio.NewScanner(stderr)
			for lines.Scan() {
				fmt.Fprintln(&told, lines.Text())
				if sent.IsZero() && strings.Contains(lines.Text(), `"msg":"scanned"`) {
					sent = time.Now()
					if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
						t.Fatal(err)
					}
				}
			}
			code := exitCode(cmd.Wait())
			if sent.IsZero() {
				t.Fatalf("the run never told that it reads:\n%s", told.String())
			}
			if took := time.Since(sent); code != 6 || took > 5*time.Second {
				t.Errorf("exit code %d after %s, want 6 within 5s:\n%s", code, took, told.String())
			}
			if _, err := os.Stat(filepath.Join(p.dir, tc.visible)); err == nil {
				t.Errorf("%s is there", tc.visible)
			}
			leftovers(t, p)
			r := p.drive(t, "limits: {memory: 256MiB}", tc.destination)
			if r.Rows() != rows {
				t.Errorf("the run after moved %d rows, want %d", r.Rows(), rows)
			}
		})
	}
}

// leftovers fails where an interrupted run left rows on the disk.
func leftovers(t *testing.T, p *project) {
	t.Helper()
	err := filepath.WalkDir(p.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (strings.HasSuffix(path, ".parquet") || strings.Contains(filepath.Base(path), "kura.duckdb")) {
			t.Errorf("%s was left behind", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
