package bigquery

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/zeebo/xxh3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/api/storage/v1"

	"github.com/kitamae/kitamae/fault"
)

// Large tables, and all of a run that several machines share, wait in a bucket as kitamae/stage/DATASET/RUN/TABLE/DIGEST.parquet below the configured folder. A name says what is in
// the object, so that one that is there need not be written again, and a run in another process finds what the one before left.
const stageFolder = "kitamae/stage/"

// bucketHint is the one thing to do where the bucket refuses.
const bucketHint = "grant roles/storage.objectUser and roles/storage.legacyBucketReader on the bucket"

// folder takes spec.Bucket apart: the bucket's name and what stands before each object's.
func (s Spec) folder() (bucket, prefix string) {
	bucket, prefix, _ = strings.Cut(s.Bucket, "/")
	if prefix != "" {
		prefix += "/"
	}
	return bucket, prefix
}

// storage makes the client of Cloud Storage, once.
func (d *dest) storage(ctx context.Context) (*storage.Service, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.objects != nil {
		return d.objects, nil
	}
	opts, err := clientOptions(ctx, d.spec)
	if err != nil {
		return nil, err
	}
	if d.spec.Endpoint != "" {
		opts = append(opts, option.WithEndpoint(strings.TrimSuffix(d.spec.Endpoint, "/")+"/storage/v1/"))
	}
	// The client outlives the call that makes it.
	s, err := storage.NewService(context.WithoutCancel(ctx), opts...)
	if err != nil {
		return nil, fault.Wrap(fault.Config, "bigquery.credentials", "look at destination.bigquery and the credentials it names", err)
	}
	d.objects = s
	return s, nil
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// slug is text as a part of an object's name: readable, and a hash where that alone would not tell it from others.
func slug(text string) string {
	clean := notInName.ReplaceAllString(text, "_")
	const most = 80
	if clean == text && len(text) <= most {
		return text
	}
	return clean[:min(len(clean), most)] + "-" + safe(text)[:8]
}

// datasetFolder is where all that waits for this dataset lies.
func (d *dest) datasetFolder() string {
	_, prefix := d.spec.folder()
	return prefix + stageFolder + slug(place(d.spec)) + "/"
}

func (d *dest) runFolder(st *stage) string { return d.datasetFolder() + slug(st.Run) + "/" }

func (d *dest) tableFolder(st *stage) string { return d.runFolder(st) + slug(st.Plan.Name) + "/" }

// upload brings the cargo's files into the bucket, but for those that are there.
func (d *dest) upload(ctx context.Context, st *stage, c *cargo) error {
	bucket, _ := d.spec.folder()
	uris := make([]string, len(c.files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2) // for each of the tables that are published at once
	for i, f := range c.files {
		g.Go(func() (err error) {
			name := f.Object
			if name == "" {
				name, err = d.keep(ctx, st, f)
			}
			uris[i] = "gs://" + bucket + "/" + name
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	c.uris = uris
	return nil
}

// keep brings a file of the stage into the bucket, unless it is there, and returns the object's name.
func (d *dest) keep(ctx context.Context, st *stage, f shard) (string, error) {
	if err := d.sweep(ctx, st); err != nil {
		return "", err
	}
	// written down first: whoever gives the stage up knows that there may be objects to remove
	if err := os.WriteFile(st.marker(), nil, 0o600); err != nil {
		return "", spoolFault(err)
	}
	bucket, _ := d.spec.folder()
	name := d.tableFolder(st) + f.XXH3 + fileExt(f.Path)
	err := d.again(ctx, func() error {
		err := d.uploadFile(ctx, bucket, name, f)
		if code := status(err); code == http.StatusNotFound || code == http.StatusGone { // an upload that was forgotten in its middle
			err = d.uploadFile(ctx, bucket, name, f)
		}
		return err
	})
	return name, refused(err, fmt.Sprintf("upload table %s to gs://%s", st.Plan.Name, bucket), bucketHint)
}

// fileExt is a path's extension, two for what is compressed: BigQuery knows gzip by its content, people by the name.
func fileExt(path string) string {
	base := path[strings.LastIndexByte(path, '/')+1:]
	return base[strings.IndexByte(base, '.'):]
}

// lane waits until one more file may travel between this machine and the bucket. leave says that the file is there.
func (d *dest) lane(ctx context.Context) (service *storage.Service, leave func(), err error) {
	select {
	case d.lanes <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	leave = func() { <-d.lanes }
	if service, err = d.storage(ctx); err != nil {
		leave()
	}
	return service, leave, err
}

// uploadFile stores one file, unless it is there. What arrived is compared with what was spooled.
func (d *dest) uploadFile(ctx context.Context, bucket, name string, s shard) error {
	service, leave, err := d.lane(ctx)
	if err != nil {
		return err
	}
	defer leave()
	switch there, err := service.Objects.Get(bucket, name).Context(ctx).Do(); {
	case err == nil && there.Size == uint64(s.Bytes):
		return nil
	case err != nil && status(err) != http.StatusNotFound:
		return err
	}
	f, err := os.Open(s.Path)
	if err != nil {
		return spoolFault(err)
	}
	defer f.Close()
	sum, crc := xxh3.New(), crc32.New(crc32.MakeTable(crc32.Castagnoli))
	content := io.TeeReader(f, io.MultiWriter(sum, crc))
	stored, err := service.Objects.Insert(bucket, &storage.Object{Name: name, ContentType: "application/octet-stream"}).
		Media(content, googleapi.ChunkSize(d.chunkBytes())).Context(ctx).Do()
	if err != nil {
		return err
	}
	read := sum.Sum128().Bytes()
	arrived := fmt.Sprintf("%d bytes, %s", stored.Size, stored.Crc32c)
	if sent := fmt.Sprintf("%d bytes, %s", s.Bytes, crcText(crc.Sum32())); hex.EncodeToString(read[:]) != s.XXH3 || sent != arrived {
		gone := service.Objects.Delete(bucket, name).Context(ctx).Do()
		return errors.Join(fault.New(fault.Verification, "bigquery.upload", "run again; if it stays, look at this machine's disk",
			"%s is in the bucket other than it was spooled: %s, want %s", name, arrived, sent), gone)
	}
	return nil
}

// crcText is a checksum as Cloud Storage writes it.
func crcText(sum uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

// fetch makes sure that a staged file is on this machine: it brings one that is in the bucket, and compares it with what was written.
func (d *dest) fetch(ctx context.Context, f shard) error {
	if info, err := os.Stat(f.Path); err == nil && info.Size() == f.Bytes {
		return nil
	}
	bucket, _ := d.spec.folder()
	gone := fault.New(fault.Destination, "bigquery.stage_gone", stageHint, "the staged rows in %s are gone or were changed", cmp.Or(f.Object, f.Path))
	if f.Object == "" {
		return gone
	}
	err := d.again(ctx, func() error { return d.fetchFile(ctx, bucket, f) })
	if status(err) == http.StatusNotFound {
		return gone
	}
	return refused(err, "read gs://"+bucket+"/"+f.Object, bucketHint)
}

func (d *dest) fetchFile(ctx context.Context, bucket string, f shard) error {
	service, leave, err := d.lane(ctx)
	if err != nil {
		return err
	}
	defer leave()
	answer, err := service.Objects.Get(bucket, f.Object).Context(ctx).Download()
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return spoolFault(err)
	}
	file, err := os.CreateTemp(filepath.Dir(f.Path), "fetched-*.tmp")
	if err != nil {
		return spoolFault(err)
	}
	defer os.Remove(file.Name()) // where it was not renamed
	sum := xxh3.New()
	n, err := io.Copy(io.MultiWriter(onDisk{file}, sum), answer.Body)
	if err := errors.Join(err, spoolFault(file.Close())); err != nil {
		return err
	}
	if read := sum.Sum128().Bytes(); n != f.Bytes || hex.EncodeToString(read[:]) != f.XXH3 {
		return fault.New(fault.Verification, "bigquery.fetched", "run again; if it stays, look at who else writes into the bucket",
			"%s is %d bytes other than the %d that were written", f.Object, n, f.Bytes)
	}
	return spoolFault(os.Rename(file.Name(), f.Path))
}

// onDisk is a file whose faults are the disk's, not the network's.
type onDisk struct{ file *os.File }

func (w onDisk) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	return n, spoolFault(err)
}

// staleAfter is when a run that left objects behind is surely dead: one whose shards read for days has its rows here meanwhile.
const staleAfter = spoolDays * 24 * time.Hour

// sweep removes, once, what other runs left of this dataset long ago. What the latest dead run left is removed when its commit is
// taken up again or given up.
func (d *dest) sweep(ctx context.Context, st *stage) error {
	d.mu.Lock()
	swept := d.swept
	d.swept = true
	d.mu.Unlock()
	if swept {
		return nil
	}
	before, own := d.now().Add(-staleAfter), d.runFolder(st)
	return d.removeObjects(ctx, d.datasetFolder(), func(o *storage.Object) bool {
		stored, err := time.Parse(time.RFC3339, o.Updated)
		return err == nil && stored.Before(before) && !strings.HasPrefix(o.Name, own)
	})
}

// everything is for [dest.removeObjects].
func everything(*storage.Object) bool { return true }

// removeObjects removes what is in a folder and is one of those meant.
func (d *dest) removeObjects(ctx context.Context, folder string, meant func(*storage.Object) bool) error {
	objects, err := d.objectsIn(ctx, folder)
	if err != nil {
		return err
	}
	service, err := d.storage(ctx)
	if err != nil {
		return err
	}
	bucket, _ := d.spec.folder()
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, o := range objects {
		if !meant(o) {
			continue
		}
		g.Go(func() error {
			err := d.again(ctx, func() error { return service.Objects.Delete(bucket, o.Name).Context(ctx).Do() })
			if status(err) == http.StatusNotFound { // another process was faster
				return nil
			}
			return refused(err, "remove gs://"+bucket+"/"+o.Name, bucketHint)
		})
	}
	return g.Wait()
}

// objectsIn lists a folder.
func (d *dest) objectsIn(ctx context.Context, folder string) (objects []*storage.Object, err error) {
	service, err := d.storage(ctx)
	if err != nil {
		return nil, err
	}
	bucket, _ := d.spec.folder()
	err = d.again(ctx, func() error {
		objects = nil
		return service.Objects.List(bucket).Prefix(folder).Pages(ctx, func(page *storage.Objects) error {
			objects = append(objects, page.Items...)
			return nil
		})
	})
	return objects, refused(err, "list gs://"+path.Join(bucket, folder), bucketHint)
}
