package files

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/zeebo/xxh3"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"

	"github.com/kitamae/kitamae/bucket"
)

// store is the destination's folder as a bucket of keys, with what only a local disk
// needs (local.go) and what only an object store can do (far.go). Keys use slashes.
type store struct {
	bucket *blob.Bucket
	dir    string         // on the local disk; "" in an object store
	far    *bucket.Bucket // nil on the local disk
}

// openStore opens dir, making it if create says so. Without, a folder that is not there is nil. In an object store
// folders need no making.
func openStore(ctx context.Context, dir string, create bool) (*store, error) {
	if bucket.Is(dir) {
		b, err := bucket.Open(context.WithoutCancel(ctx), dir) // it outlives the call
		if err != nil {
			return nil, err
		}
		return &store{bucket: b.Bucket, far: b}, nil
	}
	if !create {
		info, err := os.Stat(dir)
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		if err == nil && !info.IsDir() {
			_, err = os.ReadDir(dir) // says what is wrong
		}
		if err != nil {
			return nil, err
		}
	} else if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	b, err := fileblob.OpenBucket(dir, &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		return nil, err
	}
	return &store{bucket: b, dir: dir}, nil
}

func (s *store) close() error { return s.bucket.Close() }

// read returns a small object whole.
func (s *store) read(ctx context.Context, key string) (text []byte, found bool, err error) {
	text, err = s.bucket.ReadAll(ctx, key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, false, nil
	}
	return text, err == nil, err
}

// readVersion is read with the version that an object store has the object in; "" on the local disk.
func (s *store) readVersion(ctx context.Context, key string) (text []byte, version string, found bool, err error) {
	if s.far == nil {
		text, found, err = s.read(ctx, key)
		return text, "", found, err
	}
	text, version, err = s.far.Read(ctx, key)
	return text, version, version != "", err
}

// open reads an object from its start.
func (s *store) open(ctx context.Context, key string) (io.ReadCloser, error) {
	r, err := s.bucket.NewReader(ctx, key, nil)
	if err != nil {
		return nil, s.said(err)
	}
	return r, nil
}

// size is an object's length in bytes; found is false where there is none.
func (s *store) size(ctx context.Context, key string) (n int64, found bool, err error) {
	a, err := s.bucket.Attributes(ctx, key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, s.said(err)
	}
	return a.Size, true, nil
}

// list returns the keys below a folder.
func (s *store) list(ctx context.Context, folder string) ([]string, error) {
	var keys []string
	it := s.bucket.List(&blob.ListOptions{Prefix: folder + "/"})
	for {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return keys, nil
		}
		if err != nil {
			return nil, s.said(err)
		}
		keys = append(keys, o.Key)
	}
}

// folders returns the names of the folders directly below a folder.
func (s *store) folders(ctx context.Context, folder string) ([]string, error) {
	var names []string
	it := s.bucket.List(&blob.ListOptions{Prefix: folder + "/", Delimiter: "/"})
	for {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		if o.IsDir {
			names = append(names, path.Base(strings.TrimSuffix(o.Key, "/")))
		}
	}
}

// remove deletes an object; one that is not there is fine.
func (s *store) remove(ctx context.Context, key string) error {
	err := s.bucket.Delete(ctx, key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil
	}
	return err
}

// removeAll deletes everything below a folder, and the folder.
func (s *store) removeAll(ctx context.Context, folder string) error {
	keys, err := s.list(ctx, folder)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := s.remove(ctx, key); err != nil {
			return err
		}
	}
	return s.removeFolders(folder)
}

// put writes a small object whole, in place of one before.
func (s *store) put(ctx context.Context, key string, text []byte) error {
	w, err := s.create(ctx, key)
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		w.cancel()
		return err
	}
	return w.close()
}

// sink writes one object, which appears whole under its key when it is closed.
type sink struct {
	of    *store
	w     *blob.Writer
	local *os.File // what w writes to, nil beyond the local disk
	stop  context.CancelFunc
	hash  *xxh3.Hasher128
	bytes int64
}

// create starts an object. Either close or cancel it.
func (s *store) create(ctx context.Context, key string) (*sink, error) {
	ctx, stop := context.WithCancel(ctx)
	k := &sink{of: s, stop: stop, hash: xxh3.New128()}
	w, err := s.bucket.NewWriter(ctx, key, &blob.WriterOptions{
		ContentType: "application/octet-stream", // or the first bytes would be held back to guess one
		BufferSize:  farPart, MaxConcurrency: 2, // of an upload; a local disk needs none
		BeforeWrite: func(as func(any) bool) error { as(&k.local); return nil },
	})
	if err != nil {
		stop()
		return nil, err
	}
	k.w = w
	return k, nil
}

// Write counts and hashes what goes by.
func (k *sink) Write(p []byte) (int, error) {
	n, err := k.w.Write(p)
	_, _ = k.hash.Write(p[:n])
	k.bytes += int64(n)
	return n, err
}

// close makes the object durable and then visible.
func (k *sink) close() error {
	defer k.stop()
	if k.local != nil {
		if err := k.local.Sync(); err != nil {
			k.cancel()
			return err
		}
	}
	return k.of.said(k.w.Close())
}

// cancel leaves nothing.
func (k *sink) cancel() {
	k.stop()
	_ = k.w.Close()
}

// sum is the hash of all bytes written, in hex.
func (k *sink) sum() string { return hexSum(k.hash) }

func hexSum(h *xxh3.Hasher128) string {
	sum := h.Sum128().Bytes()
	return hex.EncodeToString(sum[:])
}

// path is where a key lies on the local disk.
func (s *store) path(key string) string { return filepath.Join(s.dir, filepath.FromSlash(key)) }
