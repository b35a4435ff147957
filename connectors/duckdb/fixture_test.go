package duckdb

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/duck"
	"github.com/kitamae/kitamae/fault"
)

// openAt opens the destination at path.
func openAt(t testing.TB, path string) *dest {
	t.Helper()
	end := Connector.Dest
	spec := end.NewSpec().(*Spec)
	spec.Path = path
	dst, err := end.Open(t.Context(), spec, connector.Env{Dir: filepath.Dir(path), MemoryBytes: 128 << 20, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dst.Close() })
	dst.(*dest).patience = 100 * time.Millisecond
	return dst.(*dest)
}

// people is a small table's schema.
func people() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		batch.Field("id", arrow.PrimitiveTypes.Int64, false, "", "bigint", "the person's number"),
		batch.Field("名前", arrow.BinaryTypes.String, true, "", "varchar(50)", ""),
	}, nil)
}

// persons are n rows of people from number first on.
func persons(t testing.TB, first, n int) batch.Stream {
	t.Helper()
	rec := personBatch(first, n)
	t.Cleanup(rec.Release)
	return batch.Of(rec)
}

func personBatch(first, n int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, people())
	defer b.Release()
	for i := range n {
		b.Field(0).(*array.Int64Builder).Append(int64(first + i))
		b.Field(1).(*array.StringBuilder).Append(fmt.Sprintf("人 %d %x", first+i, (first+i)*7919*104729))
	}
	return b.NewRecordBatch()
}

func plan(t testing.TB, d *dest, name string, schema *arrow.Schema) connector.TablePlan {
	t.Helper()
	p, err := d.PlanTable(t.Context(), connector.PlanRequest{Name: name, Schema: schema, Comment: "about " + name, Mode: connector.Replace})
	if err != nil {
		t.Fatal(err)
	}
	return *p
}

// put stages a table and writes one task's rows.
func put(t testing.TB, d *dest, run, name string, schema *arrow.Schema, rows batch.Stream) connector.CommitTable {
	t.Helper()
	p := plan(t, d, name, schema)
	s, err := d.Stage(t.Context(), connector.StageRequest{Run: run, Epoch: 1, Plan: p})
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.Write(t.Context(), s, 0, rows)
	if err != nil {
		t.Fatal(err)
	}
	return connector.CommitTable{Stage: s, Plan: p, Receipts: []connector.Receipt{r}, Evidence: connector.Evidence{
		Run: run, Table: p.Name, Source: name, Rows: r.Rows, SourceRows: -1, Guarantee: connector.Database, Level: "full",
		ReadFrom: time.Now(), ReadTo: time.Now(), Notes: []string{"it's fine"},
	}}
}

func request(run string, tables ...connector.CommitTable) connector.CommitRequest {
	return connector.CommitRequest{Run: connector.RunRecord{ID: run, Started: time.Now(), Version: "test", Source: "test"}, Tables: tables}
}

func commit(t testing.TB, d *dest, req connector.CommitRequest) {
	t.Helper()
	out, err := d.Commit(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range out {
		if !o.Published {
			t.Fatalf("table %d was not published: %s", i, o.Why)
		}
	}
}

// publishPeople publishes tables of n rows of people each in one run.
func publishPeople(t testing.TB, d *dest, run string, n int, names ...string) {
	t.Helper()
	var tables []connector.CommitTable
	for _, name := range names {
		tables = append(tables, put(t, d, run, name, people(), persons(t, 0, n)))
	}
	commit(t, d, request(run, tables...))
}

// ask runs one statement on a file and returns its answer as text, rows by lines, columns by bars.
func ask(t testing.TB, path, sql string) string {
	t.Helper()
	db, err := duck.Open(context.Background(), duck.Options{Path: path, ReadOnly: true, Sealed: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return answer(t, db, sql)
}

func answer(t testing.TB, db *duck.DB, sql string) string {
	t.Helper()
	rows, err := db.Query(context.Background(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer rows.Close()
	var lines []string
	for rec, err := range rows.All() {
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		for i := range int(rec.NumRows()) {
			var cells []string
			for _, col := range rec.Columns() {
				cells = append(cells, strings.Clone(col.ValueStr(i))) // its bytes go with the batch
			}
			lines = append(lines, strings.Join(cells, "|"))
		}
	}
	return strings.Join(lines, "\n")
}

// change runs statements on a file as its owner would.
func change(t testing.TB, path, sql string) {
	t.Helper()
	db, err := duck.Open(t.Context(), duck.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(t.Context(), "USE "+duck.Ident(db.Name)+"; "+sql); err != nil {
		t.Fatal(err)
	}
}

// want fails where got is another text.
func want(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %s, want %s", what, got, want)
	}
}

// children are what this test binary does when it is started by itself: a second process.
var children = map[string]func(args []string) error{
	// read holds the file open for reading until its input ends.
	"read": func(args []string) error { return hold(duck.Options{Path: args[0], ReadOnly: true}) },
	// write holds it open for writing.
	"write": func(args []string) error { return hold(duck.Options{Path: args[0]}) },
	// abandon writes and dies without a checkpoint.
	"abandon": func(args []string) error {
		db, err := duck.Open(context.Background(), duck.Options{Path: args[0]})
		if err != nil {
			return err
		}
		if _, err := db.Exec(context.Background(), args[1]); err != nil {
			return err
		}
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	},
	// full stages a million rows where no file may grow beyond a size, and prints the fault's code.
	"full": func(args []string) error {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4 << 20, Max: 4 << 20}); err != nil {
			return err
		}
		ctx := context.Background()
		dst, err := openDest(ctx, Spec{Path: args[0]}, connector.Env{MemoryBytes: 128 << 20})
		if err != nil {
			return err
		}
		p, err := dst.PlanTable(ctx, connector.PlanRequest{Name: "a", Schema: people()})
		if err != nil {
			return err
		}
		s, err := dst.Stage(ctx, connector.StageRequest{Run: "r", Epoch: 1, Plan: *p})
		if err != nil {
			return err
		}
		_, err = dst.Write(ctx, s, 0, func(yield func(arrow.RecordBatch, error) bool) {
			for i := range 100 {
				rec := personBatch(i*20_000, 20_000)
				more := yield(rec, nil)
				rec.Release()
				if !more {
					return
				}
			}
		})
		fmt.Println(fault.From(err).Code)
		fmt.Fprintln(os.Stderr, err)
		return errors.Join(dst.Abort(ctx, s), dst.Close())
	},
	// commit commits a request and kills itself after the step named.
	"commit": func(args []string) error {
		var req connector.CommitRequest
		if err := json.Unmarshal([]byte(args[2]), &req); err != nil {
			return err
		}
		dst, err := openDest(context.Background(), Spec{Path: args[0]}, connector.Env{MemoryBytes: 128 << 20})
		if err != nil {
			return err
		}
		dst.(*dest).step = func(done string) {
			if done == args[1] {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}
		if _, err := dst.Commit(context.Background(), req); err != nil {
			return err
		}
		return dst.Close()
	},
}

func hold(opt duck.Options) error {
	db, err := duck.Open(context.Background(), opt)
	if err != nil {
		return err
	}
	defer db.Close()
	fmt.Println("open")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	rows, err := db.Texts(context.Background(), "SELECT count(*)::VARCHAR FROM "+duck.Idents(db.Name, "main", "a"))
	fmt.Println(rows, err)
	return nil
}

const childEnv = "KITAMAE_DUCKDB_TEST_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		if err := children[name](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is a second process, made of this binary.
func child(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	cmd.Stderr = os.Stderr
	return cmd
}

// holder starts a process that holds path open; release lets it go and returns what it read last.
func holder(t testing.TB, mode, path string) (release func() string) {
	t.Helper()
	cmd := child(t, mode, path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "open\n" {
		t.Fatalf("child: %q, %v", line, err)
	}
	released := false
	release = func() string {
		if released {
			return ""
		}
		released = true
		_ = in.Close()
		line, _ := lines.ReadString('\n')
		_ = cmd.Wait()
		return strings.TrimSpace(line)
	}
	t.Cleanup(func() { release() })
	return release
}
