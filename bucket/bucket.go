// Package bucket opens folders in object stores by their address, s3://bucket/prefix or gs://bucket/prefix, and
// writes there under a condition. What is kept in them is the callers' matter.
package bucket

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
	"gocloud.dev/gcerrors"

	"github.com/kitamae/kitamae/fault"
)

// Bucket is a folder of an object store. Its keys begin below the folder.
type Bucket struct {
	*blob.Bucket
	address string
	cond    conditional
}

// conditional is what gocloud.dev/blob has no word for: objects with versions.
type conditional interface {
	// read returns an object with its version, errors as the store's client makes them.
	read(ctx context.Context, key string) (value []byte, version string, err error)
	// writer returns an object's version and the mark of who wrote it.
	writer(ctx context.Context, key string) (version, mark string, err error)
	// write stores an object if the stored version still is version, "" for none.
	write(ctx context.Context, key string, value []byte, version, mark string) (next string, err error)
	// missing and conflict tell what an error means.
	missing(err error) bool
	conflict(err error) bool
}

// Is says whether an address is one that [Open] understands, by its scheme.
func Is(address string) bool {
	return strings.HasPrefix(address, "s3://") || strings.HasPrefix(address, "gs://")
}

// Check says what is wrong with an address, in words for a config's author, or nil.
func Check(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("not an address such as s3://bucket/folder")
	case !Is(address):
		return fmt.Errorf("%s:// is no object store kitamae knows: s3://bucket/folder or gs://bucket/folder", u.Scheme)
	case u.Host == "" || u.User != nil || u.Port() != "":
		return errors.New("names no bucket: write s3://bucket/folder or gs://bucket/folder")
	case u.Scheme == "gs":
		_, _, err := gcsParameters(u)
		return err
	}
	return nil
}

// Open opens the folder at address. It reaches the network only where credentials need it. Credentials and region come from where
// the provider's own tools find them: environment, profile, the task's or machine's role. A gs:// address may say after ? who asks Google, as
// `auth` of a config does: federation, impersonate, auth (default or none); and an endpoint. Parameters after ? of an s3:// address are those of
// gocloud.dev/blob/s3blob, as in ?endpoint=http://minio:9000; with an endpoint of its own the bucket's name goes into the path.
func Open(ctx context.Context, address string) (*Bucket, error) {
	if err := Check(address); err != nil {
		return nil, fault.New(fault.Config, "bucket.address", "write s3://bucket/folder or gs://bucket/folder", "%s: %v", address, err)
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, err // Check has seen it
	}
	b := &Bucket{address: u.Scheme + "://" + u.Host + strings.TrimSuffix(u.Path, "/")}
	prefix := strings.Trim(u.Path, "/")
	if prefix != "" {
		prefix += "/"
	}
	if u.Scheme == "s3" {
		err = b.openS3(ctx, u, prefix)
	} else {
		err = b.openGCS(ctx, u, prefix)
	}
	if err != nil {
		return nil, fault.Wrap(fault.Config, "bucket.credentials", "check the address and the credentials of this machine or role", fmt.Errorf("open %s: %w", b.address, err))
	}
	if prefix != "" {
		b.Bucket = blob.PrefixedBucket(b.Bucket, prefix)
	}
	return b, nil
}

func (b *Bucket) openS3(ctx context.Context, u *url.URL, prefix string) error {
	q := u.Query()
	own := q.Get("endpoint")
	for _, name := range []string{"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"} {
		if own == "" {
			own = os.Getenv(name)
		}
	}
	if own != "" && q.Get("use_path_style") == "" {
		q.Set("use_path_style", "true") // a server of one's own has no name per bucket
	}
	opened, err := new(s3blob.URLOpener).OpenBucketURL(ctx, &url.URL{Scheme: u.Scheme, Host: u.Host, RawQuery: q.Encode()})
	if err != nil {
		return err
	}
	b.Bucket = opened
	c := &s3Objects{bucket: u.Host, prefix: prefix}
	opened.As(&c.client)
	b.cond = c
	return nil
}

// Address is the folder's address without parameters.
func (b *Bucket) Address() string { return b.address }

// Read returns an object with its version; nil and "" when there is none.
func (b *Bucket) Read(ctx context.Context, key string) (value []byte, version string, err error) {
	value, version, err = b.cond.read(ctx, key)
	if err != nil && b.cond.missing(err) {
		return nil, "", nil
	}
	return value, version, b.Classify(err)
}

// Write stores an object whole if the stored version still is version, "" for none, and returns the new one; else it
// returns [fault.ErrConflict]. An answer may be lost, and the client below may repeat the request and so meet a conflict with our own
// object: the mark in its metadata shows what became of a request that ended in an error.
func (b *Bucket) Write(ctx context.Context, key string, value []byte, version string) (next string, err error) {
	mark := rand.Text()
	if next, err = b.cond.write(ctx, key, value, version, mark); err == nil {
		return next, nil
	}
	if now, theirs, readErr := b.cond.writer(ctx, key); readErr == nil && theirs == mark {
		return now, nil
	}
	if b.cond.conflict(err) {
		return "", fmt.Errorf("%s/%s: %w", b.address, key, fault.ErrConflict)
	}
	return "", b.Classify(err)
}

// Classify makes a fault of an error of the store's that a person has to act on.
func (b *Bucket) Classify(err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", b.address, err)
	switch {
	case b.cond.missing(err):
		return fault.Wrap(fault.Config, "bucket.missing", "make the bucket, or mend its name in the config", err)
	case denied(err):
		return fault.Wrap(fault.Config, "bucket.denied", "allow this machine or role to list, read, write and delete objects there", err)
	}
	return err
}

func denied(err error) bool {
	return gcerrors.Code(err) == gcerrors.PermissionDenied || deniedS3(err) || deniedGCS(err)
}
