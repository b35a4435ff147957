package bigquery

import (
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

// Large tables wait in a bucket as kitamae/stage/DATASET/RUN/TABLE/DIGEST.parquet below the configured folder. A name says what is in
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

func (d *dest) tableFolder(st *stage) string {
	return d.datasetFolder() + slug(st.Run) + "/" + slug(st.Plan.Name) + "/"
}

// upload brings the cargo's files into the bucket, but for those that are there.
func (d *dest) upload(ctx context.Context, st *stage, c *cargo) error {
	if err := d.sweep(ctx); err != nil {
		return err
	}
	// written down first: whoever gives the stage up knows that there may be objects to remove
	if err := os.WriteFile(st.marker(), nil, 0o600); err != nil {
		return spoolFault(err)
	}
	bucket, _ := d.spec.folder()
	uris := make([]string, len(c.files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2) // for each of the tables that are published at once
	for i, f := range c.files {
		name := d.tableFolder(st) + f.XXH3 + fileExt(f.Path)
		uris[i] = "gs://" + bucket + "/" + name
		g.Go(func() error {
			err := d.again(ctx, func() error {
				err := d.uploadFile(ctx, bucket, name, f)
				if code := status(err); code == http.StatusNotFound || code == http.StatusGone { // an upload that was forgotten in its middle
					err = d.uploadFile(ctx, bucket, name, f)
				}
				return err
			})
			return refused(err, fmt.Sprintf("upload table %s to gs://%s", st.Plan.Name, bucket), bucketHint)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	c.uris = uris
	return nil
}

// fileExt is a path's extension, two for what is compressed: BigQuery knows gzip by its content, people by the name.
func fileExt(path string) string {
	base := path[strings.LastIndexByte(path, '/')+1:]
	return base[strings.IndexByte(base, '.'):]
}

// uploadFile stores one file, unless it is there. What arrived is compared with what was spooled.
func (d *dest) uploadFile(ctx context.Context, bucket, name string, s shard) error {
	select {
	case d.lanes <- struct{}{}:
		defer func() { <-d.lanes }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	service, err := d.storage(ctx)
	if err != nil {
		return err
	}
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

// unpack removes what waited in the bucket. Its error is a line for the report and no more: the table is published or not whatever
// becomes of it, and a later run or the bucket's lifecycle rule removes it.
func (d *dest) unpack(ctx context.Context, st *stage, c *cargo) error {
	if c == nil || len(c.uris) == 0 {
		return nil
	}
	return d.removeObjects(context.WithoutCancel(ctx), d.tableFolder(st), time.Time{})
}

// staleAfter is when a run that left objects behind is surely dead: BigQuery ends a load job after six hours.
const staleAfter = 24 * time.Hour

// sweep removes, once, what runs of a day ago or earlier left of this dataset. What the latest dead run left is removed when its commit is
// taken up again or given up.
func (d *dest) sweep(ctx context.Context) error {
	d.mu.Lock()
	swept := d.swept
	d.swept = true
	d.mu.Unlock()
	if swept {
		return nil
	}
	return d.removeObjects(ctx, d.datasetFolder(), d.now().Add(-staleAfter))
}

// removeObjects removes what is in a folder, where before is set only what was stored before then.
func (d *dest) removeObjects(ctx context.Context, folder string, before time.Time) error {
	service, err := d.storage(ctx)
	if err != nil {
		return err
	}
	bucket, _ := d.spec.folder()
	var names []string
	err = d.again(ctx, func() error {
		names = nil
		return service.Objects.List(bucket).Prefix(folder).Pages(ctx, func(page *storage.Objects) error {
			for _, o := range page.Items {
				stored, err := time.Parse(time.RFC3339, o.Updated)
				if before.IsZero() || err == nil && stored.Before(before) {
					names = append(names, o.Name)
				}
			}
			return nil
		})
	})
	if err != nil {
		return refused(err, "list gs://"+path.Join(bucket, folder), bucketHint)
	}
	for _, name := range names {
		err := d.again(ctx, func() error { return service.Objects.Delete(bucket, name).Context(ctx).Do() })
		if err != nil && status(err) != http.StatusNotFound { // another process may have been faster
			return refused(err, "remove gs://"+bucket+"/"+name, bucketHint)
		}
	}
	return nil
}
