package bigquery

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// Recover asks the tables themselves: their label names the run that published them last. Of a commit whose rows are gone, or that a later run has
// overtaken, it makes sure that nothing comes any more.
func (d *dest) Recover(ctx context.Context, req connector.CommitRequest) (connector.Recovery, error) {
	if _, err := d.dataset(ctx); err != nil {
		return "", err
	}
	s, err := d.state(ctx)
	if err != nil {
		return "", err
	}
	var left []connector.CommitTable
	gone := false
	for _, t := range req.Tables {
		live, err := d.table(ctx, t.Plan.Name)
		if err != nil {
			return "", err
		}
		if live != nil && live.Labels[runLabel] == label(req.Run.ID) {
			continue
		}
		left = append(left, t)
		if later(live, req.Run) && !keepsCursor(t) { // readers would see older rows again
			gone = true
			continue
		}
		there, err := d.there(ctx, s.of(t.Plan.Name), req.Run.ID)
		if fault.HasCode(err, codeIntentOld) { // what becomes of its table is for whoever plans it
			gone = true
			continue
		}
		if err != nil {
			return "", err
		}
		if there { // what is left to do needs no rows
			continue
		}
		st, err := d.parseStage(t.Stage)
		if err != nil {
			return "", err
		}
		shards, err := st.shards(t.Receipts)
		if err == nil {
			err = d.present(ctx, st, shards)
		}
		switch {
		case fault.HasCode(err, "bigquery.stage_gone"):
			gone = true
		case err != nil:
			return "", err
		}
	}
	switch {
	case len(left) == 0:
		return connector.Done, nil
	case gone:
		return connector.ReadAgain, d.void(ctx, req.Run, left)
	}
	return connector.CommitAgain, nil
}

// void takes the IDs of jobs that nobody has the rows for any more. The process that began the commit may only be asleep: what it loads when it wakes up would
// stand over what a later run has brought by then. Where a cursor is kept, the table's next commit does the same.
func (d *dest) void(ctx context.Context, run connector.RunRecord, tables []connector.CommitTable) error {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, t := range tables {
		if keepsCursor(t) || d.now().Sub(run.Started) > jobsKept {
			continue
		}
		st, err := d.parseStage(t.Stage)
		if err != nil {
			return err
		}
		shards, err := st.shards(t.Receipts)
		if err != nil {
			return err
		}
		parts := map[string]bool{t.Plan.Name: true}
		for _, f := range shards {
			for _, number := range f.Parts {
				parts[t.Plan.Name+"$"+partitionID(number, t.Plan.Layout.Unit)] = true
			}
		}
		p := &publication{run: run, table: t}
		for into := range parts {
			g.Go(func() error {
				_, err := d.came(ctx, intent{Job: d.loadID(p, into), Run: run.ID, At: run.Started}, true)
				return err
			})
		}
	}
	return g.Wait()
}

// there says whether a run's rows are in a table whose cursor is kept.
func (d *dest) there(ctx context.Context, was *standing, run string) (bool, error) {
	switch {
	case was == nil:
		return false, nil
	case was.Next != nil && was.Next.Run == run:
		return d.came(ctx, *was.Next, false)
	}
	return was.Run == run, nil
}
