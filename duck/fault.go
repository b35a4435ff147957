package duck

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"syscall"

	"github.com/kitamae/kitamae/fault"
)

// Error is what DuckDB said.
type Error struct{ Msg string }

func newError(msg string) error { return &Error{Msg: strings.TrimSpace(msg)} }

func (e *Error) Error() string { return e.Msg }

// Is makes errors.Is(err, context.Canceled) see an interrupted statement.
func (e *Error) Is(target error) bool {
	return target == context.Canceled && strings.HasPrefix(e.Msg, "INTERRUPT Error")
}

// holder finds who holds a lock in DuckDB's message.
var holder = regexp.MustCompile(`(?:held in|lock is held in) ([^(]*\(PID \d+\))`)

// Classify makes a fault of an error that DuckDB or the file system gave about the file or folder called
// place. An error it does not know is returned as it is.
func Classify(place string, err error) error {
	const full, forbidden = "make room on the disk of ", "let this user write "
	away := "move " + place + " away, or name another file in destination.duckdb.path"
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Wrap(fault.Destination, "duckdb.disk_full", full+place, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fault.Wrap(fault.Destination, "duckdb.permission", forbidden+place, err)
	}
	var e *Error
	var f *fault.Error
	if errors.As(err, &f) || !errors.As(err, &e) { // it is said already, or DuckDB said nothing
		return err
	}
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(e.Msg, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("Could not set lock on file"):
		who := "another process"
		if m := holder.FindStringSubmatch(e.Msg); m != nil {
			who = m[1]
		}
		return fault.New(fault.Destination, "duckdb.locked", "end the program that has the file open for writing, then run again",
			"%s is locked by %s", place, who)
	case has("No space left", "Disk quota exceeded", "Could not write all bytes", "File too large"):
		return fault.Wrap(fault.Destination, "duckdb.disk_full", full+place, err)
	case has("with version number", "different version of DuckDB", "newer version of DuckDB"):
		said, _, _ := strings.Cut(e.Msg, "\n\n") // advice about DuckDB's own tools follows
		return fault.Wrap(fault.Destination, "duckdb.version", "take a newer kitamae if a newer DuckDB wrote the file, or "+away,
			inPlace(place, "is of another version of DuckDB", &Error{Msg: strings.ReplaceAll(said, "\n", " ")}))
	case has("not a valid DuckDB database"):
		return fault.Wrap(fault.Destination, "duckdb.not_a_database", away, inPlace(place, "is no DuckDB file", err))
	case has("database file is invalid", "checksum", "Corrupt", "corrupt", "Serialization Error", "Could not read enough bytes", "Could not read from file",
		"replaying WAL", "Failed to load metadata pointer", "Invalid checkpoint"):
		return fault.Wrap(fault.Destination, "duckdb.damaged", away+"; "+place+".previous, where it is there, is the file before", inPlace(place, "is damaged", err))
	case has("Permission denied", "Read-only file system"):
		return fault.Wrap(fault.Destination, "duckdb.permission", forbidden+place, err)
	case has("Out of Memory Error"):
		return fault.Wrap(fault.Destination, "duckdb.memory", "raise limits.memory: DuckDB works on 2048 rows at a time, and they must fit", err)
	}
	return err
}

// inPlace says of a file what is the matter with it, before DuckDB's own words.
func inPlace(place, what string, err error) error {
	return fmt.Errorf("%s %s, and is left as it is: %w", place, what, err)
}
