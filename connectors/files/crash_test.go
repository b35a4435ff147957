package files

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

const (
	dieAtEnv  = "KITAMAE_FILES_DIE_AT"
	dieDirEnv = "KITAMAE_FILES_DIE_DIR"
	asUserEnv = "KITAMAE_FILES_AS_USER"
)

// TestMain lets the test binary be the child that is killed.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(dieAtEnv) != "":
		dieAt(os.Getenv(dieAtEnv), os.Getenv(dieDirEnv))
		os.Exit(0)
	case os.Getenv(asUserEnv) != "":
		d, _ := openDest(context.Background(), Spec{Dir: os.Getenv(asUserEnv), Format: csv}, connector.Env{})
		_, err := d.Stage(context.Background(), connector.StageRequest{Run: "r"})
		fmt.Print(fault.From(err).Code)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func killMyself() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// dieAt is run r2 in the child: it replaces a, keeps b and is killed at a step.
func dieAt(step, dir string) {
	t := panicking{}
	d, err := openDest(context.Background(), Spec{Dir: dir, Format: csv}, connector.Env{})
	if err != nil {
		panic(err)
	}
	files := d.(*dest)
	a := load(t, files, "r2", "a", numbers(100, 140))
	req := commitRequest("r2", a)
	text, _ := json.Marshal(req)
	if err := os.WriteFile(filepath.Join(dir, "..", "request.json"), text, 0o666); err != nil {
		panic(err)
	}
	if step == "write" {
		_, _ = files.Write(context.Background(), a.Stage, 0, func(yield func(arrow.RecordBatch, error) bool) {
			yield(numbers(0, 100_000), nil)
			killMyself()
		})
	}
	files.step = func(name string) {
		if name == step {
			killMyself()
		}
	}
	if _, err := files.Commit(context.Background(), req); err != nil {
		panic(err)
	}
}

// panicking stands in for a test in the child.
type panicking struct{ testing.TB }

func (panicking) Helper()        {}
func (panicking) Cleanup(func()) {}
func (panicking) Fatal(a ...any) { panic(fmt.Sprint(a...)) }

func TestKilledAtAnyStepLeavesOldOrNew(t *testing.T) {
	old := map[string][]string{"a": sorted(numbers(0, 9)), "b": sorted(numbers(0, 5), numbers(5, 7))}
	next := map[string][]string{"a": sorted(numbers(100, 140)), "b": old["b"]}
	for _, tc := range []struct {
		step  string
		found map[string][]string
		says  connector.Recovery
	}{
		{"write", old, connector.CommitAgain}, // the task's file of before is still there, whole
		{"links", old, connector.CommitAgain},
		{"metadata", old, connector.CommitAgain},
		{"run manifest", old, connector.CommitAgain},
		{"manifest", old, connector.CommitAgain},
		{"current", next, connector.CommitAgain},
		{"cleanup", next, connector.Done},
	} {
		t.Run(tc.step, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			d := csvDest(t, dir)
			commit(t, d, "r0", load(t, d, "r0", "b", numbers(0, 1)))
			commit(t, d, "r1", load(t, d, "r1", "a", numbers(0, 9)), load(t, d, "r1", "b", numbers(0, 5), numbers(5, 7)))
			child := exec.CommandContext(t.Context(), os.Args[0])
			child.Env = append(os.Environ(), dieAtEnv+"="+tc.step, dieDirEnv+"="+dir)
			out, err := child.CombinedOutput()
			if err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("the child was not killed: %v\n%s", err, out)
			}
			check := func(when string, want map[string][]string) {
				t.Helper()
				_, got := seen(t, dir)
				for name, rows := range want {
					if !slices.Equal(got[name], rows) {
						t.Errorf("%s: table %s has %d rows, want %d", when, name, len(got[name]), len(rows))
					}
					names, _ := filepath.Glob(filepath.Join(dir, current, name, "*.csv"))
					var link []string
					for _, n := range names {
						rows, err := readCSV(n, numbers(0, 0).Schema())
						if err != nil {
							t.Fatal(err)
						}
						link = append(link, rows...)
					}
					slices.Sort(link)
					if !slices.Equal(link, old[name]) && !slices.Equal(link, next[name]) {
						t.Errorf("%s: behind current, table %s has %d rows", when, name, len(link))
					}
				}
			}
			check("killed", tc.found)
			var req connector.CommitRequest
			text, err := os.ReadFile(filepath.Join(dir, "..", "request.json"))
			if err == nil {
				err = json.Unmarshal(text, &req)
			}
			if err != nil {
				t.Fatal(err)
			}
			if says, err := d.Recover(t.Context(), req); err != nil || says != tc.says {
				t.Errorf("recover says %q, %v; want %q", says, err, tc.says)
			}
			for range 2 {
				if _, err := d.Commit(t.Context(), req); err != nil {
					t.Fatal(err)
				}
				check("committed again", next)
			}
			if says, err := d.Recover(t.Context(), req); err != nil || says != connector.Done {
				t.Errorf("in the end recover says %q, %v", says, err)
			}
			left, _ := filepath.Glob(filepath.Join(dir, "runs", "*"))
			if len(left) != 2 {
				t.Errorf("%v are left, want r1 and r2", left)
			}
		})
	}
}

// A reader that takes the manifest, or resolves current once, sees one run's tables whole
// whatever is published meanwhile; when two runs were published meanwhile it may find its files
// gone and start over, and never reads half of anything.
func TestReadersNeverSeeHalf(t *testing.T) {
	dir := t.TempDir()
	d := csvDest(t, dir)
	publish := func(n int) {
		run := fmt.Sprint("run", n)
		from := n * 1000 // a and b hold the same numbers: a reader can tell runs apart
		commit(t, d, run, load(t, d, run, "a", numbers(from, from+500), numbers(from+500, from+1000)), load(t, d, run, "b", numbers(from, from+1000)))
	}
	publish(0)
	done := make(chan struct{})
	var readers sync.WaitGroup
	var whole [2]int
	for k, read := range []func() (a, b []string, err error){
		func() (a, b []string, err error) { return readManifest(dir) },
		func() (a, b []string, err error) { return readLink(dir) },
	} {
		readers.Go(func() {
			for last := false; !last; {
				select {
				case <-done:
					last = true
				default:
				}
				a, b, err := read()
				if os.IsNotExist(err) {
					continue
				}
				if err != nil || len(a) != 1000 || !slices.Equal(a, b) {
					t.Errorf("reader %d saw %d and %d rows: %v", k, len(a), len(b), err)
					return
				}
				whole[k]++
			}
		})
	}
	for n := 1; n <= 20; n++ {
		publish(n)
	}
	close(done)
	readers.Wait()
	if whole[0] == 0 || whole[1] == 0 {
		t.Errorf("readers saw %v whole runs", whole)
	}
}

func readManifest(dir string) (a, b []string, err error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return nil, nil, err
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, nil, err
	}
	read := func(name string) (rows []string) {
		for _, f := range m.table(name).Files {
			got, e := readCSV(filepath.Join(dir, f.Path), numbers(0, 0).Schema())
			if e != nil {
				err = e
			}
			rows = append(rows, got...)
		}
		slices.Sort(rows)
		return rows
	}
	return read("a"), read("b"), err
}

func readLink(dir string) (a, b []string, err error) {
	run, err := filepath.EvalSymlinks(filepath.Join(dir, current))
	if err != nil {
		return nil, nil, err
	}
	read := func(name string) (rows []string) {
		names, e := filepath.Glob(filepath.Join(run, name, "*.csv"))
		if len(names) == 0 {
			e = os.ErrNotExist
		}
		for _, n := range names {
			got, readErr := readCSV(n, numbers(0, 0).Schema())
			if readErr != nil {
				e = readErr
			}
			rows = append(rows, got...)
		}
		if e != nil {
			err = e
		}
		slices.Sort(rows)
		return rows
	}
	return read("a"), read("b"), err
}

func TestPermissionDenied(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locked")
	if err := os.Mkdir(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), asUserEnv+"="+filepath.Join(dir, "out"))
	if os.Getuid() == 0 { // root may write anywhere: be nobody, who must be able to get there
		for p := dir; p != "/"; p = filepath.Dir(p) {
			if info, err := os.Stat(p); err == nil && info.Mode()&0o011 == 0 {
				_ = os.Chmod(p, info.Mode()|0o011)
			}
		}
		bin := filepath.Join(t.TempDir(), "child")
		for p := filepath.Dir(bin); p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
			_ = os.Chmod(p, 0o755)
		}
		text, err := os.ReadFile(os.Args[0])
		if err == nil {
			err = os.WriteFile(bin, text, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		child.Path = bin
		child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := child.Output()
	if err != nil || string(out) != "files.permission" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestDiskFull(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	for _, spec := range []Spec{{Format: csv}, {Format: parquet}} {
		spec.Dir = t.TempDir()
		d := open(t, spec)
		l := load(t, d, "r1", "t", numbers(0, 1))
		limit := func(bytes uint64) {
			if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: ^uint64(0)}); err != nil {
				t.Fatal(err)
			}
		}
		limit(64 << 10) // a file past it is refused: the nearest thing to a full disk without mounting one
		_, err := d.Write(t.Context(), l.Stage, 1, batch.Of(numbers(0, 200_000)))
		limit(^uint64(0))
		if !fault.HasCode(err, "files.disk_full") {
			t.Errorf("%s: %v", spec.Format, err)
		}
		if keys, err := d.store.list(t.Context(), runsDir+"/r1/t"); err != nil || len(keys) != 1 {
			t.Errorf("%s: %v are left (%v), want one file", spec.Format, keys, err)
		}
	}
}
