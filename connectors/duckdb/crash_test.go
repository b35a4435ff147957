package duckdb

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// leave makes d forget its open file as a killed process would, without removing it.
func leave(t testing.TB, d *dest) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.work.db.Close(); err != nil {
		t.Fatal(err)
	}
	d.work = nil
}

func killed(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the child was not killed: %v", err)
	}
}

// A process killed after any step of a commit leaves the file old or new, whole in both cases, and another
// process finishes the commit.
func TestKilledBetweenSteps(t *testing.T) {
	for _, tc := range []struct{ step, user, after string }{
		{"prepared", "", "3"}, {"completed", "", "3"}, {"synced", "", "3"}, {"kept previous", "", "3"}, {"renamed", "", "50"},
		{"copied", "CREATE MACRO m() AS 1", "3"}, {"replaced in copy", "CREATE MACRO m() AS 1", "3"},
	} {
		t.Run(tc.step, func(t *testing.T) {
			dir := t.TempDir()
			d := openAt(t, filepath.Join(dir, "kura.duckdb"))
			publishPeople(t, d, "r1", 3, "a")
			if tc.user != "" {
				change(t, d.path, tc.user)
			}
			req := request("r2", put(t, d, "r2", "a", people(), persons(t, 0, 50)))
			leave(t, d)
			data, err := json.Marshal(req)
			if err != nil {
				t.Fatal(err)
			}
			killed(t, child(t, "commit", d.path, tc.step, string(data)))
			want(t, "rows after the kill", ask(t, d.path, "SELECT count(*) FROM a"), tc.after)
			next := openAt(t, d.path)
			recovery := connector.CommitAgain
			if tc.after == "50" {
				recovery = connector.Done
			}
			if got, err := next.Recover(t.Context(), req); got != recovery || err != nil {
				t.Errorf("recovery %s, %v", got, err)
			}
			commit(t, next, req)
			want(t, "rows", ask(t, d.path, "SELECT count(*) FROM a"), "50")
			want(t, "runs", ask(t, d.path, "SELECT string_agg(id, ' ' ORDER BY id) FROM _kitamae.runs"), "r1 r2")
			want(t, "rows before", ask(t, d.previous(), "SELECT count(*) FROM a"), "3")
			if tc.user != "" {
				want(t, "macro", ask(t, d.path, "SELECT m()"), "1")
			}
			if err := next.Abort(t.Context(), req.Tables[0].Stage); err != nil {
				t.Error(err)
			}
			if got := ls(t, dir); tc.step != "renamed" && got != "kura.duckdb kura.duckdb.previous" {
				t.Errorf("files = %s", got)
			}
		})
	}
}

// Somebody changes the published file between the crash and the second commit: nothing of it is lost.
func TestChangedBeforeTheSecondCommit(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	publishPeople(t, d, "r1", 3, "a", "b")
	req := request("r2", put(t, d, "r2", "a", people(), persons(t, 0, 50)))
	leave(t, d)
	data, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	killed(t, child(t, "commit", d.path, "completed", string(data)))
	change(t, d.path, "CREATE TABLE mine AS SELECT 7 AS i; DELETE FROM b WHERE id = 0")
	commit(t, openAt(t, d.path), req)
	want(t, "rows", ask(t, d.path, "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b), (SELECT i FROM mine)"), "50|2|7")
	want(t, "columns", ask(t, d.path, "SELECT string_agg(column_name) FROM duckdb_columns() WHERE table_name = 'a'"), "id,名前")
}

// What a killed run left is discarded by the next one, and does not disturb readers.
func TestLeftoverIsDiscarded(t *testing.T) {
	dir := t.TempDir()
	d := openAt(t, filepath.Join(dir, "kura.duckdb"))
	put(t, d, "r1", "a", people(), persons(t, 0, 9))
	leave(t, d)
	d = openAt(t, d.path)
	publishPeople(t, d, "r2", 2, "b")
	want(t, "tables", ask(t, d.path, "SELECT string_agg(table_name) FROM duckdb_tables() WHERE schema_name = 'main'"), "b")
	want(t, "files", ls(t, dir), "kura.duckdb")
	if err := os.WriteFile(d.next(), []byte(strings.Repeat("not a database", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	publishPeople(t, d, "r3", 4, "b")
	want(t, "rows", ask(t, d.path, "SELECT count(*) FROM b"), "4")
}

func TestOpenReaderDoesNotBlockARun(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	publishPeople(t, d, "r1", 3, "a", "kept")
	release := holder(t, "read", d.path)
	publishPeople(t, d, "r2", 50, "a")
	publishPeople(t, d, "r3", 60, "a")
	want(t, "rows", ask(t, d.path, "SELECT count(*) FROM a"), "60")
	want(t, "the reader's rows", release(), "[[3]] <nil>")
}

func TestWriterIsNamed(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	publishPeople(t, d, "r1", 3, "a")
	tab := put(t, d, "r2", "a", people(), persons(t, 0, 50))
	release := holder(t, "write", d.path)
	_, err := d.Commit(t.Context(), request("r2", tab))
	if !fault.HasCode(err, "duckdb.locked") || !strings.Contains(err.Error(), "(PID ") {
		t.Errorf("err = %v", err)
	}
	if _, err := d.Query(t.Context(), connector.Query{SQL: "SELECT 1"}); !fault.HasCode(err, "duckdb.locked") {
		t.Errorf("query: %v", err)
	}
	release()
	commit(t, d, request("r2", tab))
	want(t, "rows", ask(t, d.path, "SELECT count(*) FROM a"), "50")
}

// A program that has the file open for writing is waited for: plans, queries and commits go on once it is done.
func TestWriterIsWaitedFor(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	publishPeople(t, d, "r1", 3, "a")
	d.patience = time.Minute
	release := holder(t, "write", d.path)
	asked := make(chan error)
	go func() {
		res, err := d.Query(t.Context(), connector.Query{SQL: "SELECT 1"})
		if err == nil {
			err = res.Close()
		}
		asked <- err
	}()
	select {
	case err := <-asked:
		t.Errorf("the query did not wait: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	release()
	if err := <-asked; err != nil {
		t.Errorf("after the writer was done: %v", err)
	}
}

func TestSecondRunAtTheSameTimeIsRefused(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	publishPeople(t, d, "r1", 3, "a")
	if err := os.Rename(d.path, d.next()); err != nil {
		t.Fatal(err)
	}
	holder(t, "write", d.next())
	_, err := d.Stage(t.Context(), connector.StageRequest{Run: "r2", Epoch: 1, Plan: plan(t, d, "a", people())})
	if !fault.HasCode(err, "duckdb.locked") || !exists(d.next()) {
		t.Errorf("err = %v", err)
	}
}

// The log a killed writer left beside the published file is part of it, and never meets the next file.
func TestLogOfAKilledWriter(t *testing.T) {
	dir := t.TempDir()
	d := openAt(t, filepath.Join(dir, "kura.duckdb"))
	publishPeople(t, d, "r1", 3, "a")
	killed(t, child(t, "abandon", d.path, "CREATE TABLE kura.mine AS SELECT 7 AS i"))
	if !exists(d.path + ".wal") {
		t.Fatal("there is no log to test with")
	}
	if plan(t, d, "a", people()).Rows != 3 {
		t.Error("the plan does not see the table")
	}
	publishPeople(t, d, "r2", 50, "a")
	want(t, "rows", ask(t, d.path, "SELECT (SELECT count(*) FROM a), (SELECT i FROM mine)"), "50|7")
	want(t, "files", ls(t, dir), "kura.duckdb kura.duckdb.previous")
}

func TestForeignFile(t *testing.T) {
	for name, content := range map[string]string{"text": strings.Repeat("hello\n", 10_000), "short": "x", "sqlite": "SQLite format 3\x00" + strings.Repeat("\x00", 5000)} {
		t.Run(name, func(t *testing.T) {
			d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
			if err := os.WriteFile(d.path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := d.PlanTable(t.Context(), connector.PlanRequest{Name: "a", Schema: people()})
			if !fault.HasCode(err, "duckdb.not_a_database") {
				t.Errorf("plan: %v", err)
			}
			if _, err := d.Query(t.Context(), connector.Query{SQL: "SELECT 1"}); !fault.HasCode(err, "duckdb.not_a_database") {
				t.Errorf("query: %v", err)
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	out, err := child(t, "full", filepath.Join(dir, "kura.duckdb")).Output()
	if err != nil {
		t.Fatal(err)
	}
	want(t, "fault", strings.TrimSpace(string(out)), "duckdb.disk_full")
	want(t, "files", ls(t, dir), "")
}
