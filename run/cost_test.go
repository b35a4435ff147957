package run

import (
	"testing"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
)

func costing(costs ...*connector.Cost) *Plan {
	p := &Plan{}
	for i, c := range costs {
		p.Tables = append(p.Tables, PlannedTable{Target: connector.TablePlan{Name: string(rune('a' + i)), Cost: c}})
	}
	return p
}

func TestCostPerRun(t *testing.T) {
	merge := func(price conf.Money) *connector.Cost {
		return &connector.Cost{Bytes: 160 << 30, Price: price, For: "MERGE reads the whole table"}
	}
	for _, tc := range []struct {
		name  string
		plan  *Plan
		limit conf.Money
		want  string
	}{
		{"no limit", costing(merge(900 * conf.USD)), 0, ""},
		{"nobody bills", costing(nil, nil), 1, ""},
		{"free", costing(&connector.Cost{}, &connector.Cost{}), 1, ""},
		{"just within", costing(merge(conf.USD/2), &connector.Cost{}, merge(conf.USD/2)), conf.USD, ""},
		{"beyond", costing(merge(conf.USD/2), &connector.Cost{}, merge(3*conf.USD/4)), conf.USD,
			"this run would be billed 1.25 USD, more than the 1.00 USD of limits.cost_per_run: c 0.75 USD for 160 GiB, MERGE reads the whole table; a 0.50 USD for 160 GiB, MERGE reads the whole table"},
		{"many", costing(merge(1), merge(2), merge(3), merge(4), merge(5), merge(6), merge(7)), 10,
			"this run would be billed 0.000028 USD, more than the 0.00001 USD of limits.cost_per_run: g 0.000007 USD for 160 GiB, MERGE reads the whole table; f 0.000006 USD for 160 GiB, MERGE reads the whole table; e 0.000005 USD for 160 GiB, MERGE reads the whole table; d 0.000004 USD for 160 GiB, MERGE reads the whole table; c 0.000003 USD for 160 GiB, MERGE reads the whole table; and 2 more tables"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &Session{req: Request{Job: &job.Job{Limits: job.Limits{CostPerRun: tc.limit}}}}
			err := s.allowed(tc.plan)
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !fault.HasCode(err, "plan.cost") || err.Error() != tc.want {
				t.Errorf("%v, want %s", err, tc.want)
			}
		})
	}
}
