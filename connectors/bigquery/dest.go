package bigquery

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	bq "cloud.google.com/go/bigquery"
	"cloud.google.com/go/compute/metadata"
	"github.com/apache/arrow-go/v18/arrow"
	api "google.golang.org/api/bigquery/v2"
	"google.golang.org/api/option"
	"google.golang.org/api/storage/v1"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/duck"
	"github.com/kitamae/kitamae/fault"
)

var (
	_ connector.Destination = (*dest)(nil)
	_ connector.Warehouse   = (*dest)(nil)
)

// dest publishes into one dataset.
type dest struct {
	spec  Spec
	env   connector.Env
	spool string // the folder that stages lie in
	own   string // a folder of the spool for this process alone: it goes with Close
	pool  *batch.Pool
	// pause is the wait before try n (from 1) of something that passed or will pass.
	pause func(n int) time.Duration
	now   func() time.Time
	// text is how NDJSON files are written, for tests that write them wrong.
	text func(c connector.ColumnPlan, arr arrow.Array) func(dst []byte, i int) []byte
	// direct is up to how many bytes of a table are uploaded with its load job where there is a bucket.
	direct int64
	lanes  chan struct{} // bounds how many uploads into the bucket go on at once
	// travel is up to how many bytes of partitions are read back in place of a MERGE.
	travel int64
	// onGoogle says whether this process runs inside Google's network, which bytes leave for nothing.
	onGoogle func(ctx context.Context) bool

	mu         sync.Mutex
	client     *bq.Client
	rest       *api.Service // for what client does not have
	ds         *bq.Dataset
	life       lifetime          // of what is made in the dataset
	names      map[string]string // the dataset's tables by folded name
	db         *duck.DB
	objects    *storage.Service
	bucketSeen bool       // load jobs can read the bucket
	swept      bool       // what dead runs left in the bucket is gone
	standings  *standings // what plans were made with, nil before the first
}

func newDest(spec Spec, env connector.Env) *dest {
	spool := filepath.Join(env.Dir, ".kitamae", "spool", spec.Project+"."+spec.Dataset)
	return &dest{
		spec: spec, env: env, pool: &batch.Pool{}, pause: backoff, now: time.Now, text: asBigQuery,
		spool: spool, own: filepath.Join(spool, "process-"+rand.Text()),
		direct: directBytes, lanes: make(chan struct{}, atOnce),
		travel: mostTravelling, onGoogle: metadata.OnGCEWithContext,
	}
}

// connect makes the client, once.
func (d *dest) connect(ctx context.Context) (*bq.Client, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.client != nil {
		return d.client, nil
	}
	opts, err := d.options(ctx)
	if err != nil {
		return nil, err
	}
	// The client outlives the call that makes it.
	c, err := bq.NewClient(context.WithoutCancel(ctx), d.spec.Project, opts...)
	if err != nil {
		return nil, fault.Wrap(fault.Config, "bigquery.credentials", "look at destination.bigquery and the credentials it names", err)
	}
	d.client = c
	return c, nil
}

func (d *dest) options(ctx context.Context) ([]option.ClientOption, error) {
	opts, err := clientOptions(ctx, d.spec)
	if err == nil && d.spec.Endpoint != "" {
		opts = append(opts, option.WithEndpoint(strings.TrimSuffix(d.spec.Endpoint, "/")+"/bigquery/v2/"))
	}
	return opts, err
}

// plain makes, once, the client that says all that BigQuery's API says.
func (d *dest) plain(ctx context.Context) (*api.Service, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rest != nil {
		return d.rest, nil
	}
	opts, err := d.options(ctx)
	if err == nil {
		d.rest, err = api.NewService(context.WithoutCancel(ctx), opts...)
	}
	return d.rest, err
}

// dataset finds the dataset's location, once: every job has to run there.
func (d *dest) dataset(ctx context.Context) (*bq.Dataset, error) {
	client, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ds != nil {
		return d.ds, nil
	}
	ds := client.Dataset(d.spec.Dataset)
	md, err := ds.Metadata(ctx)
	if status(err) == 404 {
		return nil, fault.Wrap(fault.Config, "bigquery.no_dataset", "make the dataset, or correct destination.bigquery.dataset", err)
	}
	if err != nil {
		return nil, classify(err, "look at dataset "+place(d.spec))
	}
	if d.spec.Location != "" && !strings.EqualFold(d.spec.Location, md.Location) {
		return nil, fault.New(fault.Config, "bigquery.location", "set destination.bigquery.location to "+md.Location+", or leave it out",
			"the dataset %s is in %s", place(d.spec), md.Location)
	}
	client.Location = md.Location
	d.ds, d.life = ds, lifetimeOf(md)
	return ds, nil
}

// minDuckBytes is the least DuckDB gets.
const minDuckBytes = 64 << 20

// engine is the one DuckDB of the destination, started when the first file is written.
func (d *dest) engine(ctx context.Context) (*duck.DB, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.db == nil {
		db, err := duck.Open(ctx, duck.Options{MemoryBytes: d.duckBytes(), Threads: 1, TempDir: filepath.Join(d.own, "engine")})
		if err != nil {
			return nil, fault.Wrap(fault.Destination, "bigquery.spool", "", err)
		}
		d.db = db
	}
	return d.db, nil
}

func (d *dest) duckBytes() int64 {
	if d.env.MemoryBytes == 0 {
		return 0
	}
	return max(d.env.MemoryBytes, minDuckBytes)
}

// Close lets go of the client and the engine. What is spooled stays, but for copies of what is in the bucket.
func (d *dest) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	if d.client != nil {
		errs = append(errs, d.client.Close())
		d.client, d.ds = nil, nil
	}
	if d.db != nil {
		errs = append(errs, d.db.Close())
		d.db = nil
	}
	errs = append(errs, spoolFault(os.RemoveAll(d.own)))
	return errors.Join(errs...)
}
