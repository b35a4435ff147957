package run

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// mostCosts is how many tables a refusal names.
const mostCosts = 5

// Cost is what the whole run will be billed, nil where the destination bills nobody.
func (p *Plan) Cost() *connector.Cost {
	var sum *connector.Cost
	for _, t := range p.Tables {
		if t.Target.Cost == nil {
			continue
		}
		if sum == nil {
			sum = &connector.Cost{}
		}
		sum.Bytes += t.Target.Cost.Bytes
		sum.Price += t.Target.Cost.Price
	}
	return sum
}

// allowed refuses a plan that is not the saved one, or that costs more than a run may.
func (s *Session) allowed(p *Plan) error {
	if saved := s.req.Saved; saved != nil {
		if err := saved.Still(s.req.Job, p); err != nil {
			return err
		}
	}
	limit, cost := s.req.Job.Limits.CostPerRun, p.Cost()
	if limit == 0 || cost == nil || cost.Price <= limit {
		return nil
	}
	return fault.New(fault.Config, "plan.cost", "raise limits.cost_per_run, or take less: partition the tables, merge fewer of them, or replace them, which is free",
		"this run would be billed %s, more than the %s of limits.cost_per_run: %s", cost.Price, limit, costs(p))
}

// costs says what would cost how much, the dearest first.
func costs(p *Plan) string {
	var billed []PlannedTable
	for _, t := range p.Tables {
		if t.Target.Cost != nil && t.Target.Cost.Price > 0 {
			billed = append(billed, t)
		}
	}
	slices.SortStableFunc(billed, func(a, b PlannedTable) int { return cmp.Compare(b.Target.Cost.Price, a.Target.Cost.Price) })
	var lines []string
	for i, t := range billed {
		if i == mostCosts {
			lines = append(lines, fmt.Sprintf("and %d more tables", len(billed)-i))
			break
		}
		c := t.Target.Cost
		lines = append(lines, strings.TrimSuffix(fmt.Sprintf("%s %s for %s, %s", t.Target.Name, c.Price, humanize.IBytes(uint64(c.Bytes)), c.For), ", "))
	}
	return strings.Join(lines, "; ")
}
