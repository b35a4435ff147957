package duck

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/kitamae/kitamae/fault"
)

func TestClassify(t *testing.T) {
	for _, tc := range []struct {
		err        error
		code, text string
	}{
		{newError(`IO Error: Could not set lock on file "/x/kura.duckdb": Conflicting lock is held in /usr/bin/python3.11 (PID 4711). See also https://duckdb.org`),
			"duckdb.locked", "/x is locked by /usr/bin/python3.11 (PID 4711)"},
		{newError(`IO Error: Could not set lock on file "/x": Resource temporarily unavailable`), "duckdb.locked", "/x is locked by another process"},
		{newError(`IO Error: Could not write file "/x": No space left on device`), "duckdb.disk_full", ""},
		{&fsError{syscall.ENOSPC}, "duckdb.disk_full", ""},
		{newError(`IO Error: The file "/x" exists, but it is not a valid DuckDB database file!`), "duckdb.not_a_database", ""},
		{newError(`IO Error: Cannot open file "/x": Permission denied`), "duckdb.permission", ""},
		{newError(`Out of Memory Error: failed to pin block`), "duckdb.memory", ""},
		{newError(`Conversion Error: something`), "", "Conversion Error: something"},
	} {
		err := Classify("/x", fmt.Errorf("write a: %w", tc.err))
		if tc.code != "" && !fault.HasCode(err, tc.code) {
			t.Errorf("%v: %v, want %s", tc.err, err, tc.code)
		}
		if tc.text != "" && err.Error() != tc.text && err.Error() != "write a: "+tc.text {
			t.Errorf("%v, want %s", err, tc.text)
		}
	}
}

type fsError struct{ errno error }

func (e *fsError) Error() string { return "write: " + e.errno.Error() }
func (e *fsError) Unwrap() error { return e.errno }

// The name must be the one DuckDB's own tools give a file, or views that use it break.
func TestCatalogNameIsDuckDBs(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{"kura.duckdb", "kura.v2.duckdb", "倉庫", "a b-c.db", "main.duckdb", "kura.duckdb.next", "system.db"} {
		db := open(t, Options{})
		path := filepath.Join(dir, file)
		exec(t, db, "ATTACH "+Literal(path))
		rows, err := db.Texts(t.Context(), "SELECT database_name FROM duckdb_databases() WHERE path = "+Literal(path))
		if err != nil || len(rows) != 1 || rows[0][0] != CatalogName(path) {
			t.Errorf("%s: DuckDB says %v, CatalogName %s, %v", file, rows, CatalogName(path), err)
		}
	}
	if _, err := (&DB{closed: true}).Exec(t.Context(), "SELECT 1"); err == nil || errors.Is(err, errors.ErrUnsupported) {
		t.Error("a closed engine answers")
	}
}
