package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"cloud.google.com/go/storage"
	"gocloud.dev/blob/gcsblob"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"github.com/kitamae/kitamae/googleauth"
)

// gcsParameters reads what a gs:// address says after its question mark.
func gcsParameters(u *url.URL) (who googleauth.Spec, endpoint string, err error) {
	query, err := url.ParseQuery(u.RawQuery) // u.Query would leave out what it does not understand
	if err != nil {
		return who, "", fmt.Errorf("what follows the question mark: %w", err)
	}
	for name, values := range query {
		if len(values) != 1 || values[0] == "" {
			return who, "", fmt.Errorf("%s wants one value, which is not empty", name)
		}
		switch name {
		case "endpoint":
			endpoint = values[0]
		case "auth":
			who.Use = values[0]
		case "federation":
			who.Federation = values[0]
		case "impersonate":
			who.Impersonate = values[0]
		default:
			return who, "", fmt.Errorf("a gs:// address has no parameter %s, only federation, impersonate, auth and endpoint", name)
		}
	}
	if who.Use != "" && who.Use != googleauth.UseDefault && who.Use != googleauth.UseNone {
		return who, "", fmt.Errorf("auth is default or none, not %q", who.Use)
	}
	who.CheckConf(func(key, format string, args ...any) {
		if err == nil {
			err = fmt.Errorf("%s %s", key, fmt.Sprintf(format, args...))
		}
	})
	return who, endpoint, err
}

// openGCS logs in as the BigQuery destination does: on AWS the machine's role is traded for Google's tokens.
func (b *Bucket) openGCS(ctx context.Context, u *url.URL, prefix string) error {
	who, endpoint, err := gcsParameters(u)
	if err != nil {
		return err
	}
	options, err := googleauth.Options(ctx, who, endpoint+os.Getenv("STORAGE_EMULATOR_HOST") != "", storage.ScopeReadWrite)
	if err != nil {
		return err
	}
	if endpoint != "" {
		options = append(options, option.WithEndpoint(strings.TrimSuffix(endpoint, "/")+"/storage/v1/"))
	}
	client, err := storage.NewClient(ctx, options...)
	if err != nil {
		return err
	}
	opened, err := gcsblob.OpenBucket(ctx, nil, u.Host, &gcsblob.Options{Client: client})
	if err != nil {
		return err
	}
	b.Bucket = opened
	b.cond = &gcsObjects{client: client, bucket: u.Host, prefix: prefix}
	return nil
}

// gcsObjects writes under GCS's preconditions; a version is a generation.
type gcsObjects struct {
	client         *storage.Client
	bucket, prefix string
}

func (o *gcsObjects) read(ctx context.Context, key string) (value []byte, version string, err error) {
	r, err := o.client.Bucket(o.bucket).Object(o.prefix + key).NewReader(ctx)
	if err != nil {
		return nil, "", err
	}
	defer r.Close()
	value, err = io.ReadAll(r)
	return value, strconv.FormatInt(r.Attrs.Generation, 10), err
}

func (o *gcsObjects) writer(ctx context.Context, key string) (version, mark string, err error) {
	a, err := o.client.Bucket(o.bucket).Object(o.prefix + key).Attrs(ctx)
	if err != nil {
		return "", "", err
	}
	return strconv.FormatInt(a.Generation, 10), a.Metadata[markKey], nil
}

func (o *gcsObjects) write(ctx context.Context, key string, value []byte, version, mark string) (next string, err error) {
	cond := storage.Conditions{DoesNotExist: version == ""}
	if version != "" {
		if cond.GenerationMatch, err = strconv.ParseInt(version, 10, 64); err != nil {
			return "", err
		}
	}
	w := o.client.Bucket(o.bucket).Object(o.prefix + key).If(cond).NewWriter(ctx)
	w.ChunkSize = 0 // one request: values are small
	w.ContentType = "application/octet-stream"
	w.Metadata = map[string]string{markKey: mark}
	if _, err = w.Write(value); err != nil {
		return "", errors.Join(err, w.Close())
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return strconv.FormatInt(w.Attrs().Generation, 10), nil
}

func (o *gcsObjects) missing(err error) bool {
	return errors.Is(err, storage.ErrObjectNotExist) || errors.Is(err, storage.ErrBucketNotExist) || gcsStatus(err) == http.StatusNotFound
}

func (o *gcsObjects) conflict(err error) bool {
	return gcsStatus(err) == http.StatusPreconditionFailed || gcsStatus(err) == http.StatusNotFound
}

func deniedGCS(err error) bool {
	return gcsStatus(err) == http.StatusForbidden || gcsStatus(err) == http.StatusUnauthorized
}

func gcsStatus(err error) int {
	var ge *googleapi.Error
	if errors.As(err, &ge) {
		return ge.Code
	}
	return 0
}
