package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/agnivade/levenshtein"
	"modernc.org/libc"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/kitamae/kitamae/fault"
)

// fault turns a result code of SQLite into one a person can act on.
func (c *conn) fault(rc int32) error {
	if rc&0xff == sqlite3.SQLITE_INTERRUPT {
		return fault.New(fault.Interrupted, "run.interrupted", "", "reading %s was stopped", c.path)
	}
	detail := ""
	if c.db != 0 {
		detail = libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db))
	}
	return explain(rc, c.path, detail)
}

func explain(rc int32, path, detail string) error {
	switch {
	case rc&0xff == sqlite3.SQLITE_NOTADB:
		return fault.New(fault.Config, "sqlite.not_a_database",
			"check source.sqlite.path; an encrypted database (SQLCipher) has to be decrypted first",
			"%s is not an SQLite database", path)
	case rc&0xff == sqlite3.SQLITE_BUSY, rc&0xff == sqlite3.SQLITE_LOCKED:
		return fault.New(fault.Source, "sqlite.locked",
			"try again when the program that writes it has committed; in WAL mode (PRAGMA journal_mode = WAL) writers and readers don't wait for each other",
			"%s is locked by another program", path).Again()
	case rc == sqlite3.SQLITE_READONLY_ROLLBACK, rc == sqlite3.SQLITE_READONLY_RECOVERY, rc == sqlite3.SQLITE_READONLY_CANTINIT:
		return fault.New(fault.Source, "sqlite.recovery",
			"open it once with the application or the sqlite3 shell, which finishes what was interrupted",
			"%s was left by a writer that was killed in the middle, and recovering it needs writing (%s)", path, detail)
	case rc&0xff == sqlite3.SQLITE_CANTOPEN, rc&0xff == sqlite3.SQLITE_PERM, rc&0xff == sqlite3.SQLITE_READONLY:
		return fault.New(fault.Source, "sqlite.permission",
			"let this user read the file; a database in WAL mode also needs its folder to be writable, or its -wal and -shm files to exist",
			"%s can't be opened (%s)", path, detail)
	case rc&0xff == sqlite3.SQLITE_CORRUPT:
		return fault.New(fault.Source, "sqlite.corrupt", "run PRAGMA integrity_check, and restore or .recover the file",
			"%s is damaged (%s)", path, detail)
	case rc&0xff == sqlite3.SQLITE_SCHEMA:
		return fault.New(fault.Source, "sqlite.changed", "run again", "the schema of %s changed while it was read", path).Again()
	}
	if rc == sqlite3.SQLITE_ERROR {
		return fault.New(fault.Source, "sqlite.statement", "check that the sqlite3 shell can read it", "%s: %s", path, detail)
	}
	return fault.New(fault.Source, "sqlite.read", "", "reading %s: %s", path, detail)
}

// stockFault is explain for an error of the stock driver.
func stockFault(path string, err error) error {
	var e *sqlite.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return explain(int32(e.Code()), path, e.Error())
	case errors.Is(err, context.Canceled):
		return fault.Wrap(fault.Interrupted, "run.interrupted", "", err)
	}
	return fault.Wrap(fault.Source, "sqlite.read", "", err)
}

// checkFile finds the common mistakes before SQLite does, as it only says "unable to open
// database file". It must not open the file: closing it again would drop this process's locks on it.
func checkFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		hint := "check source.sqlite.path; relative paths start at the config file's folder"
		if near := nearest(path); near != "" {
			hint = "did you mean " + near + "?"
		}
		return fault.New(fault.Config, "sqlite.file", hint, "there is no file %s", path)
	case err != nil:
		return fault.Wrap(fault.Source, "sqlite.permission", "let this user read the file and its folder", err)
	case info.IsDir():
		return fault.New(fault.Config, "sqlite.file", "name the database file inside it", "%s is a folder", path)
	}
	return nil
}

// nearest is the file in path's folder whose name is most like path's, "" when none is close.
func nearest(path string) string {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return ""
	}
	want := strings.ToLower(filepath.Base(path))
	best, found := 1+max(2, len(want)/3), ""
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || strings.HasSuffix(name, "-wal") || strings.HasSuffix(name, "-shm") || strings.HasSuffix(name, "-journal") {
			continue
		}
		if d := levenshtein.ComputeDistance(want, strings.ToLower(name)); d < best {
			best, found = d, filepath.Join(filepath.Dir(path), name)
		}
	}
	return found
}
