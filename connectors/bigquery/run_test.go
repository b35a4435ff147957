package bigquery_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/kitamae/kitamae/cli"
	"github.com/kitamae/kitamae/internal/servertest"
)

// childVar asks the test binary to be the program: a test of a process needs one of its own.
const childVar = "KITAMAE_BIGQUERY_CHILD"

func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var code int
	switch os.Getenv(childVar) {
	case "":
		code = m.Run()
	case "large":
		code = largeRun(ctx)
	default:
		code = cli.Run(ctx, os.Args[1:], cli.Stdio())
	}
	stop()
	os.Exit(code)
}

// tables is how many tables the application has: thirty, as the emulator takes its time; make test-bigquery has fifty.
func tables(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv("BIGQUERY_TABLES"), "30"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func tableOf(i int) string { return fmt.Sprintf("表_%02d", i) }

// application is a MariaDB of so many tables with comments.
func application(t *testing.T, s servertest.Server) string {
	t.Helper()
	db := servertest.FreshDatabase(t, s)
	for i := range tables(t) {
		s.Exec(t, db, fmt.Sprintf("CREATE TABLE %s (id bigint unsigned PRIMARY KEY COMMENT 'the key', `full name` varchar(60) COMMENT '氏名', amount decimal(14,2), at datetime(6)) COMMENT 'table no. %d'",
			tableOf(i), i),
			fmt.Sprintf("INSERT INTO %s SELECT seq, if(seq mod 7 = 0, null, concat('名前 \"', seq, '\"')), seq * 37 / 100, date_add('2020-01-01', interval seq * 1234567 microsecond) FROM seq_1_to_%d",
				tableOf(i), 1+i*i*3%2000))
	}
	return db
}

// kitamae is the program, with a config that moves db into the place.
func (p *place) kitamae(t *testing.T, s servertest.Server, db string, args ...string) *exec.Cmd {
	t.Helper()
	config := fmt.Sprintf("source: {mysql: {host: %s, port: %d, user: %s, password: \"${PW}\", database: %s}}\n"+
		"destination: {bigquery: {project: %s, dataset: %s, endpoint: \"%s\", bucket: \"%s\"}}\nlimits: {memory: 256MiB}\n",
		s.Host, s.Port, s.User, db, project, p.spec.Dataset, p.spec.Endpoint, p.spec.Bucket)
	if err := os.WriteFile(filepath.Join(p.env.Dir, "kitamae.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Dir = p.env.Dir
	cmd.Env = append(os.Environ(), childVar+"=1", "PW="+s.Password)
	return cmd
}

func (p *place) runs(t *testing.T, s servertest.Server, db string) {
	t.Helper()
	if out, err := p.kitamae(t, s, db, "run").CombinedOutput(); err != nil {
		t.Fatalf("run: %v\n%s", err, out)
	}
}

// wantSame compares every value of every table with the server's own text of it, and the descriptions with its comments.
func (p *place) wantSame(t *testing.T, s servertest.Server, db, more string) {
	t.Helper()
	for i := range tables(t) {
		columns := "concat(id), ifnull(`full name`, '~'), concat(amount), replace(concat(date(at), 'T', time_format(at, '%H:%i:%s.%f')), ' ', 'T')"
		if i == 3 {
			columns += more
		}
		var want, got [][]string
		want = s.Query(t, db, "SELECT "+columns+" FROM "+tableOf(i))
		rows, ok := p.published(t, tableOf(i))
		if !ok {
			t.Errorf("%s is not there", tableOf(i))
			continue
		}
		for rec, err := range rows {
			if err != nil {
				t.Fatal(err)
			}
			for r := range int(rec.NumRows()) {
				var line []string
				for k, col := range rec.Columns() {
					v := col.ValueStr(r)
					switch {
					case col.IsNull(r):
						v = "~"
					case k == 3 && len(v) == len("2020-01-01T00:00:01"):
						v += ".000000"
					case k == 3:
						v = (v + "000000")[:26]
					}
					line = append(line, v)
				}
				got = append(got, line)
			}
		}
		slices.SortFunc(want, slices.Compare[[]string])
		slices.SortFunc(got, slices.Compare[[]string])
		if !slices.EqualFunc(want, got, slices.Equal[[]string]) {
			t.Errorf("%s: %d rows are not the source's %d: %.200v, want %.200v", tableOf(i), len(got), len(want), got, want)
		}
		md, err := p.client.Dataset(p.spec.Dataset).Table(tableOf(i)).Metadata(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if md.Description != fmt.Sprintf("table no. %d", i) || md.Schema[1].Description != "氏名" {
			t.Errorf("%s: descriptions %q and %q", tableOf(i), md.Description, md.Schema[1].Description)
		}
	}
}

// TestRun moves all tables, again with rows changed and a column added between, and once more with the process killed while it
// publishes: the next one finishes what it began.
func TestRun(t *testing.T) {
	s := servertest.MariaDB(t)
	db := application(t, s)
	var killAt atomic.Int64
	reached := make(chan struct{}, 1)
	p := newPlace(t, func(c *call) string {
		if c.What == "insert" && killAt.Load() > 0 && killAt.Add(-1) == 0 {
			reached <- struct{}{}
			return lost
		}
		return ""
	})
	p.runs(t, s, db)
	p.wantSame(t, s, db, "")

	s.Exec(t, db, "UPDATE "+tableOf(2)+" SET amount = amount + 1", "DELETE FROM "+tableOf(4)+" WHERE id > 5", "DELETE FROM "+tableOf(5),
		"ALTER TABLE "+tableOf(3)+" ADD COLUMN memo varchar(20) DEFAULT '後から'")
	p.runs(t, s, db)
	p.wantSame(t, s, db, ", memo")

	s.Exec(t, db, "UPDATE "+tableOf(6)+" SET amount = amount + 1", "DELETE FROM "+tableOf(7)+" WHERE id mod 2 = 0")
	killAt.Store(int64(tables(t) / 2))
	cmd := p.kitamae(t, s, db, "run")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-reached:
	case err := <-ended:
		t.Fatalf("the run ended before it was killed: %v\n%s", err, said.String())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	p.runs(t, s, db)
	p.wantSame(t, s, db, ", memo")
}

// TestOnly moves two tables of those that are there: the others keep what they had.
func TestOnly(t *testing.T) {
	s := servertest.MariaDB(t)
	db := servertest.FreshDatabase(t, s)
	names := []string{"one", "two", "three"}
	add := func(n int) {
		for _, name := range names {
			s.Exec(t, db, fmt.Sprintf("INSERT INTO %s VALUES (%d)", name, n))
		}
	}
	for _, name := range names {
		s.Exec(t, db, "CREATE TABLE "+name+" (id int PRIMARY KEY)")
	}
	p := newPlace(t, nil)
	holds := func(want ...int) {
		t.Helper()
		for i, name := range names {
			p.wantRows(t, name, want[i])
		}
	}
	add(1)
	p.runs(t, s, db)
	add(2)
	if out, err := p.kitamae(t, s, db, "run", "--table", "one", "--table", "t*o").CombinedOutput(); err != nil {
		t.Fatalf("run: %v\n%s", err, out)
	}
	holds(2, 2, 1)
	p.runs(t, s, db)
	holds(2, 2, 2)
}
