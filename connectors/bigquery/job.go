package bigquery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"strings"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/kitamae/kitamae/fault"
)

// load is one load job to be: the same load has the same job ID, whoever submits it, however often.
type load struct {
	table  string // the table, with $partition where one is overwritten
	id     string // without the attempt
	rows   int64  // that it must store
	labels map[string]string
	// config fills in all but the source, which is opened anew for each try; what it returns beside is closed after the request.
	config func(l *bq.LoadConfig)
	source func() (bq.LoadSource, io.Closer, error)
}

// jobID hashes what makes a load this one.
func jobID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return "kitamae_" + hex.EncodeToString(sum[:16])
}

// attemptID is a job's whole ID.
func attemptID(id string, attempt int) string { return fmt.Sprintf("%s_%d", id, attempt) }

// Tries of one step: a request that passes, and jobs that fail for reasons that pass.
const (
	mostTries    = 8
	mostAttempts = 5
)

// backoff is the wait before try n: half a second, doubled each time up to 32, less a random part so that tables of one run
// don't come back all at once.
func backoff(n int) time.Duration {
	most := min(500*time.Millisecond<<min(n-1, 6), 32*time.Second)
	return most/2 + rand.N(most/2)
}

func (d *dest) wait(ctx context.Context, n int) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d.pause(n)):
		return nil
	}
}

// again runs call until it succeeds or fails for good.
func (d *dest) again(ctx context.Context, call func() error) error {
	for n := 1; ; n++ {
		err := call()
		if err == nil || !passes(err) || n == mostTries {
			return err
		}
		if err := d.wait(ctx, n); err != nil {
			return err
		}
	}
}

// run submits the load and waits for its end. A job ID that ended in a failure can't be used again, so that each attempt has its own;
// within an attempt the ID makes sure that a request whose answer was lost loads nothing twice.
func (d *dest) run(ctx context.Context, l load) error {
	id, st, err := d.jobs(ctx, "load table "+l.table, l.table, l.id, func(id string) (*bq.Job, error) { return d.submit(ctx, l, id) })
	if err != nil {
		return err
	}
	return l.counted(id, st)
}

// jobs submits jobs, one attempt after the other, until one succeeds: its ID and how it ended.
func (d *dest) jobs(ctx context.Context, doing, table, base string, submit func(id string) (*bq.Job, error)) (string, *bq.JobStatus, error) {
	for attempt := 1; ; attempt++ {
		id := attemptID(base, attempt)
		st, err := d.attempt(ctx, func() (*bq.Job, error) { return submit(id) })
		if err != nil {
			return id, nil, classify(err, doing)
		}
		if st.Err() == nil {
			return id, st, nil
		}
		if !passes(st.Err()) || attempt == mostAttempts {
			return id, nil, failed(table, id, d.client.Location, d.spec.Project, st)
		}
		if err := d.wait(ctx, attempt); err != nil {
			return id, nil, err
		}
	}
}

// counted compares what the job says it stored.
func (l load) counted(id string, st *bq.JobStatus) error {
	stats, ok := st.Statistics.Details.(*bq.LoadStatistics)
	if !ok || stats.OutputRows == l.rows {
		return nil
	}
	return fault.New(fault.Verification, "bigquery.rows", "restore the table from its time travel, then run again",
		"table %s: job %s stored %d rows of %d", l.table, id, stats.OutputRows, l.rows)
}

// attempt submits one job, or finds it submitted, and waits for its end.
func (d *dest) attempt(ctx context.Context, submit func() (*bq.Job, error)) (*bq.JobStatus, error) {
	for n := 1; ; n++ {
		job, err := submit()
		var st *bq.JobStatus
		if err == nil {
			st, err = d.ended(ctx, job)
		}
		if err == nil {
			return st, nil
		}
		// A job that is not there after all was never accepted, nor one whose upload was forgotten: the same ID is free.
		if !passes(err) && status(err) != 404 && status(err) != 410 || n == mostTries {
			return nil, err
		}
		if err := d.wait(ctx, n); err != nil {
			return nil, err
		}
	}
}

func (d *dest) submit(ctx context.Context, l load, id string) (*bq.Job, error) {
	src, f, err := l.source()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	loader := d.ds.Table(l.table).LoaderFrom(src)
	loader.JobID, loader.Location, loader.Labels, loader.MediaOptions = id, d.client.Location, l.labels, d.mediaOptions()
	l.config(&loader.LoadConfig)
	job, err := loader.Run(ctx)
	if status(err) != 409 {
		return job, err
	}
	return d.attachAs(ctx, id, "the load of table "+l.table, func(config bq.JobConfig) bool {
		c, ok := config.(*bq.LoadConfig)
		return ok && c.Dst != nil && c.Dst.DatasetID == d.spec.Dataset && c.Dst.TableID == l.table && maps.Equal(c.Labels, l.labels)
	})
}

// attachAs finds a job that was submitted before under the same ID and checks that it is this one.
func (d *dest) attachAs(ctx context.Context, id, what string, same func(bq.JobConfig) bool) (*bq.Job, error) {
	job, err := d.client.JobFromIDLocation(ctx, id, d.client.Location)
	if err != nil {
		return nil, err
	}
	config, err := job.Config()
	if err != nil {
		return nil, err
	}
	if _, void := labelsOf(job)[voidLabel]; void {
		return nil, fault.New(fault.Destination, "bigquery.taken_over", "run again", "another run has taken over while this one was silent: %s never comes", what)
	}
	if !same(config) {
		return nil, fault.New(fault.Internal, "bigquery.foreign_job", "", "job %s is there already and is not %s", id, what)
	}
	return job, nil
}

// mostPoll bounds how long a finished job waits to be noticed.
const mostPoll = 5 * time.Second

// ended waits for the job's end. It asks soon at first: small loads take a second.
func (d *dest) ended(ctx context.Context, job *bq.Job) (*bq.JobStatus, error) {
	for every := 100 * time.Millisecond; ; every = min(every*3/2, mostPoll) {
		if st := job.LastStatus(); st != nil && st.Done() {
			return st, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(every):
		}
		if err := d.again(ctx, func() error { _, err := job.Status(ctx); return err }); err != nil {
			return nil, err
		}
	}
}
