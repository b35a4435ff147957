package conform

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/digest"
)

// journey is one run's way through a destination. Whatever crosses the boundary goes through JSON, as it does in a real run.
type journey struct {
	t    *testing.T
	ctx  context.Context
	s    Suite
	cfg  Config
	dest connector.Destination
	run  string
}

// place is a destination's place over several runs.
type place struct {
	t    *testing.T
	s    Suite
	cfg  Config
	runs int
}

func newPlace(t *testing.T, s Suite) *place {
	t.Helper()
	return &place{t: t, s: s, cfg: s.Config(t)}
}

// begin opens the destination for a new run.
func (p *place) begin() *journey {
	p.t.Helper()
	p.runs++
	j := &journey{t: p.t, ctx: contextFor(p.t), s: p.s, cfg: p.cfg, run: fmt.Sprintf("20260801T0%d0000Z-conform", p.runs)}
	j.open()
	return j
}

func (j *journey) open() {
	j.t.Helper()
	dest, err := j.s.Connector.Dest.Open(j.ctx, j.cfg.Spec, j.cfg.Env)
	if err != nil {
		j.t.Fatalf("open: %v", err)
	}
	j.dest = dest
	j.t.Cleanup(func() { j.close() })
}

// close ends the run's use of the destination; a second call does nothing.
func (j *journey) close() {
	j.t.Helper()
	if j.dest == nil {
		return
	}
	if err := j.dest.Close(); err != nil {
		j.t.Errorf("close: %v", err)
	}
	j.dest = nil
}

// staged is one table on its way.
type staged struct {
	table    table
	plan     connector.TablePlan
	stage    connector.Stage
	epoch    int
	shared   bool
	receipts []connector.Receipt
	reached  string // of a cursor
}

func (j *journey) plan(tb table) connector.TablePlan {
	j.t.Helper()
	return j.planMode(tb, connector.Replace)
}

func (j *journey) planMode(tb table, mode connector.Mode) connector.TablePlan {
	j.t.Helper()
	plan, err := j.dest.PlanTable(j.ctx, connector.PlanRequest{
		Name: tb.name, Comment: tb.comment, Schema: tb.schema, Key: tb.key, Mode: mode, Layout: tb.layout,
	})
	if err != nil {
		j.t.Fatalf("plan %q: %v", tb.name, err)
	}
	checkPlan(j.t, tb, plan, mode)
	return throughJSON(j.t, *plan)
}

// checkPlan wants a plan to speak of the request's columns, in their order, each under a name of its own.
func checkPlan(t *testing.T, tb table, plan *connector.TablePlan, mode connector.Mode) {
	t.Helper()
	if len(plan.Columns) != tb.schema.NumFields() {
		t.Fatalf("plan %q has %d columns, the request %d", tb.name, len(plan.Columns), tb.schema.NumFields())
	}
	if plan.Name == "" || plan.Mode != mode {
		t.Errorf("plan %q is for %q in mode %q", tb.name, plan.Name, plan.Mode)
	}
	names := map[string]bool{}
	for i, c := range plan.Columns {
		f := tb.schema.Field(i)
		if c.From != f.Name || c.Name == "" || names[c.Name] {
			t.Errorf("plan %q: column %d is %q from %q, want a name of its own from %q", tb.name, i+1, c.Name, c.From, f.Name)
		}
		names[c.Name] = true
		if c.Native == "" {
			t.Errorf("plan %q: column %q has no native type", tb.name, c.Name)
		}
		if f.Nullable && !c.Nullable {
			t.Errorf("plan %q: column %q loses its nulls", tb.name, c.Name)
		}
		if c.Comment != batch.Meta(f, batch.CommentKey) {
			t.Errorf("plan %q: column %q has comment %q, want %q", tb.name, c.Name, c.Comment, batch.Meta(f, batch.CommentKey))
		}
		if !arrow.TypeEqual(c.Type.DataType, f.Type) && c.Type.ID() != arrow.STRING && c.Note == "" && c.Type.ID() != arrow.LIST {
			t.Errorf("plan %q: column %q becomes %s from %s without a note", tb.name, c.Name, c.Type, f.Type)
		}
	}
}

// stage plans and stages a table.
func (j *journey) stage(tb table, epoch int) *staged {
	j.t.Helper()
	return j.place(&staged{table: tb, plan: j.plan(tb), epoch: epoch})
}

// stageMode is stage for another mode than replace.
func (j *journey) stageMode(tb table, mode connector.Mode) *staged {
	j.t.Helper()
	return j.place(&staged{table: tb, plan: j.planMode(tb, mode), epoch: 1})
}

func (j *journey) place(st *staged) *staged {
	j.t.Helper()
	tb, epoch := st.table, st.epoch
	stage, err := j.dest.Stage(j.ctx, connector.StageRequest{Run: j.run, Epoch: epoch, Plan: st.plan, Shared: st.shared})
	if err != nil {
		j.t.Fatalf("stage %q: %v", tb.name, err)
	}
	st.stage = throughJSON(j.t, stage)
	return st
}

// stream is rows as Write gets them: in the plan's schema.
func (st *staged) stream(from, to, perBatch int) batch.Stream {
	return batch.Convert(st.table.stream(from, to, perBatch), st.plan.Schema())
}

// write writes one task and wants its receipt to say so. A receipt of the same task is replaced.
func (j *journey) write(st *staged, task, from, to, perBatch int) {
	j.t.Helper()
	r, err := j.dest.Write(j.ctx, st.stage, task, st.stream(from, to, perBatch))
	if err != nil {
		j.t.Fatalf("write %q task %d: %v", st.table.name, task, err)
	}
	st.keep(j.t, r, task, int64(to-from))
}

// keep files a receipt. It goes through JSON, as the run's does.
func (st *staged) keep(t *testing.T, r connector.Receipt, task int, rows int64) {
	t.Helper()
	if r.Task != task || r.Epoch != st.epoch || r.Rows != rows {
		t.Errorf("receipt is of task %d, epoch %d, %d rows; want task %d, epoch %d, %d rows", r.Task, r.Epoch, r.Rows, task, st.epoch, rows)
	}
	st.receipts = slices.DeleteFunc(st.receipts, func(old connector.Receipt) bool { return old.Task == task })
	st.receipts = append(st.receipts, throughJSON(t, r))
}

// wantStaged compares what ReadStaged returns with rows made anew.
func (j *journey) wantStaged(st *staged, want batch.Stream) {
	j.t.Helper()
	schema := st.plan.Schema()
	wanted := digestOf(j.t, schema, want)
	got := digestOf(j.t, schema, j.dest.ReadStaged(j.ctx, st.stage, st.receipts, nil))
	for _, diff := range digest.Compare(wanted, got) {
		j.t.Errorf("staged %q: %s", st.table.name, diff)
	}
}

func digestOf(t *testing.T, schema *arrow.Schema, rows batch.Stream) digest.Digest {
	t.Helper()
	acc := digest.New(schema, digest.Full)
	for rec, err := range rows {
		if err == nil {
			err = acc.Add(rec)
		}
		if err == nil {
			err = sameNames(schema, rec.Schema())
		}
		if err != nil {
			t.Fatalf("read rows: %v", err)
		}
	}
	return acc.Digest()
}

func sameNames(want, got *arrow.Schema) error {
	for i, f := range want.Fields() {
		if name := got.Field(i).Name; name != f.Name {
			return fmt.Errorf("column %d is called %q, want %q", i+1, name, f.Name)
		}
	}
	return nil
}

func (j *journey) request(tables ...*staged) connector.CommitRequest {
	req := connector.CommitRequest{Run: connector.RunRecord{
		ID: j.run, Started: time.Date(2026, 8, 1, 5, 0, 0, 0, time.UTC), Version: "conform", Source: "conform",
	}}
	for _, st := range tables {
		var rows int64
		for _, r := range st.receipts {
			rows += r.Rows
		}
		req.Tables = append(req.Tables, connector.CommitTable{
			Stage: st.stage, Plan: st.plan, Receipts: st.receipts, Reached: st.reached,
			Evidence: connector.Evidence{
				Run: j.run, Table: st.plan.Name, Source: st.table.name, Rows: rows, SourceRows: rows, Guarantee: connector.Database,
				ReadFrom: req.Run.Started, ReadTo: req.Run.Started.Add(time.Minute), Level: string(digest.Full), Notes: []string{"conform's"},
			},
		})
	}
	return req
}

// commit publishes and wants every table to be.
func (j *journey) commit(tables ...*staged) {
	j.t.Helper()
	outcomes, err := j.dest.Commit(j.ctx, j.request(tables...))
	if err != nil {
		j.t.Fatalf("commit: %v", err)
	}
	if len(outcomes) != len(tables) {
		j.t.Fatalf("commit of %d tables has %d outcomes", len(tables), len(outcomes))
	}
	for i, o := range outcomes {
		if !o.Published {
			j.t.Fatalf("table %q was not published: %s", tables[i].table.name, o.Why)
		}
	}
}

// wantPublished compares what readers see with rows made anew.
func (j *journey) wantPublished(st *staged, want batch.Stream) {
	j.t.Helper()
	rows, ok := j.cfg.Published(j.t, st.plan.Name)
	if !ok {
		j.t.Fatalf("table %q is not published", st.plan.Name)
	}
	gotNames, got := rowsOf(j.t, rows, st.plan.Schema())
	_, wanted := rowsOf(j.t, want, st.plan.Schema())
	if len(got) > 0 {
		for i, c := range st.plan.Columns {
			if i >= len(gotNames) || gotNames[i] != c.Name {
				j.t.Fatalf("published columns of %q are %q, want the plan's (%q in place %d)", st.plan.Name, gotNames, c.Name, i+1)
			}
		}
	}
	slices.Sort(got)
	slices.Sort(wanted)
	if slices.Equal(got, wanted) {
		return
	}
	j.t.Errorf("published %q: %d rows, want %d%s", st.plan.Name, len(got), len(wanted), firstDifference(st, got, wanted))
}

// firstDifference names the first value that differs between sorted rows.
func firstDifference(st *staged, got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] == want[i] {
			continue
		}
		g, w := strings.Split(got[i], string(rune(separator))), strings.Split(want[i], string(rune(separator)))
		for k := range min(len(g), len(w), len(st.plan.Columns)) {
			if g[k] != w[k] {
				return fmt.Sprintf("; column %s of row %.20q holds %.120q, want %.120q", st.plan.Columns[k].Name, w[0], g[k], w[k])
			}
		}
	}
	return ""
}

// wantAbsent wants readers not to see the table at all.
func (j *journey) wantAbsent(name, when string) {
	j.t.Helper()
	if _, ok := j.cfg.Published(j.t, name); ok {
		j.t.Errorf("table %q is visible %s", name, when)
	}
}

// publish takes one table all the way in one task.
func (p *place) publish(tb table, rows int) *staged {
	p.t.Helper()
	j := p.begin()
	st := j.stage(tb, 1)
	j.write(st, 0, 0, rows, 100)
	j.commit(st)
	j.close()
	j.wantPublished(st, st.stream(0, rows, 1000))
	return st
}

// throughJSON is v written and read back: what a run stores between two steps.
func throughJSON[T any](t *testing.T, v T) T {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("%T does not marshal: %v", v, err)
	}
	var back T
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatalf("%T does not unmarshal: %v", v, err)
	}
	return back
}
