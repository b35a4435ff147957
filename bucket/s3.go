package bucket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// markKey is the metadata that says which write made an object.
const markKey = "kitamae-write"

// s3Objects writes under S3's If-Match and If-None-Match; a version is an ETag.
type s3Objects struct {
	client         *s3.Client
	bucket, prefix string
}

func (o *s3Objects) read(ctx context.Context, key string) (value []byte, version string, err error) {
	out, err := o.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &o.bucket, Key: aws.String(o.prefix + key)})
	if err != nil {
		return nil, "", err
	}
	defer out.Body.Close()
	value, err = io.ReadAll(out.Body)
	return value, aws.ToString(out.ETag), err
}

func (o *s3Objects) writer(ctx context.Context, key string) (version, mark string, err error) {
	out, err := o.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &o.bucket, Key: aws.String(o.prefix + key)})
	if err != nil {
		return "", "", err
	}
	return aws.ToString(out.ETag), out.Metadata[markKey], nil
}

func (o *s3Objects) write(ctx context.Context, key string, value []byte, version, mark string) (next string, err error) {
	in := &s3.PutObjectInput{
		Bucket: &o.bucket, Key: aws.String(o.prefix + key), Body: bytes.NewReader(value),
		Metadata: map[string]string{markKey: mark},
	}
	if version == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &version
	}
	out, err := o.client.PutObject(ctx, in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.ETag), nil
}

func (o *s3Objects) missing(err error) bool { return s3Status(err) == http.StatusNotFound }

// conflict: 409 is a write at the very same time; 404 is If-Match where nothing is any more.
func (o *s3Objects) conflict(err error) bool {
	switch s3Status(err) {
	case http.StatusPreconditionFailed, http.StatusConflict, http.StatusNotFound:
		return true
	}
	return false
}

func deniedS3(err error) bool { return s3Status(err) == http.StatusForbidden }

func s3Status(err error) int {
	var re *awshttp.ResponseError
	if errors.As(err, &re) {
		return re.HTTPStatusCode()
	}
	return 0
}
