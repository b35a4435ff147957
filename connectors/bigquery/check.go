package bigquery

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/storage/v1"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/googleauth"
)

var _ connector.Checker = (*dest)(nil)

// Check logs in, looks at the dataset, asks by dry runs whether jobs and tables may be made, and writes, reads and removes an
// object of the bucket. Nothing of it is billed.
func (d *dest) Check(ctx context.Context) []connector.Check {
	checks := []connector.Check{d.checkCredentials(ctx)}
	if checks[0].Fault != nil {
		return checks // each of the others would only say it again
	}
	dataset, location := d.checkDataset(ctx)
	checks = append(checks, dataset, d.checkDryRun(ctx, "jobs", location, "SELECT 1",
		"grant roles/bigquery.jobUser on the project"))
	if (dataset.Fault == nil || dataset.Advice) && d.spec.Endpoint == "" { // an emulator may take a dry run for the real one
		checks = append(checks, d.checkDryRun(ctx, "tables", location, fmt.Sprintf("CREATE TABLE `%s.%s._kitamae_doctor` (x INT64)", d.spec.Project, d.spec.Dataset),
			"grant roles/bigquery.dataEditor on the dataset"))
	}
	if d.spec.Bucket != "" {
		checks = append(checks, d.checkBucket(ctx, location))
	}
	return checks
}

func (d *dest) checkCredentials(ctx context.Context) connector.Check {
	c := connector.Check{Link: "credentials"}
	if d.spec.Auth.Use == googleauth.UseNone || d.spec.Endpoint != "" && d.spec.Auth == (googleauth.Spec{}) {
		c.Found = "none, for " + d.spec.Endpoint
		return c
	}
	creds, err := googleauth.Credentials(ctx, d.spec.Auth, scopes()...)
	if err == nil {
		_, err = creds.Token(ctx)
	}
	c.Fault = err
	switch {
	case d.spec.Auth.Federation != "":
		c.Found = "this machine's AWS role was traded for a token of Google's"
	default:
		c.Found = "a token was granted"
	}
	if d.spec.Auth.Impersonate != "" {
		c.Found += ", as " + d.spec.Auth.Impersonate
	}
	return c
}

// askWithin bounds one question: Google's library asks again and again where nobody answers.
const askWithin = 20 * time.Second

// checkDataset also returns the dataset's location.
func (d *dest) checkDataset(ctx context.Context) (c connector.Check, location string) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	c.Link = "dataset"
	client, err := d.connect(ctx)
	if err != nil {
		c.Fault = err
		return c, ""
	}
	meta, err := client.Dataset(d.spec.Dataset).Metadata(ctx)
	if err != nil {
		c.Fault = refused(err, "look at dataset "+place(d.spec),
			"make it, and let this account at it: `kitamae init --gcp` prints how")
		return c, d.spec.Location
	}
	c.Found = fmt.Sprintf("%s in %s", place(d.spec), meta.Location)
	if d.spec.Location != "" && !strings.EqualFold(d.spec.Location, meta.Location) {
		c.Fault = fault.New(fault.Config, "bigquery.location", "set destination.bigquery.location: "+meta.Location+", or leave it out",
			"dataset %s is in %s, not in %s", place(d.spec), meta.Location, d.spec.Location)
	}
	if c.Fault == nil {
		c.Fault = lifetimeOf(meta).fault(d.spec)
		c.Advice = c.Fault != nil
	}
	return c, meta.Location
}

func (d *dest) checkDryRun(ctx context.Context, link, location, sql, hint string) connector.Check {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	c := connector.Check{Link: link, Found: "a dry run was granted"}
	client, err := d.connect(ctx)
	if err != nil {
		c.Fault = err
		return c
	}
	q := client.Query(sql)
	q.DryRun, q.Location = true, location
	if _, err := q.Run(ctx); err != nil {
		c.Fault = refused(err, "a dry run in "+d.spec.Project, hint)
	}
	return c
}

// checkBucket looks where the bucket is and tries what loads through it do.
func (d *dest) checkBucket(ctx context.Context, location string) connector.Check {
	ctx, cancel := context.WithTimeout(ctx, 3*askWithin)
	defer cancel()
	bucket, prefix := d.spec.folder()
	at := "gs://" + bucket
	c := connector.Check{Link: "bucket"}
	service, err := d.storage(ctx)
	if err != nil {
		c.Fault = err
		return c
	}
	where, err := d.lookAtBucket(ctx, location)
	if err != nil {
		c.Fault = refused(err, "look at "+at, bucketHint)
		return c
	}
	c.Found = fmt.Sprintf("%s in %s: an object was written, read and removed", at, where)
	var b [4]byte
	rand.Read(b[:]) //nolint:errcheck // crypto/rand.Read never fails
	name, text := prefix+stageFolder+"doctor-"+hex.EncodeToString(b[:]), []byte("kitamae doctor wrote this; it can go\n")
	if _, err := service.Objects.Insert(bucket, &storage.Object{Name: name}).Media(bytes.NewReader(text)).Context(ctx).Do(); err != nil {
		c.Fault = refused(err, "write into "+at, bucketHint)
		return c
	}
	resp, err := service.Objects.Get(bucket, name).Context(ctx).Download()
	if err == nil {
		var got []byte
		got, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && !bytes.Equal(got, text) {
			err = errors.New("another text came back")
		}
	}
	removed := service.Objects.Delete(bucket, name).Context(ctx).Do()
	c.Fault = errors.Join(refused(err, "read from "+at, bucketHint), refused(removed, "remove from "+at, bucketHint))
	return c
}

// refused makes a fault of what Google answered to one of the checks. hint says what to do when it was a matter of rights.
func refused(err error, doing, hint string) error {
	var known *fault.Error
	if err == nil || errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	var answer *googleapi.Error
	if !errors.As(err, &answer) {
		return fault.Again(fault.Wrap(fault.Destination, "bigquery.unreachable", "allow HTTPS to googleapis.com from here", fmt.Errorf("%s: %w", doing, err)))
	}
	said := fmt.Errorf("%s: %s", doing, answer.Message)
	switch {
	case answer.Code == http.StatusNotFound:
		return fault.Wrap(fault.Config, "bigquery.missing", hint, said)
	case answer.Code == http.StatusForbidden && strings.Contains(answer.Message, "has not been used in project"):
		return fault.Wrap(fault.Destination, "bigquery.api_disabled", "gcloud services enable bigquery.googleapis.com storage.googleapis.com", said)
	case answer.Code == http.StatusForbidden, answer.Code == http.StatusUnauthorized:
		return fault.Wrap(fault.Destination, "bigquery.denied", hint, said)
	}
	return fault.Wrap(fault.Destination, "bigquery.check", "read what Google says", said)
}
