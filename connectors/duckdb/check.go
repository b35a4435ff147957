package duckdb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

var _ connector.Checker = (*dest)(nil)

// Check opens the file as readers do, and tries whether another can take its place.
func (d *dest) Check(ctx context.Context) []connector.Check {
	file := connector.Check{Link: "file", Found: d.path + ", made by the first run"}
	if exists(d.path) {
		live, err := d.look(ctx)
		if err != nil {
			file.Fault = d.classify(err)
		} else {
			file.Found = fmt.Sprintf("%s, %d tables and views", d.path, len(live.relations))
		}
	}
	return []connector.Check{file, {Link: "folder", Found: "a file can be written and renamed", Fault: d.tryFolder()}}
}

// tryFolder writes a file where a run would, renames and removes it. A folder that is not there yet is tried by its parent.
func (d *dest) tryFolder() error {
	dir := filepath.Dir(d.path)
	for !exists(dir) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	f, err := os.CreateTemp(dir, ".kitamae-doctor-*")
	if err != nil {
		return fault.Wrap(fault.Destination, "duckdb.folder", "let the user who runs kitamae write there", fmt.Errorf("write beside the file: %w", err))
	}
	name := f.Name()
	_, err = f.WriteString("kitamae doctor wrote this; it can go\n")
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(name, name+".renamed")
		name += ".renamed"
	}
	if e := os.Remove(name); err == nil {
		err = e
	}
	return fault.Wrap(fault.Destination, "duckdb.folder", "look at the disk and the folder's rights", err)
}
