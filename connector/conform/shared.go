package conform

import (
	"slices"
	"testing"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// testShared has two processes on two machines write one stage side by side, the second one read all of it back, and a third one commit it.
func testShared(t *testing.T, p *place) {
	if !p.s.Connector.Caps.Shared {
		return
	}
	j := p.begin()
	tb := people("shared", 0)
	st := j.place(&staged{table: tb, plan: j.plan(tb), epoch: 1, shared: true})
	elsewhere := func() *journey {
		other := &journey{t: t, ctx: j.ctx, s: p.s, cfg: p.cfg, run: j.run}
		other.cfg.Env.Dir = t.TempDir() // nothing is there
		other.open()
		return other
	}
	other := elsewhere()
	j.write(st, 0, 0, 100, 30)
	other.write(st, 1, 100, 1000, 300)
	j.write(st, 2, 1000, 1300, 300)
	other.write(st, 1_000_003, 1300, 1400, 100)
	if _, err := other.dest.Write(j.ctx, st.stage, 1_000_000, st.stream(0, 50, 50)); err != nil { // a twin's, without a receipt that counts
		t.Fatal(err)
	}
	j.close()
	j.wantAbsent(st.plan.Name, "before its commit")
	other.wantStaged(st, st.stream(0, 1400, 1400))
	other.close()
	third := elsewhere()
	third.commit(st)
	third.close()
	j.wantPublished(st, st.stream(0, 1400, 1400))
}

// testPortable divides tables in one process and reads them in another, each row once.
func testPortable(t *testing.T, o *origin) {
	tables := o.discovered(t, o.opened(t))
	req := whole(tables, 2)
	req.Portable = true
	first := scan(t, o.opened(t), req)
	if first.Portable != o.s.Connector.Caps.Portable {
		t.Fatalf("a scan is portable: %v, Caps says %v", first.Portable, o.s.Connector.Caps.Portable)
	}
	if !first.Portable {
		return
	}
	for i := range req.Tables {
		req.Tables[i].Resume = first.Tables[i].Partitions
	}
	for range 2 {
		src := o.opened(t)
		again := scan(t, src, req)
		for i, tb := range again.Tables {
			if !slices.EqualFunc(tb.Partitions, first.Tables[i].Partitions, func(a, b connector.Partition) bool { return string(a) == string(b) }) {
				t.Errorf("table %s has other partitions in another process:\n%s\n%s", tables[i].Ref(), first.Tables[i].Partitions, tb.Partitions)
			}
			n := int64(0)
			for _, part := range first.Tables[i].Partitions {
				reading, err := src.Read(contextFor(t), part)
				if err != nil {
					t.Fatal(err)
				}
				for rec, err := range reading.Rows {
					if err != nil {
						t.Fatal(fault.From(err).Code, err)
					}
					n += rec.NumRows()
				}
			}
			if n != o.cfg.Fixtures[i].Rows {
				t.Errorf("table %s: %d rows were read, not %d", tables[i].Ref(), n, o.cfg.Fixtures[i].Rows)
			}
		}
	}
}
