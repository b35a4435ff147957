package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kitamae/kitamae/bucket"
	"github.com/kitamae/kitamae/connector"
)

var _ connector.Checker = (*dest)(nil)

// Check reads what is published, and tries the steps of a publication on a file and a link of its own.
func (d *dest) Check(ctx context.Context) []connector.Check {
	published := connector.Check{Link: "manifest", Found: "nothing is published yet"}
	m, err := d.published(ctx)
	switch {
	case err != nil:
		published.Fault = err
	case len(m.Tables) > 0:
		published.Found = fmt.Sprintf("%d tables in %s", len(m.Tables), d.spec.where())
	}
	if s, err := d.storage(ctx, false); bucket.Is(d.spec.Dir) {
		if err == nil {
			err = s.tryFar(ctx)
		}
		return []connector.Check{published, {Link: "bucket", Found: "objects can be written under a condition, listed and removed", Fault: classify(d.spec.Dir, err)}}
	}
	return []connector.Check{published, {Link: "folder", Found: "files and links can be written and renamed", Fault: classify(d.spec.Dir, d.tryFolder())}}
}

func (d *dest) tryFolder() (err error) {
	dir := d.spec.Dir
	for { // a folder that is not there yet is tried by its parent
		_, err := os.Stat(dir)
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	own, err := os.MkdirTemp(dir, ".kitamae-doctor-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(own)) }()
	file, link := filepath.Join(own, "file"), filepath.Join(own, "link")
	if err := os.WriteFile(file, []byte("kitamae doctor wrote this; it can go\n"), 0o644); err != nil {
		return err
	}
	if err := os.Rename(file, file+".renamed"); err != nil {
		return err
	}
	if err := os.Symlink("file.renamed", link); err != nil {
		return err
	}
	return os.Rename(link, link+".renamed")
}
