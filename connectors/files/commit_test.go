package files

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/format"
)

// seen is what a reader finds: the rows of each table of the manifest, checked against its own counts.
func seen(t testing.TB, dir string) (run string, tables map[string][]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var m manifest
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	tables = map[string][]string{}
	for _, table := range m.Tables {
		var rows []string
		for _, f := range table.Files {
			got, err := readCSV(filepath.Join(dir, f.Path), numbers(0, 0).Schema())
			if err != nil {
				t.Fatalf("run %s: %v", m.Run.ID, err)
			}
			if int64(len(got)) != f.Rows {
				t.Fatalf("run %s: %s has %d rows, the manifest says %d", m.Run.ID, f.Path, len(got), f.Rows)
			}
			rows = append(rows, got...)
		}
		slices.Sort(rows)
		tables[table.Name] = rows
	}
	return m.Run.ID, tables
}

func readCSV(name string, schema *arrow.Schema) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	for rec, err := range format.ReadCSV(f, schema, &batch.Pool{}, 1<<20) {
		if err != nil {
			return nil, err
		}
		out = append(out, lines(rec)...)
	}
	return out, nil
}

func sorted(recs ...arrow.RecordBatch) []string {
	var out []string
	for _, r := range recs {
		out = append(out, lines(r)...)
	}
	slices.Sort(out)
	return out
}

func csvDest(t testing.TB, dir string) *dest { return open(t, Spec{Dir: dir, Format: csv}) }

func TestNothingIsVisibleBeforeCommit(t *testing.T) {
	d := csvDest(t, t.TempDir())
	a := load(t, d, "r1", "a", numbers(0, 3))
	if run, _ := seen(t, d.spec.Dir); run != "" {
		t.Errorf("run %s is visible before its commit", run)
	}
	if _, err := os.Lstat(filepath.Join(d.spec.Dir, current)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("current is there before a commit: %v", err)
	}
	commit(t, d, "r1", a)
	if run, got := seen(t, d.spec.Dir); run != "r1" || !slices.Equal(got["a"], sorted(numbers(0, 3))) {
		t.Errorf("run %s, %v", run, got)
	}
}

func TestEachCallMayBeRepeated(t *testing.T) {
	ctx := t.Context()
	d := csvDest(t, t.TempDir())
	a := load(t, d, "r1", "a", numbers(0, 3), numbers(3, 5))
	again, err := d.Stage(ctx, connector.StageRequest{Run: "r1", Plan: a.Plan})
	if err != nil || string(again) != string(a.Stage) {
		t.Fatalf("staging again: %s, %v; want %s", again, err, a.Stage)
	}
	if a.Receipts[1], err = d.Write(ctx, a.Stage, 1, batch.Of(numbers(3, 6))); err != nil {
		t.Fatal(err)
	}
	same(t, collect(t, d.ReadStaged(ctx, a.Stage, a.Receipts, nil), a.schema), sorted(numbers(0, 6)))
	b := load(t, d, "r1", "b", numbers(0, 1))
	for range 2 {
		if err := d.Abort(ctx, b.Stage); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		commit(t, d, "r1", a)
		if _, got := seen(t, d.spec.Dir); !slices.Equal(got["a"], sorted(numbers(0, 6))) || len(got) != 1 {
			t.Errorf("after the commit: %v", got)
		}
	}
	if err := d.Abort(ctx, a.Stage); err != nil { // of what is published: nothing happens
		t.Fatal(err)
	}
	if _, got := seen(t, d.spec.Dir); len(got["a"]) != 6 {
		t.Errorf("after aborting what is published: %v", got)
	}
	if r, err := d.Recover(ctx, commitRequest("r1", a)); err != nil || r != connector.Done {
		t.Errorf("recover says %s, %v", r, err)
	}
}

func TestNewEpochDiscardsTheOneBefore(t *testing.T) {
	ctx := t.Context()
	d := csvDest(t, t.TempDir())
	old := load(t, d, "r1", "a", numbers(0, 3), numbers(3, 5))
	st, err := d.Stage(ctx, connector.StageRequest{Run: "r1", Epoch: 1, Plan: old.Plan})
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.Write(ctx, st, 0, batch.Of(numbers(10, 12)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write(ctx, old.Stage, 0, batch.Of(numbers(0, 3))); err != nil { // a task that did not hear of it
		t.Fatal(err)
	}
	a := old
	a.Stage, a.Receipts = st, []connector.Receipt{r}
	commit(t, d, "r1", a)
	if _, got := seen(t, d.spec.Dir); !slices.Equal(got["a"], sorted(numbers(10, 12))) {
		t.Errorf("published: %v", got)
	}
	if names, _ := filepath.Glob(filepath.Join(d.spec.Dir, current, "a", "*")); len(names) != 1 {
		t.Errorf("%v are in the table's folder, want one file", names)
	}
	if _, err := d.Commit(ctx, commitRequest("r2", old)); !fault.HasCode(err, "files.stage_gone") {
		t.Errorf("committing the epoch before: %v", err)
	}
}

func TestTablesHeldBackAndVanishedAreKept(t *testing.T) {
	ctx := t.Context()
	d := csvDest(t, t.TempDir())
	commit(t, d, "r1", load(t, d, "r1", "held", numbers(0, 3), numbers(3, 4)), load(t, d, "r1", "gone", numbers(0, 1)), load(t, d, "r1", "new", numbers(0, 2)))
	for _, run := range []string{"r2", "r3", "r4"} {
		held := load(t, d, run, "held", numbers(50, 60)) // fails verification
		req := commitRequest(run, load(t, d, run, "new", numbers(0, 7)))
		req.Run.Stale = []string{"gone"}
		if _, err := d.Commit(ctx, req); err != nil {
			t.Fatal(err)
		}
		if err := d.Abort(ctx, held.Stage); err != nil {
			t.Fatal(err)
		}
		at, got := seen(t, d.spec.Dir)
		if at != run || !slices.Equal(got["held"], sorted(numbers(0, 4))) || len(got["gone"]) != 1 || len(got["new"]) != 7 {
			t.Errorf("after %s: run %s, %v", run, at, got)
		}
	}
	m, err := d.published(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if g := m.table("gone"); !g.Stale || g.Run != "r1" || m.table("held").Stale {
		t.Errorf("gone is stale: %v, of run %s", g.Stale, g.Run)
	}
	runs, _ := filepath.Glob(filepath.Join(d.spec.Dir, "runs", "*"))
	if len(runs) != 2 || m.Previous != "r3" {
		t.Errorf("%v are kept beside %s, want r3 and r4", runs, m.Previous)
	}
	meta, _ := os.ReadFile(filepath.Join(d.spec.Dir, current, metaDir, "runs.json"))
	if n := strings.Count(string(meta), "\n"); n != 4 {
		t.Errorf("runs.json has %d lines, want 4:\n%s", n, meta)
	}
	meta, _ = os.ReadFile(filepath.Join(d.spec.Dir, current, metaDir, "tables.json"))
	if n := strings.Count(string(meta), "\n"); n != 3 {
		t.Errorf("tables.json has %d lines, want 3:\n%s", n, meta)
	}
}

func TestDeadRunsAreCleanedUpAndLivingOnesAreNot(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	dead, living, d := csvDest(t, dir), csvDest(t, dir), csvDest(t, dir)
	load(t, dead, "dead", "a", numbers(0, 3))
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	l := load(t, living, "living", "a", numbers(0, 3))
	commit(t, d, "r1", load(t, d, "r1", "b", numbers(0, 1)))
	if _, err := os.Stat(filepath.Join(dir, "runs", "dead")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the dead run is still there: %v", err)
	}
	if r, err := living.Recover(ctx, commitRequest("living", l)); err != nil || r != connector.CommitAgain {
		t.Errorf("the living run: %s, %v", r, err)
	}
	commit(t, living, "living", l)
	if _, got := seen(t, dir); len(got["a"]) != 3 || len(got["b"]) != 1 {
		t.Errorf("after both: %v", got)
	}
}

func TestPlanComparesWithWhatIsThere(t *testing.T) {
	d := open(t, Spec{Dir: t.TempDir()})
	if _, err := os.Stat(filepath.Join(d.spec.Dir, "x")); err == nil {
		t.Fatal("a plan made something")
	}
	commit(t, d, "r1", load(t, d, "r1", "t", numbers(0, 3)))
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int32}, {Name: "d", Type: arrow.FixedWidthTypes.Duration_us},
	}, nil)
	p, err := d.PlanTable(t.Context(), connector.PlanRequest{Name: "t", Schema: schema, Key: []string{"id"}, Mode: connector.Replace})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"column id: INT64 -> INT32", "column d: new", "column text: gone"}
	if !p.Exists || p.Rows != 3 || !slices.Equal(p.Changes, want) || !slices.Equal(p.Key, []string{"id"}) {
		t.Errorf("exists %v, rows %d, changes %q; want %q", p.Exists, p.Rows, p.Changes, want)
	}
	if c := p.Columns[1]; c.Type.String() != "utf8" || c.Note == "" {
		t.Errorf("a duration becomes %s (%q)", c.Type, c.Note)
	}
}

func TestHostileNames(t *testing.T) {
	names := []string{
		"users", "USERS", "a/b", "../../etc", ".", "..", ".hidden", "_kitamae", "CON", `q"uo'te`, "a b", " lead", "trail. ", "日本語の表",
		"a=b", "*[x]?{y}", "%2F", "back\\slash", "new\nline", "\x00nul", "bad\xffutf8", "~2", "", "x.lock", "x.attrs", "manifest.json", "current",
		strings.Repeat("n", 255), strings.Repeat("n", 254) + "m", strings.Repeat("長", 85), "e\u0301", "\u00e9",
	}
	for _, spec := range []Spec{{Format: csv}, {Format: parquet}} {
		spec.Dir = t.TempDir()
		d := open(t, spec)
		var tables []loaded
		for i, name := range names {
			tables = append(tables, load(t, d, "run/1 of *", name, numbers(i, i+1)))
		}
		commit(t, d, "run/1 of *", tables...)
		for _, l := range tables {
			same(t, collect(t, d.ReadStaged(t.Context(), l.Stage, l.Receipts, nil), l.schema), l.want)
		}
		m, err := d.published(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		folded := map[string]string{}
		for _, table := range m.Tables {
			base := filepath.Base(table.Dir)
			if len(base) > 255 || strings.ContainsAny(base, `/\*?[]{}="`) || strings.HasPrefix(base, "_") || strings.HasPrefix(base, ".") {
				t.Errorf("table %q is in folder %q", table.Name, base)
			}
			if other, taken := folded[strings.ToLower(base)]; taken {
				t.Errorf("%q and %q share folder %q", other, table.Name, base)
			}
			folded[strings.ToLower(base)] = table.Name
			for _, f := range table.Files {
				if info, err := os.Stat(filepath.Join(spec.Dir, f.Path)); err != nil || info.Size() != f.Bytes {
					t.Errorf("table %q: %v", table.Name, err)
				}
			}
		}
		if len(m.Tables) != len(names) {
			t.Errorf("%d tables are published, want %d", len(m.Tables), len(names))
		}
		commit(t, d, "r2", load(t, d, "r2", "other", numbers(0, 1))) // all of them are kept
		if m, err = d.published(t.Context()); err != nil || len(m.Tables) != len(names)+1 {
			t.Errorf("%d tables after the next run, %v", len(m.Tables), err)
		}
	}
}

func TestFaults(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	plain := filepath.Join(dir, "file")
	if err := os.WriteFile(plain, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	d := csvDest(t, plain)
	if _, err := d.PlanTable(ctx, connector.PlanRequest{Name: "t", Schema: numbers(0, 0).Schema()}); !fault.HasCode(err, "files.not_a_folder") {
		t.Errorf("a file for a folder: %v", err)
	}
	if _, err := d.Stage(ctx, connector.StageRequest{Run: "r"}); !fault.HasCode(err, "files.not_a_folder") {
		t.Errorf("a file for a folder: %v", err)
	}
	for _, spec := range []Spec{{Dir: dir, Format: csv, Compression: "snappy"}, {Dir: dir, Format: "xlsx"}, {}} {
		if _, err := openDest(ctx, spec, connector.Env{}); fault.From(err) == nil || fault.From(err).Kind != fault.Config {
			t.Errorf("%+v: %v", spec, err)
		}
	}
	d = csvDest(t, dir)
	a := load(t, d, "r1", "a", numbers(0, 3))
	f, _ := receiptFile(&stage{Dir: "runs/r1/a", Run: "r1", Format: csv, Compression: "none"}, a.Receipts[0])
	if err := os.Truncate(filepath.Join(dir, f.Path), 3); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Commit(ctx, commitRequest("r1", a)); !fault.HasCode(err, "files.stage_gone") {
		t.Errorf("a truncated file: %v", err)
	}
	if r, err := d.Recover(ctx, commitRequest("r1", a)); err != nil || r != connector.ReadAgain {
		t.Errorf("recover with a truncated file: %s, %v", r, err)
	}
	for text, code := range map[string]string{`{"version": 99}`: "files.manifest_version", `{"version`: "files.manifest"} {
		if err := os.WriteFile(filepath.Join(dir, manifestName), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := d.PlanTable(ctx, connector.PlanRequest{Name: "t", Schema: numbers(0, 0).Schema()}); !fault.HasCode(err, code) {
			t.Errorf("manifest %s: %v", text, err)
		}
	}
}
