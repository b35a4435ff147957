package bigquery_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connectors/bigquery"
	"github.com/kitamae/kitamae/internal/bqfront"
	"github.com/kitamae/kitamae/internal/servertest"
)

// open is another process's destination.
func (p *place) open(t *testing.T) connector.Destination {
	t.Helper()
	dest, err := bigquery.Connector.Dest.Open(t.Context(), &p.spec, p.env)
	if err != nil {
		t.Fatal(err)
	}
	bigquery.Hurry(dest)
	t.Cleanup(func() { _ = dest.Close() })
	return dest
}

// following stages the people after those that the plan says are there, up to, without, to; of a merge all of them.
func following(t *testing.T, dest connector.Destination, run string, mode connector.Mode, to int) connector.CommitRequest {
	t.Helper()
	schema, _ := people(t, 0, 0)
	plan, err := dest.PlanTable(t.Context(), connector.PlanRequest{Name: "people", Schema: schema, Key: []string{"id"}, Mode: mode, Cursor: "id"})
	if err != nil {
		t.Fatal(err)
	}
	from := 0
	if plan.Reached != "" && mode == connector.Append {
		if _, err := fmt.Sscan(plan.Reached, &from); err != nil {
			t.Fatal(err)
		}
	}
	stage, err := dest.Stage(t.Context(), connector.StageRequest{Run: run, Epoch: 1, Plan: *plan})
	if err != nil {
		t.Fatal(err)
	}
	_, rows := people(t, from, to)
	r, err := dest.Write(t.Context(), stage, 0, rows)
	if err != nil {
		t.Fatal(err)
	}
	return connector.CommitRequest{
		Run:    connector.RunRecord{ID: run, Started: time.Now().UTC(), Source: "test"},
		Tables: []connector.CommitTable{{Stage: stage, Plan: *plan, Receipts: []connector.Receipt{r}, Reached: fmt.Sprint(to)}},
	}
}

func mustCommit(t *testing.T, dest connector.Destination, req connector.CommitRequest) {
	t.Helper()
	out, err := dest.Commit(t.Context(), req)
	if err != nil || !out[0].Published {
		t.Fatalf("commit of %s = %+v, %v", req.Run.ID, out, err)
	}
}

// wantOnce wants the people 0 up to n, each once.
func (p *place) wantOnce(t *testing.T, n int) {
	t.Helper()
	it, err := p.client.Query(fmt.Sprintf("SELECT count(*), count(DISTINCT id), min(id), max(id) FROM `%s.%s.people`", project, p.spec.Dataset)).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var row []bq.Value
	if err := it.Next(&row); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(row), fmt.Sprintf("[%d %d 0 %d]", n, n, n-1); got != want {
		t.Errorf("rows, distinct ones, least, greatest: %s, want %s", got, want)
	}
}

// TestKilledAnywhere kills a commit at each of its steps, before the step is done and after it. The next process finishes it, from the spool or
// without: then the run after it reads on from where the table stands. No row is missing, none is there twice.
func TestKilledAnywhere(t *testing.T) {
	for i, tc := range []struct {
		mode  connector.Mode
		what  string
		table string
		n     int
	}{
		{connector.Append, "table", "_kitamae_state", 1},
		{connector.Append, "insert", "people", 1},
		{connector.Append, "status", "", 1},
		{connector.Append, "table", "people", 1},
		{connector.Append, "table", "_kitamae_state", 2},
		{connector.Append, "insert", "_kitamae_runs", 1},
		{connector.Merge, "table", "_kitamae_delta_", 1},
		{connector.Merge, "insert", "_kitamae_delta_", 1},
		{connector.Merge, "query", "", 1}, // the dry run
		{connector.Merge, "query", "", 2}, // the MERGE
	} {
		for _, done := range []bool{false, true} {
			spool := done == (i%2 == 0) // each step with and without it: all four ways of each would take minutes
			t.Run(fmt.Sprintf("%s at %s %s %d, done %v, spool %v", tc.mode, tc.what, tc.table, tc.n, done, spool), func(t *testing.T) {
				t.Parallel()
				killedAt(t, tc.mode, tc.what, tc.table, tc.n, done, spool)
			})
		}
	}
}

func killedAt(t *testing.T, mode connector.Mode, what, table string, n int, done, spool bool) {
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	var armed, dying, dead atomic.Bool
	seen := 0
	p := newPlace(t, func(c *call) string {
		if !armed.Load() {
			return ""
		}
		if dead.Load() || dying.Load() {
			dead.Store(true)
			kill()
			return cut
		}
		if c.What != what || !strings.HasPrefix(c.Table, table) {
			return ""
		}
		seen++
		if seen != n {
			return ""
		}
		if done {
			dying.Store(true)
			return lost
		}
		dead.Store(true)
		kill()
		return cut
	})
	first := p.open(t)
	mustCommit(t, first, following(t, first, "20261129T010000Z-first", mode, 20))

	second := p.open(t)
	req := following(t, second, "20261129T020000Z-second", mode, 40)
	armed.Store(true)
	if out, err := second.Commit(ctx, req); !dead.Load() {
		t.Fatalf("nothing was killed: %+v, %v", out, err)
	}
	armed.Store(false)
	if !spool {
		if err := os.RemoveAll(filepath.Join(p.env.Dir, ".kitamae")); err != nil {
			t.Fatal(err)
		}
	}
	third := p.open(t)
	found, err := third.Recover(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if spool && found == connector.ReadAgain {
		t.Error("the spool is there, and the rows are to be read again")
	}
	if found == connector.CommitAgain {
		mustCommit(t, third, req)
	}
	if found != connector.ReadAgain {
		p.wantOnce(t, 40)
	}
	mustCommit(t, third, following(t, third, "20261129T030000Z-third", mode, 60))
	p.wantOnce(t, 60)
	schema, _ := people(t, 0, 0)
	plan, err := p.open(t).PlanTable(t.Context(), connector.PlanRequest{Name: "people", Schema: schema, Key: []string{"id"}, Mode: mode})
	if err != nil || plan.Reached != "60" {
		t.Errorf("the cursor stands at %q, %v", plan.Reached, err)
	}
}

// TestTakenOver holds that rows of a process that is taken for dead never come, once another has gone on without it.
func TestTakenOver(t *testing.T) {
	p := newPlace(t, nil)
	first := p.open(t)
	mustCommit(t, first, following(t, first, "20261129T010000Z-first", connector.Append, 20))

	uploading, goOn := make(chan struct{}), make(chan struct{})
	slow := *p
	slow.front = bqfront.New(t, servertest.BigQuery(t), func(c *call) string {
		if c.What == "insert" && c.Table == "people" && c.N == 1 {
			close(uploading)
			<-goOn
		}
		return ""
	})
	slow.spec.Endpoint = slow.front.URL
	asleep := slow.open(t)
	old := following(t, asleep, "20261129T020000Z-asleep", connector.Append, 40)
	type end struct {
		out []connector.Outcome
		err error
	}
	ended := make(chan end)
	go func() {
		out, err := asleep.Commit(t.Context(), old)
		ended <- end{out, err}
	}()
	<-uploading
	awake := p.open(t)
	mustCommit(t, awake, following(t, awake, "20261129T030000Z-awake", connector.Append, 30))
	p.wantOnce(t, 30)
	close(goOn)
	if e := <-ended; e.err != nil || e.out[0].Published || !strings.Contains(e.out[0].Why, "another run has taken over") {
		t.Errorf("the one that was asleep: %+v, %v", e.out, e.err)
	}
	p.wantOnce(t, 30)

	// and a run that was planned before another added rows leaves the table as it is
	late := p.open(t)
	stale := following(t, late, "20261129T040000Z-stale", connector.Append, 50)
	quick := p.open(t)
	mustCommit(t, quick, following(t, quick, "20261129T050000Z-quick", connector.Append, 45))
	if out, err := late.Commit(t.Context(), stale); err != nil || out[0].Published || !strings.Contains(out[0].Why, "another run has added to it") {
		t.Errorf("the one that was planned before: %+v, %v", out, err)
	}
	p.wantOnce(t, 45)
}

// TestFirstOfTwo: two runs plan a table that is not there; the second one's rows would be the first one's again.
func TestFirstOfTwo(t *testing.T) {
	p := newPlace(t, nil)
	a, b := p.open(t), p.open(t)
	first := following(t, a, "20261129T010000Z-a", connector.Append, 20)
	second := following(t, b, "20261129T020000Z-b", connector.Append, 20)
	mustCommit(t, a, first)
	if out, err := b.Commit(t.Context(), second); err != nil || out[0].Published || !strings.Contains(out[0].Why, "another run has added to it") {
		t.Errorf("the second: %+v, %v", out, err)
	}
	p.wantOnce(t, 20)
	mustCommit(t, a, first) // asked for again, it is still the first one's
	p.wantOnce(t, 20)
}

// TestMadeAnew: of a table that somebody dropped and made again no cursor is known.
func TestMadeAnew(t *testing.T) {
	p := newPlace(t, nil)
	dest := p.open(t)
	mustCommit(t, dest, following(t, dest, "20261129T010000Z-first", connector.Append, 20))
	table := p.client.Dataset(p.spec.Dataset).Table("people")
	md := p.metadata(t, "people")
	if err := table.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := table.Create(t.Context(), &bq.TableMetadata{Schema: md.Schema}); err != nil {
		t.Fatal(err)
	}
	schema, _ := people(t, 0, 0)
	plan, err := p.open(t).PlanTable(t.Context(), connector.PlanRequest{Name: "people", Schema: schema, Mode: connector.Append})
	if err != nil || plan.Reached != "" {
		t.Errorf("the cursor of the new table stands at %q, %v", plan.Reached, err)
	}
}
