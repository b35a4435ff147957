package e2e

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/internal/servertest"
)

// TestKilledElsewhere kills a run that holds the lease at its destination. A second machine, which sees nothing of the first one's folder, follows once the
// holder has been silent for as long as its record says, the first one's own folder at once; neither leaves a row out or doubles one.
func TestKilledElsewhere(t *testing.T) {
	const rows = 600_000
	s, to := servertest.MariaDB(t), servertest.Postgres(t)
	db, there := servertest.FreshDatabase(t, s), servertest.FreshDatabase(t, to)
	s.Exec(t, db, "CREATE TABLE log (id bigint PRIMARY KEY, memo varchar(200))",
		fmt.Sprintf("INSERT INTO log SELECT seq, repeat('行', mod(seq, 20)) FROM seq_1_to_%d", rows))
	config := []string{"limits: {memory: 256MiB}", intoPostgres(t, to, there), "tables: {log: {mode: append, cursor: id}}"}
	one, two := newProject(t, s, db), newProject(t, s, db)
	one.write(t, config...)
	two.write(t, config...)
	killed := func() {
		t.Helper()
		cmd := one.command(t, "run", "--log-format", "json")
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		reads := false
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if !reads && strings.Contains(lines.Text(), `"msg":"scanned"`) {
				reads = true
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || !reads {
			t.Fatalf("the run that was to be killed: %v, it read: %v", err, reads)
		}
	}
	runs := func(p *project, says string) {
		t.Helper()
		if out, err := p.command(t, "run").CombinedOutput(); err != nil || !strings.Contains(string(out), says) {
			t.Fatalf("%v, want %q\n%s", err, says, out)
		}
		if got := to.Query(t, there, `SELECT count(*), count(DISTINCT id) FROM "倉 庫".log`)[0]; got[0] != fmt.Sprint(rows) || got[1] != fmt.Sprint(rows) {
			t.Errorf("%s rows, %s of them distinct; want %d", got[0], got[1], rows)
		}
	}
	killed()
	held := to.Query(t, there, "SELECT value FROM _kitamae.leases WHERE value LIKE '%process%'")
	if len(held) != 1 {
		t.Fatalf("the run that was killed left the leases %v", held)
	}
	to.Exec(t, there, `UPDATE _kitamae.leases SET value = replace(value, '"ttl":30000000000', '"ttl":1000000000')`) // the test waits no half minute
	runs(two, "published")
	killed()
	runs(one, "published")
	if held := to.Query(t, there, "SELECT value FROM _kitamae.leases WHERE value <> ''"); len(held) > 0 {
		t.Errorf("leases left: %v", held)
	}
}
