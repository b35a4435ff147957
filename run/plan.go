package run

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
)

// Plan is what a run would do, as data: which columns of which tables, what they become, what changes.
type Plan struct {
	Made        time.Time      `json:"made"` // UTC
	Source      string         `json:"source"`
	Destination string         `json:"destination"`
	Guarantee   string         `json:"guarantee,omitempty"`
	Position    string         `json:"position,omitempty"`
	Tables      []PlannedTable `json:"tables"`
	// Stale are tables published before that are no longer at the source, by their name there.
	Stale []string `json:"stale,omitempty"`
	Notes []string `json:"notes,omitempty"`
}

// PlannedTable is one table's part of a plan.
type PlannedTable struct {
	Scan   connector.TableScan `json:"scan"`
	Target connector.TablePlan `json:"target"`
	// Verify is "none", "aggregates" or "full".
	Verify string `json:"verify"`
	// LeftOut are columns that look like credentials and were not named.
	LeftOut []string `json:"left_out,omitempty"`
	// Partitions is known once the table has been scanned.
	Partitions int      `json:"partitions,omitempty"`
	Notes      []string `json:"notes,omitempty"`
}

// Plan discovers the source and compares it with the destination. It changes nothing.
func (s *Session) Plan(ctx context.Context) (*Plan, error) {
	j := s.req.Job
	tables, err := s.src.Discover(ctx)
	if err != nil {
		return nil, fmt.Errorf("discover: %w", err)
	}
	selected, err := j.Resolve(tables)
	if err != nil {
		return nil, err
	}
	p := &Plan{Made: now(), Source: j.Source.Place, Destination: j.Destination.Place}
	if len(selected) == 0 {
		return nil, fault.New(fault.Config, "plan.no_tables", "look at `tables:` in "+j.File+" and at what the user may see at the source",
			"nothing to move: %s has %d tables and the config selects none", p.Source, len(tables))
	}
	names := newNames(s.caps.FoldsCase)
	for _, sel := range selected {
		t, err := s.planTable(ctx, sel, names)
		if err != nil {
			return nil, fmt.Errorf("plan %s: %w", sel.Table.Ref(), err)
		}
		p.Tables = append(p.Tables, *t)
	}
	p.Stale, err = s.stale(p)
	return p, err
}

func (s *Session) planTable(ctx context.Context, sel job.Selection, names *names) (*PlannedTable, error) {
	name, note := names.take(sel.Name)
	fields := make([]arrow.Field, len(sel.Scan.Columns))
	for i, c := range sel.Scan.Columns {
		fields[i] = c.Field()
	}
	key := sel.Scan.Key
	if len(key) == 0 {
		key = sel.Table.Key
	}
	target, err := s.dst.PlanTable(ctx, connector.PlanRequest{
		Name: name, Comment: sel.Table.Comment, Schema: arrow.NewSchema(fields, nil), Key: kept(key, sel.Scan.Columns), Mode: connector.Replace,
	})
	if err != nil {
		return nil, asDestination(err)
	}
	t := &PlannedTable{Scan: sel.Scan, Target: *target, Verify: sel.Verify, LeftOut: sel.LeftOut}
	t.Notes = append(t.Notes, sel.Table.Notes...)
	if note != "" {
		t.Notes = append(t.Notes, note)
	}
	return t, nil
}

// kept is key when all its columns are read, else nothing: half a key identifies no row.
func kept(key []string, columns []connector.Column) []string {
	have := map[string]bool{}
	for _, c := range columns {
		have[c.Name] = true
	}
	for _, k := range key {
		if !have[k] {
			return nil
		}
	}
	return key
}

// names keeps table names apart where the destination takes some for the same.
type names struct {
	fold bool
	seen map[string]string
}

func newNames(fold bool) *names { return &names{fold: fold, seen: map[string]string{}} }

// take returns name, or name with the first free suffix and a note when it is taken.
func (n *names) take(name string) (free, note string) {
	free = name
	for i := 2; ; i++ {
		id := free
		if n.fold {
			id = strings.ToLower(free)
		}
		other, taken := n.seen[id]
		if !taken {
			n.seen[id] = free
			return free, note
		}
		free = fmt.Sprintf("%s_%d", name, i)
		note = fmt.Sprintf("named %s: %s and %s differ only by case, which is one name at the destination", free, name, other)
	}
}

// Partitions fixes a view for a moment to learn how the tables would be divided.
func (s *Session) Partitions(ctx context.Context, p *Plan) error {
	scan, err := s.src.Scan(ctx, s.scanRequest(p, all(p)))
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	p.note(scan, all(p))
	return nil
}

// note takes over what a scan found about the tables it was asked for.
func (p *Plan) note(scan *connector.Scan, asked []int) {
	p.Guarantee, p.Position = string(scan.Guarantee), scan.Position
	for i, t := range asked {
		p.Tables[t].Partitions = len(scan.Tables[i].Partitions)
	}
}

func all(p *Plan) []int {
	idx := make([]int, len(p.Tables))
	for i := range idx {
		idx[i] = i
	}
	return idx
}

func (s *Session) scanRequest(p *Plan, tables []int) connector.ScanRequest {
	req := connector.ScanRequest{
		Connections: s.req.Job.Limits.Connections,
		BatchBytes:  s.budget.Batch, MaxValueBytes: s.budget.Value,
	}
	for _, i := range tables {
		req.Tables = append(req.Tables, p.Tables[i].Scan)
	}
	return req
}
