package conform

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// testAppend adds rows to a table in runs of their own: those that are there stay, a commit asked for again adds
// nothing, and where the cursor stands is shown with them.
func testAppend(t *testing.T, p *place) {
	if !p.s.Connector.Caps.Append {
		return
	}
	tb := people("grown", 0)
	var last *staged
	for i, reached := range []string{"29", "49", ""} {
		j := p.begin()
		st := j.stageMode(tb, connector.Append)
		if want := []string{"", "29", "49"}[i]; st.plan.Reached != want {
			t.Errorf("run %d: the cursor stands at %q, want %q", i+1, st.plan.Reached, want)
		}
		from, to := []int{0, 30, 50}[i], []int{30, 50, 50}[i]
		if from < to {
			j.write(st, 0, from, to, 7)
		}
		st.reached = reached
		j.commit(st)
		j.commit(st)
		j.close()
		j.open() // another process asks for it again
		j.commit(st)
		if got, err := j.dest.Recover(j.ctx, j.request(st)); err != nil || got != connector.Done {
			t.Errorf("recover after an append = %q, %v; want %q", got, err, connector.Done)
		}
		j.close()
		j.wantPublished(st, st.stream(0, to, 1000))
		last = st
	}
	if last.plan.Rows != 50 && last.plan.Rows != -1 {
		t.Errorf("the plan says %d rows are there, want 50 or -1 for unknown", last.plan.Rows)
	}
	again := p.publish(people("grown", 1), 10) // replaced: only these
	if again.plan.Reached != "" {
		t.Errorf("the cursor stands at %q after a commit without one", again.plan.Reached)
	}
}

// testAppendAborted adds rows and thinks better of it.
func testAppendAborted(t *testing.T, p *place) {
	if !p.s.Connector.Caps.Append {
		return
	}
	first := p.publish(people("stays", 0), 30)
	j := p.begin()
	st := j.stageMode(people("stays", 0), connector.Append)
	j.write(st, 0, 30, 50, 20)
	j.wantPublished(first, first.stream(0, 30, 30))
	if err := j.dest.Abort(j.ctx, st.stage); err != nil {
		t.Fatal(err)
	}
	j.close()
	j.wantPublished(first, first.stream(0, 30, 30))
}

// testAppendColumns changes the columns between two appends: a new one is null in the old rows, one that no longer comes in
// the new ones; one whose type has become another is refused, or widened where the destination can.
func testAppendColumns(t *testing.T, p *place) {
	if !p.s.Connector.Caps.Append {
		return
	}
	id := batch.Field("id", arrow.PrimitiveTypes.Int64, false, "", "bigint", "")
	a := batch.Field("a", arrow.PrimitiveTypes.Int32, true, "", "int", "")
	b := batch.Field("b", arrow.BinaryTypes.String, true, "", "text", "")
	made := func(fields ...arrow.Field) table {
		return table{name: "columns", schema: arrow.NewSchema(fields, nil), fill: func(cols []*batch.Column, row int) {
			for i, f := range fields {
				switch f.Name {
				case "id":
					cols[i].Uint64(uint64(row))
				case "a":
					if f.Type.ID() == arrow.INT64 {
						cols[i].Uint64(uint64(row) << 40)
					} else {
						cols[i].Uint32(uint32(row))
					}
				default:
					cols[i].Value([]byte("b"))
				}
			}
		}}
	}
	p.publish(made(id, a), 5)
	j := p.begin()
	if _, err := j.dest.PlanTable(j.ctx, connector.PlanRequest{Name: "columns", Mode: connector.Append, Schema: made(b, id).schema}); err != nil {
		if f := fault.From(err); f.Kind != fault.Config || f.Hint == "" {
			t.Errorf("other columns are refused with %v (%+v), want a fault of the config with a hint", err, f)
		}
		return // its files can't differ
	}
	st := j.stageMode(made(b, id), connector.Append)
	if len(st.plan.Changes) != 2 {
		t.Errorf("changes %q, want a column new and one that no longer comes", st.plan.Changes)
	}
	j.write(st, 0, 5, 8, 3)
	j.commit(st)
	j.close()
	rows, ok := j.cfg.Published(t, st.plan.Name)
	if !ok {
		t.Fatal("the table is gone")
	}
	var n, nullA, nullB int64
	for rec, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		n += rec.NumRows()
		has := map[string]int64{}
		for i, f := range rec.Schema().Fields() {
			has[f.Name] = rec.NumRows() - int64(rec.Column(i).NullN())
		}
		nullA, nullB = nullA+rec.NumRows()-has["a"], nullB+rec.NumRows()-has["b"]
	}
	if n != 8 || nullA != 3 || nullB != 5 {
		t.Errorf("%d rows, a null in %d, b in %d; want 8, 3 and 5", n, nullA, nullB)
	}
	j = p.begin()
	_, err := j.dest.PlanTable(j.ctx, connector.PlanRequest{
		Name: "columns", Mode: connector.Append,
		Schema: made(id, batch.Field("b", arrow.FixedWidthTypes.Date32, true, "", "date", "")).schema,
	})
	if err == nil {
		t.Error("a text that became a date may be appended")
	}
}

// testMerge puts rows in the place of those with the same key.
func testMerge(t *testing.T, p *place) {
	if !p.s.Connector.Caps.Merge {
		return
	}
	old := p.publish(people("merged", 0), 30)
	j := p.begin()
	st := j.stageMode(people("merged", 1), connector.Merge)
	j.write(st, 0, 20, 35, 7)
	j.write(st, 1, 35, 40, 7)
	st.reached = "40"
	j.commit(st)
	j.commit(st)
	j.close()
	j.wantPublished(st, func(yield func(arrow.RecordBatch, error) bool) {
		for rec, err := range old.stream(0, 20, 20) {
			if !yield(rec, err) {
				return
			}
		}
		st.stream(20, 40, 20)(yield)
	})
}
