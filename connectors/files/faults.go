package files

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/kitamae/kitamae/bucket"
	"github.com/kitamae/kitamae/duck"
	"github.com/kitamae/kitamae/fault"
)

// classify makes a fault of what the file system or DuckDB said while it worked in dir.
// Faults and cancellations pass as they are.
func classify(dir string, err error) error {
	var f *fault.Error
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if errors.As(err, &f) {
		if strings.HasPrefix(f.Code, "bucket.") {
			return fault.For(err, fault.Destination, f.Hint)
		}
		return err
	}
	var d *duck.Error
	said := func(phrase string) bool { return errors.As(err, &d) && strings.Contains(d.Msg, phrase) }
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG),
		said("No space left"), said("quota exceeded"), said("File too large"):
		if bucket.Is(dir) {
			dir = os.TempDir()
		}
		return fault.Wrap(fault.Destination, "files.disk_full", "make room on the disk of "+dir+"; what was published before is untouched", err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), said("Permission denied"), said("Read-only file system"):
		return fault.Wrap(fault.Destination, "files.permission", "let this user write in "+dir, err)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist), said("Not a directory"):
		return fault.Wrap(fault.Destination, "files.not_a_folder", "name a folder in destination.files.dir, or move the file away", err)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), said("Too many open files"):
		return fault.Wrap(fault.Destination, "files.open_files", "raise the limit of open files (ulimit -n)", err)
	case said("Out of Memory"):
		return fault.Wrap(fault.Destination, "files.memory", "raise limits.memory", err)
	case errors.Is(err, syscall.EIO):
		return fault.Wrap(fault.Destination, "files.io", "look at the disk of "+dir+" (dmesg)", err)
	}
	if bucket.Is(dir) { // its client has tried again and again, in vain
		return fault.Again(fault.Wrap(fault.Destination, "files.storage", "look at the object store and the way there", err))
	}
	return fault.Wrap(fault.Destination, "files.storage", "", err)
}
