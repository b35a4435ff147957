package bigquery_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connectors/bigquery"
	"github.com/kitamae/kitamae/internal/servertest"
)

// machine is the place from a machine where nothing is spooled.
func (p *place) machine(t *testing.T) *place {
	t.Helper()
	other := *p
	other.env.Dir = t.TempDir()
	return &other
}

// span are rows with the numbers from, without to, at a day after 1970 each; extra gives them one column more, of JSON.
type span struct {
	from, to, day int
	extra         bool
}

func (s span) rows(t *testing.T) (*arrow.Schema, batch.Stream) {
	t.Helper()
	fields := []arrow.Field{
		batch.Field("id", arrow.PrimitiveTypes.Int64, false, "", "bigint", ""),
		batch.Field("at", &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, true, "", "timestamp", ""),
	}
	if s.extra {
		fields = append(fields, batch.Field("extra", arrow.BinaryTypes.String, true, batch.KindJSON, "json", ""))
	}
	schema := arrow.NewSchema(fields, nil)
	b, err := batch.NewBuilder(schema, &batch.Pool{}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	for i := s.from; i < s.to; i++ {
		b.Columns[0].Uint64(uint64(i))
		b.Columns[1].Uint64(uint64(int64(s.day)*86_400_000_000 + int64(i)))
		if s.extra {
			b.Columns[2].Value(fmt.Appendf(nil, `{"n":%d}`, i))
		}
	}
	rec, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rec.Release)
	return schema, batch.Of(rec)
}

// shares stages a run's people, each span by a machine of its own. A run of one span that is not shared is staged at p.
func (p *place) shares(t *testing.T, run string, req connector.PlanRequest, shared bool, spans ...span) connector.CommitRequest {
	t.Helper()
	dest := p.open(t)
	req.Name, req.Key = "people", []string{"id"}
	req.Schema, _ = spans[0].rows(t)
	if req.Mode == connector.Append || req.Mode == connector.Merge {
		req.Cursor = "id"
	}
	plan, err := dest.PlanTable(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	stage, err := dest.Stage(t.Context(), connector.StageRequest{Run: run, Epoch: 1, Plan: *plan, Shared: shared})
	if err != nil {
		t.Fatal(err)
	}
	table := connector.CommitTable{Stage: stage, Plan: *plan}
	for task, s := range spans {
		at := dest
		if shared {
			at = p.machine(t).open(t)
		}
		_, rows := s.rows(t)
		r, err := at.Write(t.Context(), stage, task, rows)
		if err != nil {
			t.Fatal(err)
		}
		if shared {
			if err := at.Close(); err != nil {
				t.Fatal(err)
			}
		}
		table.Receipts = append(table.Receipts, r)
		if req.Cursor != "" {
			table.Reached = fmt.Sprint(s.to)
		}
	}
	return connector.CommitRequest{Run: connector.RunRecord{ID: run, Started: time.Now().UTC(), Source: "test"}, Tables: []connector.CommitTable{table}}
}

// wantNoSpool wants nothing left of a shared stage on a machine whose destination is closed.
func (p *place) wantNoSpool(t *testing.T) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(p.env.Dir, ".kitamae", "spool", "*", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left on the disk: %q, %v", left, err)
	}
}

// TestSharedCommit publishes what two machines have staged from a third one, whose disk is empty: as it is, and where the commit has to look at the rows
// or to change them first.
func TestSharedCommit(t *testing.T) {
	address := servertest.GCS(t)
	daily := connector.Layout{Partition: "at", Unit: "day"}
	for _, tc := range []struct {
		name  string
		req   connector.PlanRequest
		spans []span
		rows  int
	}{
		{"as they are", connector.PlanRequest{Mode: connector.Replace}, []span{{0, 40, 1, false}, {40, 80, 1, false}}, 80},
		{"no rows", connector.PlanRequest{Mode: connector.Replace}, []span{{0, 0, 1, false}}, 0},
		{"as text", connector.PlanRequest{Mode: connector.Replace}, []span{{0, 40, 1, true}, {40, 80, 1, true}}, 80},
		{"in full", connector.PlanRequest{Mode: connector.Replace, Full: true, Rows: 80, Bytes: 800}, []span{{0, 40, 1, false}, {40, 80, 1, false}}, 80},
		{"partitions", connector.PlanRequest{Mode: connector.Overwrite, Layout: daily}, []span{{0, 40, 1, false}, {40, 80, 2, false}}, 80},
		{"keys twice", connector.PlanRequest{Mode: connector.Merge}, []span{{0, 40, 1, false}, {20, 80, 1, false}}, 80},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, nil)
			p.throughBucket(t, address)
			runs := []string{"20261129T010000Z-a", "20261129T020000Z-b"} // into a table that is not there, and into one that is
			if tc.req.Mode == connector.Replace {
				runs = runs[:1]
			}
			for n, run := range runs {
				req := p.shares(t, run, tc.req, true, tc.spans...)
				staged := p.front.Count("object", "")
				third := p.machine(t)
				dest := third.open(t)
				mustCommit(t, dest, req)
				if err := dest.Close(); err != nil {
					t.Fatal(err)
				}
				if tc.rows > 0 {
					p.wantOnce(t, tc.rows)
				} else {
					p.wantRows(t, "people", 0)
				}
				if left := p.waiting(t); len(left) > 0 {
					t.Errorf("left in the bucket: %q", left)
				}
				third.wantNoSpool(t)
				if more := p.front.Count("object", "") - staged; more != 0 { // it is small
					t.Errorf("run %d: %d objects were uploaded by who committed", n, more)
				}
			}
		})
	}
}

// TestSharedRecover kills the commit of a shared run, and takes it up on a machine that has nothing of it. Where somebody has removed the rows, they are
// read again.
func TestSharedRecover(t *testing.T) {
	address := servertest.GCS(t)
	for _, tc := range []struct {
		name, what string
		done       bool // before the process dies
		want       connector.Recovery
	}{
		{"before the load", "insert", false, connector.CommitAgain},
		{"after the load", "insert", true, connector.CommitAgain},
		{"before the label", "table", false, connector.CommitAgain},
		{"after the label", "table", true, connector.Done},
		{"nothing in the bucket", "insert", false, connector.ReadAgain},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var armed, dead atomic.Bool
			p := newPlace(t, func(c *call) string {
				switch {
				case !armed.Load():
					return ""
				case dead.Load():
					return cut
				case c.What == tc.what && c.Table == "people":
					dead.Store(true)
					if tc.done {
						return lost
					}
					return cut
				}
				return ""
			})
			p.throughBucket(t, address)
			req := p.shares(t, "20261129T010000Z-killed", connector.PlanRequest{Mode: connector.Replace}, true, span{0, 40, 1, true}, span{40, 80, 1, true})
			armed.Store(true)
			if out, err := p.machine(t).open(t).Commit(t.Context(), req); err == nil && out[0].Published {
				t.Fatal("the killed commit came to an end")
			}
			armed.Store(false)
			if tc.want == connector.ReadAgain {
				if err := p.machine(t).open(t).Abort(t.Context(), req.Tables[0].Stage); err != nil {
					t.Fatal(err)
				}
			}
			next := p.machine(t).open(t)
			found, err := next.Recover(t.Context(), req)
			if err != nil || found != tc.want {
				t.Fatalf("recovered as %q, %v; want %q", found, err, tc.want)
			}
			if found == connector.ReadAgain {
				return
			}
			mustCommit(t, next, req)
			p.wantOnce(t, 80)
			if left := p.waiting(t); len(left) > 0 {
				t.Errorf("left in the bucket: %q", left)
			}
		})
	}
}

// TestSharedChanged: rows that are in the bucket other than they were written are not loaded.
func TestSharedChanged(t *testing.T) {
	p := newPlace(t, nil)
	p.throughBucket(t, servertest.GCS(t))
	req := p.shares(t, "20261129T010000Z-changed", connector.PlanRequest{Mode: connector.Replace}, true, span{0, 40, 1, true})
	put(t, p.waiting(t)[0])
	dest := p.machine(t).open(t)
	for rec, err := range dest.ReadStaged(t.Context(), req.Tables[0].Stage, req.Tables[0].Receipts, nil) {
		if err == nil || !strings.Contains(err.Error(), "other than the") {
			t.Errorf("read back: %v, %v", rec, err)
		}
	}
	if out, err := dest.Commit(t.Context(), req); err != nil || out[0].Published || !strings.Contains(out[0].Why, "gone or were changed") {
		t.Errorf("commit = %+v, %v", out, err)
	}
}

// TestSharedSweep: what a run has staged for days stays until its own end.
func TestSharedSweep(t *testing.T) {
	p := newPlace(t, nil)
	p.throughBucket(t, servertest.GCS(t))
	req := p.shares(t, "20261129T010000Z-long", connector.PlanRequest{Mode: connector.Replace}, true, span{0, 40, 1, false})
	late := p.machine(t).open(t)
	bigquery.SetNow(late, func() time.Time { return time.Now().Add(30 * 24 * time.Hour) })
	_, rows := span{40, 80, 1, false}.rows(t)
	r, err := late.Write(t.Context(), req.Tables[0].Stage, 1, rows)
	if err != nil {
		t.Fatal(err)
	}
	req.Tables[0].Receipts = append(req.Tables[0].Receipts, r)
	mustCommit(t, late, req)
	p.wantOnce(t, 80)
}

// TestSpoolIsLeft: once a table is published, nothing of it stays in the spool.
func TestSpoolIsLeft(t *testing.T) {
	p := newPlace(t, nil)
	dest := p.open(t)
	mustCommit(t, dest, following(t, dest, "20261129T010000Z-spool", connector.Replace, 20))
	if err := dest.Close(); err != nil {
		t.Fatal(err)
	}
	p.wantNoSpool(t)
	if _, err := os.Stat(p.env.Dir); err != nil {
		t.Error(err)
	}
}
