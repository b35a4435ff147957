package files

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/zeebo/xxh3"
)

// What a local disk needs or can do beyond a bucket: folders that must be made durable,
// links instead of copies, and a symbolic link swapped by a rename.

// adopt makes a finished local file the object key, in place of one before: durable
// first, then visible. It returns the file's size and hash.
func (s *store) adopt(ctx context.Context, local, key string) (bytes int64, sum string, err error) {
	if s.far != nil {
		return s.upload(ctx, local, key)
	}
	f, err := os.Open(local)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := xxh3.New128()
	if bytes, err = io.Copy(h, f); err != nil {
		return 0, "", err
	}
	if err := f.Sync(); err != nil {
		return 0, "", err
	}
	return bytes, hexSum(h), os.Rename(local, s.path(key))
}

// link gives an object a second name: a hard link where the file system has them, else a copy.
func (s *store) link(ctx context.Context, from, to string) error {
	if err := os.MkdirAll(filepath.Dir(s.path(to)), 0o777); err != nil {
		return err
	}
	err := os.Link(s.path(from), s.path(to))
	switch {
	case err == nil, errors.Is(err, fs.ErrExist): // names of files differ by run: this is the one
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return err
	}
	return s.copy(ctx, from, to)
}

func (s *store) copy(ctx context.Context, from, to string) (err error) {
	r, err := s.open(ctx, from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	w, err := s.create(ctx, to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		w.cancel()
		return err
	}
	return w.close()
}

// sync makes the names in folders durable, deepest first: file systems keep a file's
// name apart from its bytes.
func (s *store) sync(folders ...string) error {
	if s.far != nil {
		return nil
	}
	folders = append([]string(nil), folders...)
	sort.Slice(folders, func(i, j int) bool { return strings.Count(folders[i], "/") > strings.Count(folders[j], "/") })
	for _, key := range folders {
		f, err := os.Open(s.path(key))
		if errors.Is(err, fs.ErrNotExist) { // a table without files has no folder
			continue
		}
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// pointed is where a symbolic link points, "" where there is none.
func (s *store) pointed(key string) string {
	to, err := os.Readlink(s.path(key))
	if err != nil {
		return ""
	}
	return filepath.ToSlash(to)
}

// point makes key a symbolic link to a folder beside it, in one step for whoever looks.
func (s *store) point(key, target string) error {
	next := s.path(key + ".next")
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(filepath.FromSlash(target), next); err != nil {
		return err
	}
	return os.Rename(next, s.path(key))
}

// removeFolders removes a folder with the folders in it, as a bucket leaves them behind.
func (s *store) removeFolders(folder string) error { return os.RemoveAll(s.path(folder)) }

// prune removes a folder if nothing is in it.
func (s *store) prune(folder string) {
	if s.far == nil {
		_ = os.Remove(s.path(folder))
	}
}
