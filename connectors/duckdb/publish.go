package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kitamae/kitamae/duck"
	"github.com/kitamae/kitamae/fault"
)

// settle writes what is only in the published file's log into the file: a log must
// never meet the file that comes next. Whoever holds the file is named in the fault.
func (d *dest) settle(ctx context.Context) error {
	if !exists(d.path + ".wal") {
		return nil
	}
	if !exists(d.path) { // a log without a file belongs to nobody
		return os.Remove(d.path + ".wal")
	}
	db, err := d.await(ctx, duck.Options{Path: d.path, MemoryBytes: d.memory})
	if err != nil {
		return err
	}
	_, err = db.Exec(ctx, "CHECKPOINT "+duck.Ident(db.Name))
	return errors.Join(err, db.Close())
}

// publish makes file, which holds everything, the published one. was is the published
// file as it was when what it holds was carried over.
func (d *dest) publish(ctx context.Context, file string, was stamp) error {
	if d.work != nil {
		_, err := d.work.db.Exec(ctx, "CHECKPOINT "+duck.Ident(d.work.db.Name))
		if err := errors.Join(err, d.work.db.Close()); err != nil {
			return err
		}
		d.work = nil
	}
	if exists(file + ".wal") {
		return fault.New(fault.Internal, "duckdb.log", "run again", "%s still has a log after its checkpoint", file)
	}
	if err := d.unchanged(was); err != nil {
		return err
	}
	if was.info != nil {
		if err := os.Chmod(file, was.info.Mode().Perm()); err != nil {
			return err
		}
	}
	if err := syncFile(file); err != nil {
		return err
	}
	d.did("synced")
	if was.info != nil {
		if err := d.keepPrevious(); err != nil {
			return fmt.Errorf("keep the file before as %s: %w", d.previous(), err)
		}
	}
	d.did("kept previous")
	if err := os.Rename(file, d.path); err != nil {
		return err
	}
	d.did("renamed")
	if err := syncFile(filepath.Dir(d.path)); err != nil {
		return err
	}
	d.removeNext()
	return nil
}

// unchanged refuses to publish over something nobody has looked at.
func (d *dest) unchanged(was stamp) error {
	now, err := stampOf(d.path)
	gone := errors.Is(err, fs.ErrNotExist)
	if err != nil && !gone {
		return err
	}
	if gone != (was.info == nil) || !gone && !now.same(was) || exists(d.path+".wal") {
		return fault.New(fault.Destination, "duckdb.changed", "run again while nobody else writes the file",
			"%s was changed by somebody else while the run was being published", d.path).Again()
	}
	return nil
}

// keepPrevious gives the published file a second name, at once.
func (d *dest) keepPrevious() error {
	tmp := d.previous() + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.Link(d.path, tmp); err != nil {
		if err := clone(d.path, tmp); err != nil { // no links on this file system
			return err
		}
	}
	if err := os.Rename(tmp, d.previous()); err != nil {
		return err
	}
	return os.RemoveAll(tmp) // rename leaves it where both are the same file already
}

// clone copies a file, without copying blocks where the file system can share them.
func clone(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, out.Close())
		if err != nil {
			_ = os.Remove(to)
		}
	}()
	if reflink(out, in) == nil {
		return nil
	}
	_, err = io.Copy(out, in)
	return err
}

// syncFile makes a file or a folder's entries durable.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
