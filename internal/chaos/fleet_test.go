package chaos

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kitamae/kitamae/bucket"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/state"
)

// shards is how many processes share a run in these tests.
const shards = 3

// fleet is a project whose runs are shared by shards, and where they find each other.
type fleet struct {
	*project
	where string
	slow  bool // it goes through fewer ordeals
	runs  int
}

// farFiles are Parquet files in a bucket.
func farFiles(address string) place {
	return place{
		name:   "parquet in " + address,
		config: func(testing.TB) string { return `destination: {files: {dir: "` + address + `/out"}}` },
		read:   readFarFiles,
	}
}

var farDir = regexp.MustCompile(`dir: "([^"]+)"`)

// readFarFiles follows the manifest in the bucket.
func readFarFiles(ctx context.Context, _, config string, tables map[string][]column) (contents, error) {
	b, err := bucket.Open(ctx, farDir.FindStringSubmatch(config)[1])
	if err != nil {
		return nil, err
	}
	defer b.Close()
	text, version, err := b.Read(ctx, "manifest.json")
	if err != nil {
		return nil, err
	}
	if version == "" {
		return nil, fs.ErrNotExist
	}
	var m struct {
		Tables []struct {
			Name  string
			Files []struct{ Path string }
		}
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "kitamae-far")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	lists := map[string]string{}
	for _, tab := range m.Tables {
		var names []string
		for i, f := range tab.Files {
			name := filepath.Join(dir, fmt.Sprintf("%s-%d.parquet", tab.Name, i))
			if err := fetch(ctx, b, f.Path, name); err != nil {
				return nil, err
			}
			names = append(names, "'"+name+"'")
		}
		lists[tab.Name] = "read_parquet([" + strings.Join(names, ", ") + "])"
	}
	db, err := sql.Open("duckdb", "?threads=1")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return sums(ctx, db, tables, func(table string) string { return lists[table] })
}

func fetch(ctx context.Context, b *bucket.Bucket, key, name string) error {
	r, err := b.NewReader(ctx, key, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	defer r.Close()
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, r)
	return err
}

// newFleet is a project of the world's in a place, with its state at an address.
func (w *world) newFleet(t testing.TB, to place, address string, extra ...string) *fleet {
	t.Helper()
	where := address + "/state"
	extra = append(extra, "state: "+where, fmt.Sprintf("deploy: {shards: %d}", shards), "limits: {memory: 256MiB, connections: 4}")
	analyse := "ANALYZE"
	if w.mysql() {
		analyse = "ANALYZE TABLE log, users" // the division follows what the server thinks it has
	}
	w.server.Exec(t, w.db, analyse)
	return &fleet{project: w.project(t, to, nil, extra...), where: where}
}

// occasion is the next scheduled time.
func (f *fleet) occasion() string {
	f.runs++
	return time.Date(2026, 11, 1, f.runs, 0, 0, 0, time.UTC).Format(time.RFC3339)
}

// command is the program on a machine of its own: in a folder where only the config is.
func (f *fleet) command(t testing.TB, program string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := f.project.command(t, program, args...)
	cmd.Dir = t.TempDir()
	if err := copyFile(filepath.Join(f.dir, "kitamae.yml"), filepath.Join(cmd.Dir, "kitamae.yml")); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// shard is one shard's process, which dies at a step, if any. One that was not given the time to renew its lease in is started again, as
// by what starts shards: these leases are short, and the machine may be busy.
func (f *fleet) shard(t testing.TB, index int, at, step string, env ...string) outcome {
	t.Helper()
	for try := 0; ; try++ {
		cmd := f.command(t, "shard", fmt.Sprint(index), at)
		cmd.Env = append(append(cmd.Env, stepVar+"="+step), env...)
		o := finish(cmd)
		if try == mostLost || o.code != 6 || !strings.Contains(o.output, "run.lease_lost") {
			return o
		}
		t.Logf("shard %d is started again: %s", index, o.output)
	}
}

// mostLost is how often in a row a busy machine may cost a shard its lease.
const mostLost = 5

// all starts every shard at once and again whenever it died, first with the step to die at; twice says that each has a twin. It returns
// the outcomes of the processes that came to an end, and how many died.
func (f *fleet) all(t testing.TB, at, step string, twice bool, env ...string) (ends []outcome, died int) {
	t.Helper()
	var mu sync.Mutex
	var running sync.WaitGroup
	keep := func(index int, step string) {
		for {
			o := f.shard(t, index, at, step, env...)
			mu.Lock()
			if o.code != -1 {
				ends = append(ends, o)
				mu.Unlock()
				return
			}
			died++
			mu.Unlock()
			step = ""
		}
	}
	for i := range shards {
		running.Go(func() { keep(i, step) })
		if twice {
			running.Go(func() { keep(i, "") })
		}
	}
	running.Wait()
	return ends, died
}

// record is the run's line in the ledger; nil while it has none.
func (f *fleet) record(t testing.TB, at string) *run.Report {
	t.Helper()
	st, err := state.Open(t.Context(), f.where, "kitamae")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	value, _, err := st.Get(t.Context(), "runs/"+run.Occasion(at)+"-1.json")
	if err != nil {
		t.Fatal(err)
	}
	if value == nil {
		return nil
	}
	r := &run.Report{}
	if err := json.Unmarshal(value, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// tidied fails where a run that has ended left what its shards wrote for each other.
func (f *fleet) tidied(t testing.TB, at string) {
	t.Helper()
	st, err := state.Open(t.Context(), f.where, "kitamae")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	left, err := st.List(t.Context(), "shards/"+run.Occasion(at))
	if err != nil || len(left) > 0 {
		t.Errorf("after the end these are left: %v, %v", left, err)
	}
}

// good fails unless all processes ended well, one of them at least having done something, and the source is what is published.
func (f *fleet) good(t testing.TB, w *world, at, when string, ends []outcome) {
	t.Helper()
	for _, o := range ends {
		if o.code != 0 {
			t.Fatalf("%s: a shard ended with code %d:\n%s", when, o.code, o.output)
		}
	}
	w.see(t, f.project, false)
	f.tidied(t, at)
	if r := f.record(t, at); r == nil || r.Status != run.StatusPublished || r.Guarantee != "chunked" {
		t.Fatalf("%s: the ledger has %+v", when, r)
	}
}

// eachFleet tests the ways of these names, each from a source through shards to a place.
func eachFleet(t *testing.T, names []string, test func(t *testing.T, w *world, f *fleet)) {
	const scale = 55_000 // enough for a table to be divided
	cursors := "tables: {mark: {mode: append, cursor: gen}, users: {mode: append, cursor: id}, log: {mode: append, cursor: id}, words: {mode: append, cursor: gen}}"
	for _, by := range []struct {
		name  string
		from  func(testing.TB) servertest.Server
		store func(testing.TB) string
		to    func(address string) place
		adds  bool
		slow  bool
	}{
		{"MariaDB to S3", servertest.MariaDB, servertest.S3, farFiles, false, false},
		{"PostgreSQL to GCS", servertest.Postgres, servertest.GCS, farFiles, false, false},
		{"MariaDB to PostgreSQL, append", servertest.MariaDB, servertest.GCS, func(string) place { return places[2] }, true, false},
		{"PostgreSQL to S3, append", servertest.PostgresNewest, servertest.S3, farFiles, true, false},
		{"MariaDB to BigQuery", servertest.MariaDB, servertest.GCS, bigQuery, false, true},
		{"MariaDB to BigQuery, append", servertest.MariaDB, servertest.GCS, bigQuery, true, true},
	} {
		if !slices.Contains(names, by.name) {
			continue
		}
		t.Run(by.name, func(t *testing.T) {
			address := by.store(t)
			w := &world{server: by.from(t), adds: by.adds}
			w.begin(t, scale)
			if !w.mysql() { // where only bytes divide a table
				w.server.Exec(t, w.db, "ALTER TABLE log ADD pad varchar(400) DEFAULT repeat('x', 350)")
				w.advance(t)
			}
			tables := `tables: {"*": {where: "gen + ${CHAOS_ONE} > 0"}, seq: skip}` // a condition that no shard may read out of the plan
			if by.adds {
				tables = cursors
				w.server.Exec(t, w.db, fmt.Sprintf("INSERT INTO log (id, gen, memo) SELECT i, 0, 'old' FROM seq WHERE i <= %d", scale))
				w.advance(t)
			}
			f := w.newFleet(t, by.to(address), address, tables)
			f.slow = by.slow
			test(t, w, f)
		})
	}
}

// started waits until a process of the shard has begun its tasks.
func (f *fleet) started(t testing.TB, at string, index int) {
	t.Helper()
	st, err := state.Open(t.Context(), f.where, "kitamae")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		keys, err := st.List(t.Context(), fmt.Sprintf("shards/%s-1/starts/%d.", run.Occasion(at), index))
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) > 0 {
			return
		}
	}
	t.Fatalf("shard %d never began", index)
}
