package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gocloud.dev/blob"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// What an object store needs or can do beyond a local disk: objects that are written once and published by a manifest under a
// condition, and local copies for those who read and write files only.

// farPart is how much of an object is uploaded at once, in bytes: each writer holds two of them.
const farPart = 8 << 20

// said makes a fault of what an object store says, where a person has to act on it.
func (s *store) said(err error) error {
	if s.far == nil {
		return err
	}
	return s.far.Classify(err)
}

// upload writes a local file as the object key. It returns the file's size and hash.
func (s *store) upload(ctx context.Context, local, key string) (bytes int64, sum string, err error) {
	f, err := os.Open(local)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w, err := s.create(ctx, key)
	if err != nil {
		return 0, "", err
	}
	if _, err := io.Copy(w, f); err != nil {
		w.cancel()
		return 0, "", err
	}
	return w.bytes, w.sum(), w.close()
}

// fetch is a path where an object can be read as a file, until done is called.
func (s *store) fetch(ctx context.Context, key string) (path string, done func(), err error) {
	if s.far == nil {
		return s.path(key), func() {}, nil
	}
	f, err := os.CreateTemp("", "kitamae-*"+filepath.Ext(key))
	if err != nil {
		return "", nil, err
	}
	done = func() { _ = os.Remove(f.Name()) }
	r, err := s.open(ctx, key)
	if err == nil {
		_, err = io.Copy(f, r)
		err = errors.Join(err, r.Close())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		done()
		return "", nil, err
	}
	return f.Name(), done, nil
}

// maxPublish is how often a manifest is tried to be published while others do the same.
const maxPublish = 10

// publishFar publishes without a lock: over the manifest that was looked at, or again over a newer one.
func (d *dest) publishFar(ctx context.Context, s *store, req connector.CommitRequest) (m *manifest, before string, err error) {
	for range maxPublish {
		old, err := d.published(ctx)
		if err != nil {
			return nil, "", err
		}
		late, err := d.before(ctx, s, old, req.Run.ID)
		if err != nil || late || old.has(req) {
			return old, "", err
		}
		m, err = d.publish(ctx, s, old, req)
		if err == nil || !errors.Is(err, fault.ErrConflict) {
			return m, old.Previous, err
		}
	}
	return nil, "", fmt.Errorf("others published %d times meanwhile: %w", maxPublish, err)
}

// oldAfter is how long what nobody published, and no run knows, is left alone: its run may be alive elsewhere.
const oldAfter = 7 * 24 * time.Hour

// cleanUpFar removes what neither the published manifest nor the one before names: of the run before that, named before, and what
// is old.
func (d *dest) cleanUpFar(ctx context.Context, s *store, m *manifest, before string) error {
	kept := m.files()
	if m.Previous != "" {
		previous, err := d.readManifest(ctx, runDir(m.Previous)+"/"+manifestName)
		if err != nil {
			return err
		}
		for key := range previous.files() {
			kept[key] = true
		}
	}
	var gone []string
	it := s.bucket.List(&blob.ListOptions{Prefix: runsDir + "/"})
	for {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		dir := runsDir + "/" + strings.SplitN(strings.TrimPrefix(o.Key, runsDir+"/"), "/", 2)[0]
		switch {
		case kept[o.Key], dir == m.Dir, m.Previous != "" && dir == runDir(m.Previous):
		case before != "" && dir == runDir(before), time.Since(o.ModTime) > oldAfter:
			gone = append(gone, o.Key)
		}
	}
	for _, key := range gone {
		if err := s.remove(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// tryFar tries what a publication needs on an object of its own.
func (s *store) tryFar(ctx context.Context) error {
	key, text := runsDir+"/.doctor", []byte("kitamae doctor wrote this; it can go\n")
	_, err := s.list(ctx, runsDir) // says first when there is no bucket
	version := ""
	if err == nil {
		_, version, err = s.far.Read(ctx, key)
	}
	if err == nil {
		_, err = s.far.Write(ctx, key, text, version)
	}
	if err == nil {
		err = s.remove(ctx, key)
	}
	return err
}
