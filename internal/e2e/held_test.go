package e2e

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kitamae/kitamae/internal/servertest"
)

// holdMain is a second program that has a DuckDB file open for writing until its input ends.
func holdMain(path string) int {
	db, err := sql.Open("duckdb", path)
	if err == nil {
		err = db.Ping()
	}
	fmt.Println("open", err)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	_ = db.Close()
	return 0
}

// hold starts [holdMain] on the project's file. release lets it go, once.
func (p *project) hold(t testing.TB) (pid int, release func()) {
	t.Helper()
	cmd := p.command(t, filepath.Join(p.dir, "kura.duckdb"))
	cmd.Env = append(cmd.Env, childVar+"=hold")
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
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "open <nil>\n" {
		t.Fatalf("the holder said %q, %v", line, err)
	}
	release = func() {
		_ = in.Close()
		_ = cmd.Wait()
	}
	t.Cleanup(release)
	return cmd.Process.Pid, release
}

// lets is a writer that lets a holder go once a text was written that a person waiting wants to read.
type lets struct {
	text    []byte
	upon    string
	release func()
}

func (l *lets) Write(b []byte) (int, error) {
	l.text = append(l.text, b...)
	if l.release != nil && bytes.Contains(l.text, []byte(l.upon)) {
		l.release()
		l.release = nil
	}
	return len(b), nil
}

// terminal is a pseudo terminal: what is written to near comes out of far.
func terminal(t testing.TB) (near, far *os.File) {
	t.Helper()
	far, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	if err := unix.IoctlSetPointerInt(int(far.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(far.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if near, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close() })
	return near, far
}

// TestHeldFile has another program hold kura.duckdb: a run says within a moment that it waits, and for whom, in lines, in
// JSON and on a terminal, and goes on once it is let; a question waits too, and in the end says who.
func TestHeldFile(t *testing.T) {
	s := servertest.MariaDB(t)
	db := servertest.FreshDatabase(t, s)
	s.Exec(t, db, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
	published := func(t *testing.T) *project {
		p := newProject(t, s, db)
		p.drive(t)
		return p
	}
	name := filepath.Base(os.Args[0])
	for _, way := range []string{"text", "json", "terminal", "query"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			p := published(t)
			pid, release := p.hold(t)
			who := fmt.Sprintf("%s (PID %d)", name, pid)
			if way == "query" {
				out, err := p.command(t, "query", "SELECT count(*) FROM t").CombinedOutput()
				want(t, out, err, 4, "waiting: ", "error: waited 15s: ", "is locked by", who, "code: duckdb.locked", "hint: ")
				release()
				out, err = p.command(t, "query", "SELECT count(*) FROM t").CombinedOutput()
				want(t, out, err, 0, "2")
				return
			}
			said := &lets{upon: who, release: release}
			cmd := p.command(t, "run")
			if way == "json" {
				cmd.Args = append(cmd.Args, "--log-format", "json")
			}
			heard := func() {}
			if cmd.Stderr = said; way == "terminal" {
				near, far := terminal(t)
				cmd.Stderr = near
				copied := make(chan struct{})
				go func() {
					defer close(copied)
					_, _ = io.Copy(said, far) // its end is an error: nobody has the near side open any more
				}()
				heard = func() {
					_ = near.Close()
					<-copied
				}
			}
			err := cmd.Run()
			heard()
			want(t, said.text, err, 0, who, "kura.duckdb is locked by")
			lines, over := "waiting: ", "the wait is over"
			if way == "json" {
				lines, over = `"msg":"blocked"`, `"why":""`
				for line := range strings.Lines(string(said.text)) {
					if !json.Valid([]byte(line)) {
						t.Errorf("not a line of JSON: %s", line)
					}
				}
			}
			if n := strings.Count(string(said.text), lines); !strings.Contains(string(said.text), over) || n != map[string]int{"text": 1, "terminal": 1, "json": 2}[way] {
				t.Errorf("the wait is told of %d times:\n%s", n, said.text)
			}
		})
	}
}

// want fails unless a command ended with the code and said all the texts.
func want(t testing.TB, out []byte, err error, code int, texts ...string) {
	t.Helper()
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		got = -1
	}
	for _, text := range texts {
		if !strings.Contains(string(out), text) {
			t.Errorf("it does not say %q", text)
		}
	}
	if got != code || t.Failed() {
		t.Errorf("exit code %d (%v), want %d:\n%s", got, err, code, out)
	}
}

// TestBadFile puts what is no DuckDB file, or no longer one, in the place of kura.duckdb: whatever is asked, the fault names the
// file and what to do, and the file stays as it is. What an earlier run, or somebody, left as kura.duckdb.next is no such file.
func TestBadFile(t *testing.T) {
	s := servertest.MariaDB(t)
	db := servertest.FreshDatabase(t, s)
	s.Exec(t, db, "CREATE TABLE t (id int PRIMARY KEY, pad text)", "INSERT INTO t SELECT seq, md5(seq) FROM seq_1_to_50000")
	p := newProject(t, s, db)
	p.drive(t)
	path := filepath.Join(p.dir, "kura.duckdb")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	garbage := bytes.Repeat([]byte("\xde\xad\xbe\xef"), 2000)
	overwritten := append(append(bytes.Clone(whole[:len(whole)/2]), garbage...), whole[len(whole)/2+len(garbage):]...)
	foreign := append([]byte("SQLite format 3\x00"), make([]byte, 8000)...)
	for _, tc := range []struct {
		name, code string
		bad        []byte
	}{
		{"truncated", "duckdb.damaged", whole[:len(whole)/2]},
		{"overwritten at its head", "duckdb.not_a_database", append(bytes.Clone(garbage), whole[len(garbage):]...)},
		{"foreign", "duckdb.not_a_database", foreign},
		{"text", "duckdb.not_a_database", []byte("hello\n")},
		{"empty", "duckdb.not_a_database", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := os.WriteFile(path, tc.bad, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"plan"}, {"run"}, {"query", "SELECT sum(length(pad)) FROM t"}, {"doctor"}} {
				out, err := p.command(t, args...).CombinedOutput()
				texts := []string{path, "move " + path + " away"}
				if args[0] != "doctor" {
					texts = append(texts, "code: "+tc.code)
				}
				want(t, out, err, 4, texts...)
			}
			if now, err := os.ReadFile(path); err != nil || sha256.Sum256(now) != sha256.Sum256(tc.bad) {
				t.Errorf("the file is not what it was (%v)", err)
			}
		})
	}
	for name, left := range map[string][]byte{"text": []byte("hello\n"), "half a database": whole[:len(whole)/2], "overwritten": overwritten, "another database": whole} {
		t.Run("next is "+name, func(t *testing.T) {
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path+".next", left, 0o600); err != nil {
				t.Fatal(err)
			}
			p.drive(t, "verify: full")
			if got := one(t, p.duckdb(t), "SELECT count(*) || ' ' || sum(length(pad)) FROM t"); got != "50000 1600000" {
				t.Errorf("published: %s", got)
			}
		})
	}
}
