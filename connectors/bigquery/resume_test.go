package bigquery_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"github.com/apache/arrow-go/v18/arrow"
	"google.golang.org/api/iterator"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connectors/bigquery"
	"github.com/kitamae/kitamae/internal/servertest"
)

// noise is a table that no compression makes small: about 35 bytes a row.
func noise(t *testing.T, rows int) (*arrow.Schema, batch.Stream) {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{batch.Field("noise", arrow.BinaryTypes.String, true, "", "text", "")}, nil)
	b, err := batch.NewBuilder(schema, &batch.Pool{}, 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	for i := range rows {
		b.Columns[0].Value(fmt.Appendf(nil, "%x", sha256.Sum256(fmt.Append(nil, i))))
	}
	rec, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rec.Release)
	return schema, batch.Of(rec)
}

// noisy stages the table noise of about four chunks.
func (p *place) noisy(t *testing.T, run string, rows int) (connector.Destination, connector.CommitRequest) {
	t.Helper()
	p.env.MemoryBytes = 8 << 20 // the least chunk there is, 256 KiB
	dest, err := bigquery.Connector.Dest.Open(t.Context(), &p.spec, p.env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dest.Close() })
	schema, stream := noise(t, rows)
	plan, err := dest.PlanTable(t.Context(), connector.PlanRequest{Name: "noise", Schema: schema, Mode: connector.Replace})
	if err != nil {
		t.Fatal(err)
	}
	stage, err := dest.Stage(t.Context(), connector.StageRequest{Run: run, Epoch: 1, Plan: *plan})
	if err != nil {
		t.Fatal(err)
	}
	r, err := dest.Write(t.Context(), stage, 0, stream)
	if err != nil {
		t.Fatal(err)
	}
	if r.Bytes < 3*256<<10 {
		t.Fatalf("the file has %d bytes, too few for several chunks", r.Bytes)
	}
	return dest, connector.CommitRequest{
		Run:    connector.RunRecord{ID: run, Started: time.Now().UTC(), Source: "test"},
		Tables: []connector.CommitTable{{Stage: stage, Plan: *plan, Receipts: []connector.Receipt{r}}},
	}
}

// jobsOf counts the jobs that loaded a table of the place.
func (p *place) jobsOf(t *testing.T, table string) (n int) {
	t.Helper()
	for it := p.client.Jobs(t.Context()); ; {
		job, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		config, err := job.Config()
		if err != nil {
			t.Fatal(err)
		}
		if l, ok := config.(*bq.LoadConfig); ok && l.Dst.DatasetID == p.spec.Dataset && l.Dst.TableID == table {
			n++
		}
	}
}

// TestResumable uploads a table in several chunks, directly with its job and through the bucket, through a front that does harm in
// the middle: one job loads every row once. Where Google's library can go on with an upload, it is not begun again.
func TestResumable(t *testing.T) {
	const rows = 30_000
	address := servertest.GCS(t)
	for _, tc := range []struct {
		name, what, fault string
		final             bool // the last chunk is hurt, and not the second
		resumed           bool
	}{
		{"unhurt", "", "", false, true},
		{"beginning refused by 503", "begin", "503 backendError", false, true},
		{"beginning cut off", "begin", cut, false, false},
		{"begun, answer lost", "begin", lost, false, false},
		{"chunk refused by 503", "chunk", "503 backendError", false, true},
		{"chunk refused by 429", "chunk", "429 rateLimitExceeded", false, true},
		{"chunk cut off", "chunk", cut, false, false},
		{"chunk cut off in the middle", "chunk", half, false, false},
		{"chunk arrived, answer lost", "chunk", lost, false, false},
		{"upload forgotten", "chunk", "404 notFound", false, false},
		{"upload gone", "chunk", "410 gone", false, false},
		{"last chunk refused by 503", "chunk", "503 backendError", true, true},
		{"last chunk arrived, answer lost", "chunk", lost, true, false},
	} {
		for _, through := range []string{"", "object"} { // what begins an upload into the bucket, and its chunks
			t.Run(tc.name+" "+through, func(t *testing.T) {
				t.Parallel()
				what := map[string]string{"begin": "insert", "chunk": "chunk"}[tc.what]
				if through != "" {
					what = map[string]string{"begin": "object", "chunk": "objectchunk"}[tc.what]
				}
				hurt := 0
				p := newPlace(t, func(c *call) string {
					if hurt == 0 && c.What == what && what != "" && (tc.what == "begin" || tc.final == c.Final && (tc.final || c.N == 2)) {
						hurt++
						return tc.fault
					}
					return ""
				})
				p.throughBucket(t, address)
				dest, req := p.noisy(t, "20261129T010000Z-noise", rows)
				begins := "insert"
				if through != "" {
					begins = "object"
					bigquery.SetDirect(dest, 0)
				}
				out, err := dest.Commit(t.Context(), req)
				if err != nil || !out[0].Published {
					t.Fatalf("commit = %+v, %v; want it published", out, err)
				}
				if hurt == 0 && tc.fault != "" {
					t.Error("nothing was hurt")
				}
				p.wantCount(t, "noise", rows)
				if n := p.jobsOf(t, "noise"); n != 1 {
					t.Errorf("%d jobs loaded the table", n)
				}
				if left := p.waiting(t); len(left) > 0 {
					t.Errorf("left in the bucket: %q", left)
				}
				table := "noise"
				if through != "" {
					table = ""
				}
				// an object whose answer was lost is found where it should be
				once := tc.resumed || through != "" && tc.final
				if n := p.front.Count(begins, table); tc.what == "chunk" && (n == 1) != once {
					t.Errorf("the upload was begun %d times", n)
				}
			})
		}
	}
}
