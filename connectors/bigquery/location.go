package bigquery

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/api/storage/v1"

	"github.com/kitamae/kitamae/fault"
)

// pairs are the dual-regions that have names of their own; others say which regions they are.
var pairs = map[string][]string{
	"ASIA1": {"ASIA-NORTHEAST1", "ASIA-NORTHEAST2"},
	"EUR4":  {"EUROPE-NORTH1", "EUROPE-WEST4"},
	"EUR5":  {"EUROPE-WEST1", "EUROPE-WEST2"},
	"EUR7":  {"EUROPE-WEST2", "EUROPE-WEST3"},
	"EUR8":  {"EUROPE-WEST3", "EUROPE-WEST6"},
	"NAM4":  {"US-CENTRAL1", "US-EAST1"},
}

// reaches says whether a load job of a dataset in location may read the bucket. Datasets in the US multi-region read from
// anywhere, those in the EU from all of Europe, others from buckets that are, also or only, in their region.
func reaches(location string, b *storage.Bucket) bool {
	location, at := strings.ToUpper(location), strings.ToUpper(b.Location)
	regions := append([]string{at}, pairs[at]...)
	if b.CustomPlacementConfig != nil {
		for _, r := range b.CustomPlacementConfig.DataLocations {
			regions = append(regions, strings.ToUpper(r))
		}
	}
	switch location {
	case "US":
		return true
	case "EU":
		return slices.ContainsFunc(regions, func(r string) bool { return strings.HasPrefix(r, "EU") })
	}
	return slices.Contains(regions, location)
}

// bucketFits looks, once, whether load jobs can read the configured bucket: a job that can't would fail after everything was read and
// uploaded. Where the account may not look at the bucket itself, the first job will tell.
func (d *dest) bucketFits(ctx context.Context) error {
	if d.spec.Bucket == "" {
		return nil
	}
	d.mu.Lock()
	looked := d.bucketSeen
	d.mu.Unlock()
	if looked {
		return nil
	}
	if _, err := d.dataset(ctx); err != nil {
		return err
	}
	_, err := d.lookAtBucket(ctx, d.client.Location)
	if status(err) == http.StatusForbidden {
		err = nil
	}
	if err != nil {
		bucket, _ := d.spec.folder()
		return refused(err, "look at gs://"+bucket, "make the bucket in "+d.client.Location+", or correct destination.bigquery.bucket")
	}
	d.mu.Lock()
	d.bucketSeen = true
	d.mu.Unlock()
	return nil
}

// lookAtBucket returns where the bucket is, with a fault where load jobs of the dataset can't read from there.
func (d *dest) lookAtBucket(ctx context.Context, dataset string) (location string, err error) {
	service, err := d.storage(ctx)
	if err != nil {
		return "", err
	}
	bucket, _ := d.spec.folder()
	var b *storage.Bucket
	err = d.again(ctx, func() (err error) {
		b, err = service.Buckets.Get(bucket).Context(ctx).Do()
		return err
	})
	if err != nil {
		return "", err
	}
	if !reaches(dataset, b) {
		return b.Location, fault.New(fault.Config, "bigquery.bucket_location", "make a bucket in "+dataset+" and name that one",
			"the bucket gs://%s is in %s and the dataset %s in %s: load jobs read from their own location only", bucket, b.Location, place(d.spec), dataset)
	}
	return b.Location, nil
}
