package run

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
)

// asked says which of the selected tables the request is for, by their Ref at the source: those that [Request.Only] matches,
// or all. A pattern that matches none of them is a fault, rather than a run that quietly does nothing. there is what the source has.
func (s *Session) asked(selected []job.Selection, there []connector.Table) (map[string]bool, error) {
	asked := map[string]bool{}
	if len(s.req.Only) == 0 {
		for _, sel := range selected {
			asked[sel.Table.Ref()] = true
		}
		return asked, nil
	}
	for _, pattern := range s.req.Only {
		found := false
		for _, sel := range selected {
			if job.Matches(pattern, sel.Table) {
				found, asked[sel.Table.Ref()] = true, true
			}
		}
		if !found {
			return nil, s.unknown(pattern, selected, there)
		}
	}
	return asked, nil
}

func (s *Session) unknown(pattern string, selected []job.Selection, there []connector.Table) error {
	for _, t := range there {
		if job.Matches(pattern, t) {
			return fault.New(fault.Config, "run.table_left_out", "look at `tables:` in "+s.req.Job.File, "%s is at the source, but the config does not take it", t.Ref())
		}
	}
	var names []string
	for _, sel := range selected {
		names = append(names, sel.Table.Ref())
	}
	return fault.New(fault.Config, "run.no_such_table", "name tables as `kitamae plan` does, or by a glob in quotes",
		"no table that is moved matches %q%s", pattern, conf.DidYouMean(pattern, names))
}

// leaveRest lowers the guarantee of a run that was asked for some tables only, and says so.
func (r *Report) leaveRest(p *Plan) {
	if len(p.Left) == 0 {
		return
	}
	r.Notes = append(r.Notes, fmt.Sprintf("asked for %s only: the others (%d) stay as they are", strings.Join(r.Only, ", "), len(p.Left)))
	r.lessThanAll("tables were left as they are")
}

// Whole are the reports of runs that were not asked for some tables only: those that say how old the data is.
func Whole(reports []Report) []Report {
	return slices.DeleteFunc(slices.Clone(reports), func(r Report) bool { return len(r.Only) > 0 })
}
