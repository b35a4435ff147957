package run_test

import (
	"context"
	"testing"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/run"
)

// billing is a destination that bills half a dollar a table, and counts what it is asked beyond planning.
type billing struct {
	connector.Destination
	staged *int
}

func (b billing) PlanTable(ctx context.Context, req connector.PlanRequest) (*connector.TablePlan, error) {
	p, err := b.Destination.PlanTable(ctx, req)
	if err == nil {
		p.Cost = &connector.Cost{Bytes: 80 << 30, Price: conf.USD / 2, For: "a test"}
	}
	return p, err
}

func (b billing) Stage(ctx context.Context, req connector.StageRequest) (connector.Stage, error) {
	*b.staged++
	return b.Destination.Stage(ctx, req)
}

// TestRunEndsBeforeItSpends holds that a run beyond its limit stages nothing, and that one within it goes through.
func TestRunEndsBeforeItSpends(t *testing.T) {
	for _, tc := range []struct {
		name   string
		limit  conf.Money
		staged int
		code   string
	}{{"beyond", 2*conf.USD - 1, 0, "plan.cost"}, {"within", 2 * conf.USD, 4, ""}} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t)
			h.source(t, "create table a(id integer primary key); insert into a values (1); create table b(id integer primary key)") // four with the house's own
			staged := 0
			duckdb := h.registry["duckdb"]
			end := *duckdb.Dest
			open := end.Open
			end.Open = func(ctx context.Context, spec any, env connector.Env) (connector.Destination, error) {
				dst, err := open(ctx, spec, env)
				return billing{dst, &staged}, err
			}
			duckdb.Dest = &end
			h.registry["duckdb"] = duckdb
			req := h.request(t, "")
			req.Job.Limits.CostPerRun = tc.limit
			report, err := run.Drive(t.Context(), req)
			if staged != tc.staged || (err != nil) != (tc.code != "") || tc.code != "" && !fault.HasCode(err, tc.code) {
				t.Fatalf("%d tables staged, %v; want %d, code %q", staged, err, tc.staged, tc.code)
			}
			if tc.code != "" {
				if report.Error == nil || report.Error.Code != tc.code || len(report.Tables) > 0 {
					t.Errorf("the report says %+v", report)
				}
				h.nothingVisible(t)
			}
		})
	}
}
