package bigquery

import (
	"context"
	"os"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// Recover asks the tables themselves: their label names the run that published them last.
func (d *dest) Recover(ctx context.Context, req connector.CommitRequest) (connector.Recovery, error) {
	if _, err := d.dataset(ctx); err != nil {
		return "", err
	}
	s, err := d.state(ctx)
	if err != nil {
		return "", err
	}
	done := true
	for _, t := range req.Tables {
		live, err := d.table(ctx, t.Plan.Name)
		if err != nil {
			return "", err
		}
		if live != nil && live.Labels[runLabel] == label(req.Run.ID) {
			continue
		}
		done = false
		there, err := d.there(ctx, s.of(t.Plan.Name), req.Run.ID)
		if fault.HasCode(err, codeIntentOld) { // what becomes of its table is for whoever plans it
			return connector.ReadAgain, nil
		}
		if err != nil {
			return "", err
		}
		if there { // what is left to do needs no rows
			continue
		}
		st, err := parseStage(t.Stage)
		if err != nil {
			return "", err
		}
		if !st.whole(t.Receipts) {
			return connector.ReadAgain, nil
		}
	}
	if done {
		return connector.Done, nil
	}
	return connector.CommitAgain, nil
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

// whole says whether all that the receipts stand for is still spooled.
func (st *stage) whole(receipts []connector.Receipt) bool {
	_, err := st.shards(receipts)
	_, gone := os.Stat(st.Dir)
	return err == nil && gone == nil
}
