package run

import (
	"context"
	"fmt"
	"slices"
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
	// Left are tables that the config takes and the run is not asked for ([Request.Only]), by their Ref at the source: they stay as they are.
	Left  []string `json:"left,omitempty"`
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

	progress progress
	retries  int
}

// Plan discovers the source and compares it with the destination. It changes nothing.
func (s *Session) Plan(ctx context.Context) (*Plan, error) {
	j := s.req.Job
	var tables []connector.Table
	err := s.persist(ctx, func() (err error) {
		tables, err = s.src.Discover(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("discover: %w", err)
	}
	selected, err := j.Resolve(tables)
	if err != nil {
		return nil, err
	}
	p := &Plan{Made: s.req.clock.now(), Source: j.Source.Place, Destination: j.Destination.Place}
	selected = slices.DeleteFunc(selected, func(sel job.Selection) bool {
		hollow := len(sel.Table.Columns) == 0
		if hollow {
			p.Notes = append(p.Notes, sel.Table.Ref()+" is not moved: it has no columns")
		}
		return hollow
	})
	if len(selected) == 0 {
		return nil, fault.New(fault.Config, "plan.no_tables", "look at `tables:` in "+j.File+" and at what the user may see at the source",
			"nothing to move: %s has %d tables and the config selects none", p.Source, len(tables))
	}
	asked, err := s.asked(selected, tables)
	if err != nil {
		return nil, err
	}
	names := newNames(s.caps.FoldsCase)
	for _, sel := range selected {
		name, note := names.take(sel.Name) // also of a table left out: the names of the others are those of a whole run
		if !asked[sel.Table.Ref()] {
			p.Left = append(p.Left, sel.Table.Ref())
			continue
		}
		t, err := s.planTable(ctx, sel, name, note)
		if err != nil {
			return nil, fmt.Errorf("plan %s: %w", sel.Table.Ref(), err)
		}
		p.Tables = append(p.Tables, *t)
	}
	p.Stale, err = s.stale(ctx, p)
	return p, err
}

func (s *Session) planTable(ctx context.Context, sel job.Selection, name, note string) (*PlannedTable, error) {
	fields := make([]arrow.Field, len(sel.Scan.Columns))
	for i, c := range sel.Scan.Columns {
		c.Name = sel.Names[i]
		fields[i] = c.Field()
	}
	want := progressOf(sel.Settings)
	if want.By == job.Snapshot {
		fields = append(fields, snapshotFields()...)
	}
	req := connector.PlanRequest{
		Name: name, Comment: sel.Table.Comment, Schema: arrow.NewSchema(fields, nil), Key: sel.Key,
		Mode: sel.Settings.Mode, Cursor: cursorThere(sel), Layout: sel.Layout,
		Full: sel.Verify == job.VerifyFull, Rows: sel.Table.Rows, Bytes: sel.Table.Bytes,
	}
	target, err := s.planTarget(ctx, req)
	if err != nil {
		return nil, err
	}
	t := &PlannedTable{Scan: sel.Scan, Target: *target, Verify: sel.Verify, LeftOut: sel.LeftOut, retries: sel.Retries}
	t.Notes = append(t.Notes, sel.Table.Notes...)
	if note != "" {
		t.Notes = append(t.Notes, note)
	}
	whole, err := t.follow(want)
	if err != nil || !whole {
		return t, err
	}
	req.Mode = connector.Replace
	if target, err = s.planTarget(ctx, req); err != nil {
		return nil, err
	}
	t.Target = *target
	return t, nil
}

// cursorThere is the cursor's name at the destination, "" where its column is not taken.
func cursorThere(sel job.Selection) string {
	for i, c := range sel.Scan.Columns {
		if sel.Scan.Cursor != "" && c.Name == sel.Scan.Cursor {
			return sel.Names[i]
		}
	}
	return ""
}

func (s *Session) planTarget(ctx context.Context, req connector.PlanRequest) (target *connector.TablePlan, err error) {
	err = s.persist(ctx, func() (err error) {
		target, err = s.dst.PlanTable(ctx, req)
		return asDestination(err)
	})
	return target, err
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
		return fmt.Errorf("scan: %w", s.hide(err))
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
		Connections: s.req.Job.Limits.Connections, Portable: s.shared,
		BatchBytes: s.budget.Batch, MaxValueBytes: s.budget.Value,
		Waiting: func(why string) { s.observe(Event{Kind: Waiting, Why: why}) },
	}
	for _, i := range tables {
		req.Tables = append(req.Tables, p.Tables[i].Scan)
	}
	return req
}
