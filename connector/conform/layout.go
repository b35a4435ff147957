package conform

import (
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// dated is people divided by the date they were born on: row n on the n-th day of 1970.
func dated(name string, edition int, unit string, cluster ...string) table {
	tb := people(name, edition)
	tb.layout = connector.Layout{Partition: "born", Unit: unit, Cluster: cluster}
	return tb
}

// testOverwrite puts rows in the place of the partitions they fall in: what else was in these goes, others stay.
func testOverwrite(t *testing.T, p *place) {
	if !p.s.Connector.Caps.Overwrite {
		return
	}
	j := p.begin()
	old := j.stageMode(dated("overwritten", 0, "month"), connector.Overwrite)
	j.write(old, 0, 0, 70, 50) // January, February and eleven days of March
	j.commit(old)
	j.close()
	j.wantPublished(old, old.stream(0, 70, 70))

	j = p.begin()
	st := j.stageMode(dated("overwritten", 1, "month"), connector.Overwrite)
	if !st.plan.Exists || len(st.plan.Changes) > 0 {
		t.Errorf("the second plan says exists: %v, changes: %q", st.plan.Exists, st.plan.Changes)
	}
	j.write(st, 0, 40, 45, 2)  // February
	j.write(st, 1, 95, 100, 2) // April
	j.write(st, 2, 30, 31, 2)  // the last of January
	j.commit(st)
	j.commit(st)
	j.close()
	j.open()
	j.commit(st)
	j.close()
	j.wantPublished(st, chain(st.stream(30, 31, 1), st.stream(40, 45, 5), old.stream(59, 70, 20), st.stream(95, 100, 5)))
}

// testLayout arranges a new table, arranges it otherwise, and wants its rows to be the same. What can't be changed is refused before anything is.
func testLayout(t *testing.T, p *place) {
	if !p.s.Connector.Caps.Layout {
		return
	}
	first := p.publish(dated("arranged", 0, "day", "id"), 40)
	if got := first.plan.Layout; got.Partition != "born" || got.Unit != "day" || !slices.Equal(got.Cluster, []string{"id"}) {
		t.Errorf("the plan's layout is %+v", got)
	}
	if again := p.publish(dated("arranged", 1, "day", "id"), 35); len(again.plan.Changes) > 0 {
		t.Errorf("the same layout changes: %q", again.plan.Changes)
	}
	if left := p.publish(people("arranged", 0), 35); len(left.plan.Changes) > 0 || left.plan.Layout.Partition != "born" {
		t.Errorf("a layout left out changes: %q, %+v", left.plan.Changes, left.plan.Layout)
	}
	if other := p.publish(dated("arranged", 0, "day", "name", "id"), 30); len(other.plan.Changes) == 0 {
		t.Error("other columns to cluster by are no change of the plan")
	}
	j := p.begin()
	tb := dated("arranged", 1, "month", "id")
	plan, err := j.dest.PlanTable(j.ctx, connector.PlanRequest{Name: tb.name, Schema: tb.schema, Mode: connector.Replace, Layout: tb.layout})
	if err != nil {
		if f := fault.From(err); f.Kind != fault.Config || f.Hint == "" {
			t.Errorf("another unit is refused with %v (%+v), want a fault of the config with a hint", err, f)
		}
	} else if len(plan.Changes) == 0 {
		t.Error("another unit is no change of the plan")
	}
}

// chain is one stream after the other.
func chain(streams ...batch.Stream) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for _, s := range streams {
			for rec, err := range s {
				if !yield(rec, err) {
					return
				}
			}
		}
	}
}
