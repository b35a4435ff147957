package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
			if took := time.Since(sent); code != 6 || took > 30*time.Second {
				t.Errorf("exit code %d after %s, want 6 within 30 s:\n%s", code, took, told.String())
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

// TestKilledIsTold kills a run that reads: the next one tells the OpenLineage server that it aborted, before it tells of itself.
func TestKilledIsTold(t *testing.T) {
	s := servertest.MariaDB(t)
	db := servertest.FreshDatabase(t, s)
	s.Exec(t, db, "CREATE TABLE log (id bigint PRIMARY KEY, memo varchar(200))",
		"INSERT INTO log SELECT seq, repeat('行', mod(seq, 20)) FROM seq_1_to_1000000")
	var mu sync.Mutex
	var events []string
	told := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(events)
	}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var e struct {
			EventType string
			Run       struct {
				RunID  string
				Facets struct{ ErrorMessage struct{ Message string } }
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e.EventType+" "+e.Run.RunID+" "+e.Run.Facets.ErrorMessage.Message)
	}))
	defer server.Close()
	t.Setenv("OPENLINEAGE_URL", server.URL)
	p := newProject(t, s, db)
	p.write(t, "limits: {memory: 256MiB}")
	cmd := p.command(t, "run", "--log-format", "json")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		if !killed && strings.Contains(lines.Text(), `"msg":"scanned"`) {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || !killed || len(told()) > 0 {
		t.Fatalf("killed: %v, %v, and told %v", killed, err, told())
	}
	if r := runAgain(t, p); r.Died == nil {
		t.Errorf("the run after knows of none that died: %+v", r)
	}
	all := told()
	if len(all) != 4 {
		t.Fatalf("told %q, want two runs' begin and end", all)
	}
	died, lives := strings.Fields(all[0])[1], strings.Fields(all[2])[1]
	for i, want := range []string{"START " + died, "ABORT " + died + " the process ended without a word", "START " + lives, "COMPLETE " + lives} {
		if !strings.HasPrefix(all[i], want) {
			t.Errorf("event %d is %q, want %q…", i, all[i], want)
		}
	}
	if died == lives {
		t.Errorf("both runs are called %s", died)
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
