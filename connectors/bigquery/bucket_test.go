package bigquery_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"google.golang.org/api/iterator"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connectors/bigquery"
	"github.com/kitamae/kitamae/internal/servertest"
)

// throughBucket makes the place's tables wait in a folder of the bucket that servertest.GCS has made.
func (p *place) throughBucket(t *testing.T, address string) {
	t.Helper()
	p.front.Bucket(os.Getenv("STORAGE_EMULATOR_HOST"))
	p.spec.Bucket = address + "/" + p.spec.Dataset
}

// waiting are the objects below the place's folder.
func (p *place) waiting(t *testing.T) (names []string) {
	t.Helper()
	client, err := storage.NewClient(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for it := client.Bucket("lake").Objects(t.Context(), &storage.Query{Prefix: p.spec.Dataset + "/"}); ; {
		o, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, o.Name)
	}
}

// put stores an object.
func put(t *testing.T, name string) {
	t.Helper()
	client, err := storage.NewClient(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	w := client.Bucket("lake").Object(name).NewWriter(t.Context())
	if _, err := w.Write([]byte("left")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// parts stages one table of as many tasks, each of rows rows.
func (p *place) parts(t *testing.T, run, name string, tasks, rows int) (connector.Destination, connector.CommitRequest) {
	t.Helper()
	dest, req := p.staged(t, run, rows, name)
	bigquery.SetDirect(dest, 0)
	table := &req.Tables[0]
	for task := 1; task < tasks; task++ {
		_, stream := people(t, task*rows, (task+1)*rows)
		r, err := dest.Write(t.Context(), table.Stage, task, stream)
		if err != nil {
			t.Fatal(err)
		}
		table.Receipts = append(table.Receipts, r)
	}
	return dest, req
}

// TestBucket publishes a table of three files through the bucket by one job, unhurt and with harm done to each kind of
// request: every row is there once, and nothing is left in the bucket.
func TestBucket(t *testing.T) {
	address := servertest.GCS(t)
	for _, tc := range []struct{ name, what, fault string }{
		{"unhurt", "none", ""},
		{"upload refused by 503", "object", "503 backendError"},
		{"upload refused by 429", "object", "429 rateLimitExceeded"},
		{"upload cut off", "object", cut},
		{"upload done, answer lost", "object", lost},
		{"insert refused by 503", "insert", "503 backendError"},
		{"insert cut off", "insert", cut},
		{"insert done, answer lost", "insert", lost},
		{"insert done twice", "insert", twice},
		{"status lost", "status", lost},
		{"removal refused by 503", "remove", "503 backendError"},
		{"removal done, answer lost", "remove", lost},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			hurt := 0
			p := newPlace(t, func(c *call) string {
				if c.What == tc.what && c.N == 1 {
					hurt++
					return tc.fault
				}
				return ""
			})
			p.throughBucket(t, address)
			dest, req := p.parts(t, "20261129T010000Z-bucket", "people", 3, 40)
			out, err := dest.Commit(t.Context(), req)
			if err != nil || !out[0].Published || len(out[0].Notes) > 0 {
				t.Fatalf("commit = %+v, %v; want it published", out, err)
			}
			if hurt == 0 && tc.fault != "" {
				t.Error("nothing was hurt")
			}
			p.wantRows(t, "people", 120)
			if left := p.waiting(t); len(left) > 0 {
				t.Errorf("left in the bucket: %q", left)
			}
			if n := p.front.Count("object", ""); tc.fault == "" && n != 3 {
				t.Errorf("%d objects for 3 files", n)
			}
			if n := p.front.Count("insert", "people"); tc.fault == "" && n != 1 {
				t.Errorf("%d load jobs for 3 files", n)
			}
		})
	}
}

// TestBucketKilled: what a killed process left in the bucket is not uploaded again by the one that takes its commit up, and is removed
// after the load; or removed where the stage is given up.
func TestBucketKilled(t *testing.T) {
	address := servertest.GCS(t)
	for _, end := range []string{"taken up", "given up", "given up elsewhere"} {
		t.Run(end, func(t *testing.T) {
			ctx, kill := context.WithCancel(t.Context())
			defer kill()
			var dead atomic.Bool // its requests no longer arrive
			dead.Store(true)
			p := newPlace(t, func(c *call) string {
				if c.What == "insert" && dead.Load() {
					kill()
				}
				if dead.Load() && ctx.Err() != nil {
					return cut
				}
				return ""
			})
			p.throughBucket(t, address)
			dest, req := p.parts(t, "20261129T010000Z-killed", "people", 2, 40)
			bigquery.Hurry(dest)
			if _, err := dest.Commit(ctx, req); err == nil {
				t.Fatal("the killed commit came to an end")
			}
			if n := len(p.waiting(t)); n != 2 {
				t.Fatalf("%d objects wait for the job, want 2", n)
			}
			dead.Store(false)
			uploads := p.front.Count("object", "")
			other, err := bigquery.Connector.Dest.Open(t.Context(), &p.spec, p.env)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			bigquery.SetDirect(other, 0)
			if end == "taken up" {
				if out, err := other.Commit(t.Context(), req); err != nil || !out[0].Published {
					t.Fatalf("commit = %+v, %v", out, err)
				}
				p.wantRows(t, "people", 80)
				if n := p.front.Count("object", ""); n != uploads {
					t.Errorf("%d objects were uploaded again", n-uploads)
				}
			} else {
				if end == "given up elsewhere" { // where the spool is not
					if err := os.RemoveAll(p.env.Dir + "/.kitamae"); err != nil {
						t.Fatal(err)
					}
				}
				if err := other.Abort(t.Context(), req.Tables[0].Stage); err != nil {
					t.Fatal(err)
				}
			}
			if left := p.waiting(t); len(left) > 0 {
				t.Errorf("left in the bucket: %q", left)
			}
		})
	}
}

// TestBucketSweep removes what runs of this dataset left a week ago and nothing else.
func TestBucketSweep(t *testing.T) {
	address := servertest.GCS(t)
	p := newPlace(t, nil)
	p.throughBucket(t, address)
	mine := p.spec.Dataset + "/kitamae/stage/" + project + "." + p.spec.Dataset + "/20261101T010000Z-dead/people/x.parquet"
	others := p.spec.Dataset + "/kitamae/stage/other.data/20261101T010000Z-dead/people/x.parquet"
	put(t, mine)
	put(t, others)
	dest, req := p.parts(t, "20261129T010000Z-sweep", "people", 2, 40)
	bigquery.SetNow(dest, func() time.Time { return time.Now().Add((7*24 - 1) * time.Hour) })
	if out, err := dest.Commit(t.Context(), req); err != nil || !out[0].Published {
		t.Fatalf("commit = %+v, %v", out, err)
	}
	if left := p.waiting(t); !slices.Contains(left, mine) {
		t.Errorf("what may belong to a run that lives was removed: %q", left)
	}
	dest, req = p.parts(t, "20261129T020000Z-sweep", "people", 2, 40)
	bigquery.SetNow(dest, func() time.Time { return time.Now().Add((7*24 + 1) * time.Hour) })
	if out, err := dest.Commit(t.Context(), req); err != nil || !out[0].Published {
		t.Fatalf("commit = %+v, %v", out, err)
	}
	if left := p.waiting(t); len(left) != 1 || left[0] != others {
		t.Errorf("in the bucket: %q, want the other dataset's alone", left)
	}
}

// TestBucketRemains: a table is published though its objects can't be removed, and the report says what is left.
func TestBucketRemains(t *testing.T) {
	address := servertest.GCS(t)
	p := newPlace(t, func(c *call) string {
		if c.What == "remove" {
			return "403 forbidden"
		}
		return ""
	})
	p.throughBucket(t, address)
	dest, req := p.parts(t, "20261129T010000Z-remains", "people", 2, 40)
	out, err := dest.Commit(t.Context(), req)
	if err != nil || !out[0].Published || !strings.Contains(fmt.Sprint(out[0].Notes), "still there") {
		t.Fatalf("commit = %+v, %v; want it published, with a note", out, err)
	}
	p.wantRows(t, "people", 80)
}

// TestSmallIsDirect: a small table needs no bucket, though there is one.
func TestSmallIsDirect(t *testing.T) {
	address := servertest.GCS(t)
	p := newPlace(t, nil)
	p.throughBucket(t, address)
	dest, req := p.parts(t, "20261129T010000Z-small", "people", 2, 40)
	bigquery.SetDirect(dest, 64<<20)
	if out, err := dest.Commit(t.Context(), req); err != nil || !out[0].Published {
		t.Fatalf("commit = %+v, %v", out, err)
	}
	p.wantRows(t, "people", 80)
	if n := p.front.Count("object", ""); n != 0 {
		t.Errorf("%d objects for a table of two small files", n)
	}
}
