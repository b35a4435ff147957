package run_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	_ "modernc.org/sqlite"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connectors/all"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job/native"
	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/state"
)

// house is a config with a real SQLite source in a folder of its own.
type house struct {
	dir      string
	registry connector.Registry
	events   []run.Event
	mu       sync.Mutex
}

// bigRows is enough for several partitions of the table "big".
const bigRows = 260_000

// sample makes the source once; each test works on a copy.
var sample = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "kitamae-run")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", filepath.Join(dir, "app.db"))
	if err != nil {
		return nil, err
	}
	_, err = db.Exec(`
		create table big(id integer primary key, amount integer not null, name text);
		with recursive n(i) as (select 1 union all select i+1 from n where i < ` + fmt.Sprint(bigRows) + `)
			insert into big select i*7, i%1000, case when i%3=0 then null else '名前'||i end from n;
		create table small(id integer primary key, v text);
		insert into small values (1,'a'),(2,'b'),(3,null);`)
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "app.db"))
})

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{dir: t.TempDir(), registry: all.Registry()}
	data, err := sample()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.dir, "app.db"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) source(t *testing.T, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(h.dir, "app.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
}

// request compiles the config, with extra lines, for the house's connectors.
func (h *house) request(t *testing.T, extra string) run.Request {
	t.Helper()
	file := filepath.Join(h.dir, "kitamae.yml")
	text := "source: {sqlite: {path: app.db}}\nlimits: {memory: 512MiB}\n" + extra
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	j, err := native.Load(file, h.registry, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return run.Request{
		Job: j, Registry: h.registry, Version: "test", State: state.New(filepath.Join(h.dir, ".kitamae", "kitamae")),
		Observe: func(e run.Event) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.events = append(h.events, e)
		},
	}
}

// ask runs one statement that answers one number in the warehouse.
func (h *house) ask(t *testing.T, sql string) int64 {
	t.Helper()
	req := h.request(t, "")
	req.Registry = all.Registry() // whatever a test broke
	dst, err := run.OpenDestination(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	res, err := dst.(connector.Warehouse).Query(t.Context(), connector.Query{SQL: sql})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close()
	for rec, err := range res.Rows {
		if err != nil {
			t.Fatal(err)
		}
		return rec.Column(0).(*array.Int64).Value(0)
	}
	t.Fatalf("%s: no answer", sql)
	return 0
}

func TestDrivePublishesVerified(t *testing.T) {
	h := newHouse(t)
	r, err := run.Drive(t.Context(), h.request(t, "verify: full"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != run.StatusPublished || r.Guarantee != connector.Database || r.Rows() != bigRows+3 {
		t.Errorf("status %s, guarantee %s, %d rows", r.Status, r.Guarantee, r.Rows())
	}
	for _, line := range r.Tables {
		e := line.Evidence
		if e.Rows != e.SourceRows || e.Sampled == 0 || e.Level != "full" || e.ReadFrom.IsZero() || e.ReadTo.Before(e.ReadFrom) {
			t.Errorf("%s: evidence %+v", line.Table, e)
		}
		if line.Table == "big" && line.Partitions < 2 {
			t.Errorf("big has %d partitions: the test wants boundaries", line.Partitions)
		}
	}
	if n := h.ask(t, "select count(*) from big"); n != bigRows {
		t.Errorf("%d rows arrived, want %d", n, bigRows)
	}
	if n := h.ask(t, "select sum(rows)::bigint from _kitamae.tables"); n != bigRows+3 {
		t.Errorf("the metadata says %d rows", n)
	}
	reports, err := run.Ledger(t.Context(), h.request(t, "").State, 0)
	if err != nil || len(reports) != 1 || reports[0].ID != r.ID {
		t.Errorf("ledger: %v, %v", reports, err)
	}
}

func TestDriveKeepsWhatVanished(t *testing.T) {
	h := newHouse(t)
	if _, err := run.Drive(t.Context(), h.request(t, "")); err != nil {
		t.Fatal(err)
	}
	h.source(t, "drop table small")
	r, err := run.Drive(t.Context(), h.request(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	last := r.Tables[len(r.Tables)-1]
	if last.Table != "small" || last.Status != run.StatusStale {
		t.Errorf("the vanished table is reported as %+v", last)
	}
	if n := h.ask(t, "select count(*) from small"); n != 3 {
		t.Errorf("the vanished table holds %d rows, want 3", n)
	}
}

func TestDriveInterrupted(t *testing.T) {
	h := newHouse(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req := h.request(t, "")
	req.Observe = func(e run.Event) {
		if e.Kind == run.Moved {
			cancel()
		}
	}
	r, err := run.Drive(ctx, req)
	if fault.ExitCode(err) != 6 || r.Status != run.StatusInterrupted {
		t.Errorf("interrupted: %v, status %s", err, r.Status)
	}
	h.nothingVisible(t)
	if _, err := run.Drive(t.Context(), h.request(t, "")); err != nil {
		t.Errorf("the run after: %v", err)
	}
}

// nothingVisible fails when the run left anything in the folder that a reader could take for a result.
func (h *house) nothingVisible(t *testing.T) {
	t.Helper()
	files, err := os.ReadDir(h.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "kura") {
			t.Errorf("%s was left behind", f.Name())
		}
	}
}

func TestOneRunAtATime(t *testing.T) {
	h := newHouse(t)
	req := h.request(t, "")
	lease, err := req.State.Lease(t.Context(), "somebody else")
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	if _, err := run.Drive(t.Context(), req); !fault.HasCode(err, "run.busy") || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("second run: %v", err)
	}
}
