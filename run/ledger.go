package run

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/state"
)

const ledgerPrefix = "runs/"

// keep writes the report into the ledger.
func keep(ctx context.Context, st state.Store, r *Report) error {
	_, version, err := st.Get(ctx, ledgerPrefix+r.ID+".json") // the record of the same run, interrupted
	if err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return keepAs(ctx, st, r, version)
}

// keepAs is keep where the record that is there has a version, "" for none.
func keepAs(ctx context.Context, st state.Store, r *Report, version string) error {
	value, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		_, err = st.Put(ctx, ledgerPrefix+r.ID+".json", value, version)
	}
	if err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return nil
}

// Ledger returns the newest n runs, newest first; n = 0 means all.
func Ledger(ctx context.Context, st state.Store, n int) ([]Report, error) {
	keys, err := st.List(ctx, ledgerPrefix)
	if err != nil {
		return nil, err
	}
	slices.Reverse(keys)
	if n > 0 && len(keys) > n {
		keys = keys[:n]
	}
	reports := make([]Report, len(keys))
	for i, key := range keys {
		value, _, err := st.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(value, &reports[i]); err != nil {
			return nil, fault.Wrap(fault.Internal, "state.ledger", "remove "+key+" from the state folder", fmt.Errorf("ledger entry %s: %w", key, err))
		}
	}
	return reports, nil
}

// Recorded is the record of the run called id; nil where there is none, as it never began or is under way.
func Recorded(ctx context.Context, st state.Store, id string) (*Report, error) {
	key := ledgerPrefix + id + ".json"
	value, _, err := st.Get(ctx, key)
	if err != nil || value == nil {
		return nil, err
	}
	r := &Report{}
	if err := json.Unmarshal(value, r); err != nil {
		return nil, fault.Wrap(fault.Internal, "state.ledger", "remove "+key+" from the state", fmt.Errorf("ledger entry of %s: %w", id, err))
	}
	return r, nil
}

// stale names the tables this job published before that its source no longer has.
func (s *Session) stale(ctx context.Context, p *Plan) ([]string, error) {
	reports, err := Ledger(ctx, s.req.State, 0)
	if err != nil {
		return nil, err
	}
	reports = slices.DeleteFunc(reports, func(r Report) bool { return r.Destination != p.Destination || r.Source != p.Source })
	now := map[string]bool{}
	for _, t := range p.Tables {
		now[t.Target.Name] = true
	}
	for _, ref := range p.Left { // not planned: it is called what it was called last
		now[lastName(reports, ref)] = true
	}
	gone := map[string]bool{}
	for _, r := range reports {
		for _, t := range r.Tables {
			if t.Status == StatusPublished && !now[t.Table] {
				gone[t.Table] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(gone)), nil
}

// lastName is what a table of the source was called at the destination in the newest of the reports that has it; "" for none.
func lastName(reports []Report, ref string) string {
	for _, r := range reports {
		for _, t := range r.Tables {
			if t.Source == ref {
				return t.Table
			}
		}
	}
	return ""
}

// note takes over what the scan of an epoch said.
func (r *Report) note(scan *connector.Scan, epoch int) {
	if epoch > 0 && scan.Guarantee == connector.Database {
		// tables finished under the view before belong to another moment
		r.Guarantee, r.Position = connector.PerTable, scan.Position
	} else {
		r.Guarantee, r.Position = scan.Guarantee, scan.Position
	}
	r.Notes = append(r.Notes, scan.Notes...)
}

// tables writes down what became of each table.
func (r *Report) tables(p *Plan, tables []*moving) {
	r.Tables = nil
	for _, t := range tables {
		line := TableReport{
			Source: t.plan.Scan.Table.Ref(), Table: t.plan.Target.Name, Status: StatusHeldBack, Error: failureOf(t.failed()),
			Partitions: len(t.scanned.Partitions), Changes: t.plan.Target.Changes, LeftOut: t.plan.LeftOut,
			Notes: slices.Concat(t.plan.Notes, t.plan.Target.Notes, columnNotes(t.plan), t.scanned.Notes, t.told),
		}
		if t.published {
			e := t.evident
			line.Status = StatusPublished
			line.Evidence, line.Seconds = &e, e.ReadTo.Sub(e.ReadFrom).Seconds()
		}
		line.Changed = changed(t)
		r.Tables = append(r.Tables, line)
	}
	for _, name := range p.Stale {
		r.Tables = append(r.Tables, TableReport{Table: name, Status: StatusStale, Notes: []string{"no longer at the source; kept as it was"}})
	}
}

func columnNotes(t *PlannedTable) []string {
	var notes []string
	for _, c := range t.Scan.Columns {
		for _, n := range c.Notes {
			notes = append(notes, c.Name+": "+n)
		}
	}
	for _, c := range t.Target.Columns {
		if c.Note != "" {
			notes = append(notes, c.Name+": "+c.Note)
		}
	}
	return notes
}

// changed adds up the partitions' counts.
func changed(t *moving) map[string]map[string]int64 {
	sum := map[string]map[string]int64{}
	for _, r := range t.receipts {
		for col, fates := range r.Read.Changed {
			if sum[col] == nil {
				sum[col] = map[string]int64{}
			}
			for fate, n := range fates {
				sum[col][fate] += n
			}
		}
	}
	if len(sum) == 0 {
		return nil
	}
	return sum
}

func changedNotes(t *moving) []string {
	var notes []string
	sum := changed(t)
	for _, col := range slices.Sorted(maps.Keys(sum)) {
		for _, fate := range slices.Sorted(maps.Keys(sum[col])) {
			notes = append(notes, fmt.Sprintf("%s: %d × %s", col, sum[col][fate], fate))
		}
	}
	return notes
}

// verdict sets the run's status and returns the fault that decides the exit code, of those that are a table's.
func (r *Report) verdict(tables []*moving) error {
	var first error
	held, published := 0, 0
	for _, t := range tables {
		if t.published {
			published++
		}
		if err := t.failed(); err != nil {
			held++
			if first == nil || fault.From(err).Kind == fault.Verification {
				first = err
			}
		}
	}
	switch {
	case published == len(tables):
		r.Status = StatusPublished
	case published > 0:
		r.Status = StatusPartial
	}
	if held > 1 {
		return fmt.Errorf("%d of %d tables were held back; the first: %w", held, len(tables), first)
	}
	return first
}
