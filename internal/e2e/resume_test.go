package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/state"
)

// TestTakenUp stops a chunked run in the middle, by a signal it can hear and by one it can't, and runs again: what was
// read stays, the rest is read, nothing is there twice.
func TestTakenUp(t *testing.T) {
	const rows = 1_000_000
	s := servertest.MariaDB(t)
	db := servertest.FreshDatabase(t, s)
	s.Exec(t, db, "CREATE TABLE log (id bigint PRIMARY KEY, memo varchar(200))",
		fmt.Sprintf("INSERT INTO log SELECT seq, repeat('行', mod(seq, 20)) FROM seq_1_to_%d", rows),
		"CREATE TABLE small (id int PRIMARY KEY, v int)", "INSERT INTO small VALUES (1, 1), (2, 2)")
	s.Query(t, db, "ANALYZE TABLE log")
	pg := servertest.Postgres(t)
	pgdb := servertest.FreshDatabase(t, pg)
	for _, tc := range []struct {
		name, destination string
		signal            syscall.Signal
	}{
		{"duckdb, killed", "", syscall.SIGKILL},
		{"duckdb, asked to end", "", syscall.SIGTERM},
		{"files, killed", "destination: {files: {dir: out}}", syscall.SIGKILL},
		{"postgres, killed", intoPostgres(t, pg, pgdb), syscall.SIGKILL},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newProject(t, s, db).with("read", "chunked")
			extra := []string{"limits: {memory: 256MiB, connections: 1}", tc.destination}
			p.write(t, extra...)
			stopInTheMiddle(t, p, tc.signal)
			r := runAgain(t, p)
			if !r.Resumed || !strings.Contains(strings.Join(r.Notes, " "), "before the interruption") {
				t.Errorf("nothing was taken up: %v", r.Notes)
			}
			if r.Rows() != rows+2 {
				t.Errorf("%d rows, want %d", r.Rows(), rows+2)
			}
			want := s.Query(t, db, "SELECT concat_ws(' ', count(*), count(DISTINCT id), sum(id), sum(char_length(memo))) FROM log")[0][0]
			const sum = "SELECT concat_ws(' ', count(*), count(DISTINCT id), sum(id), sum(length(memo))) FROM "
			var got string
			switch {
			case strings.Contains(tc.destination, "postgres"):
				got = pg.Query(t, pgdb, sum+`"倉 庫".log`)[0][0]
			case strings.Contains(tc.destination, "files"):
				got = one(t, openDuckDB(t, ""), sum+"read_parquet(['"+strings.Join(p.files(t, "out", "log"), "', '")+"'])")
			default:
				got = one(t, p.duckdb(t), sum+"log")
			}
			if got != want {
				t.Errorf("%s arrived, the source holds %s", got, want)
			}
			if _, err := os.Stat(progressFile(p)); err == nil {
				t.Error("the progress is still there after the run was published")
			}
			if again := runAgain(t, p); again.Resumed || again.ID == r.ID {
				t.Errorf("a run after a published one took it up: %+v", again)
			}
		})
	}
	t.Run("another plan", func(t *testing.T) {
		p := newProject(t, s, db).with("read", "chunked")
		extra := []string{"limits: {memory: 256MiB, connections: 1}"}
		p.write(t, extra...)
		stopInTheMiddle(t, p, syscall.SIGTERM)
		p.write(t, append(extra, "tables: {log: {columns: {drop: [memo]}}}")...)
		r := runAgain(t, p)
		if r.Resumed || r.Rows() != rows || !strings.Contains(strings.Join(r.Notes, " "), "given up: the plan is another") {
			t.Errorf("resumed %v, %d rows, notes %v", r.Resumed, r.Rows(), r.Notes)
		}
		leftovers := p.duckdb(t)
		if got := one(t, leftovers, "SELECT concat_ws(' ', count(*), count(DISTINCT id)) FROM log"); got != fmt.Sprintf("%d %[1]d", rows) {
			t.Errorf("%s rows", got)
		}
	})
}

// runAgain runs the config in another process of the same program and returns what the ledger says of it.
func runAgain(t *testing.T, p *project) run.Report {
	t.Helper()
	if out, err := p.command(t, "run").CombinedOutput(); err != nil {
		t.Fatalf("run: %v\n%s", err, out)
	}
	reports, err := run.Ledger(t.Context(), state.New(filepath.Join(p.dir, ".kitamae", "kitamae")), 0)
	if err != nil {
		t.Fatal(err)
	}
	last := reports[0]
	for _, r := range reports {
		if r.Ended.After(last.Ended) {
			last = r
		}
	}
	return last
}

func progressFile(p *project) string {
	return filepath.Join(p.dir, ".kitamae", "kitamae", "progress.json")
}

// stopInTheMiddle runs the config in a process of its own and signals it once some of its partitions are written down.
func stopInTheMiddle(t *testing.T, p *project, signal syscall.Signal) {
	t.Helper()
	cmd := p.command(t, "run", "--log-format", "json")
	var told bytes.Buffer
	cmd.Stdout, cmd.Stderr = &told, &told
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-ended:
			t.Fatalf("the run ended before it could be stopped:\n%s", told.String())
		case <-look.C:
		}
		if text, err := os.ReadFile(progressFile(p)); err == nil && bytes.Contains(text, []byte(`"receipts"`)) {
			break
		}
	}
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	<-ended
	if _, err := os.Stat(progressFile(p)); err != nil {
		t.Fatalf("no progress is left behind: %v\n%s", err, told.String())
	}
	if _, err := os.Stat(filepath.Join(p.dir, "kura.duckdb")); err == nil {
		t.Fatal("half a run is visible")
	}
}
