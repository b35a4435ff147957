package duckdb

import (
	"context"
	"fmt"
	"strings"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/duck"
	"github.com/kitamae/kitamae/fault"
)

// Commit publishes all tables of the request by one rename. What else the published file
// holds is carried over. Without tables it does nothing.
func (d *dest) Commit(ctx context.Context, req connector.CommitRequest) ([]connector.Outcome, error) {
	outcomes := make([]connector.Outcome, len(req.Tables))
	for i := range outcomes {
		outcomes[i].Published = true
	}
	if len(req.Tables) == 0 {
		return nil, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.commit(ctx, req); err != nil {
		return nil, d.classify(fmt.Errorf("commit: %w", err))
	}
	return outcomes, nil
}

func (d *dest) commit(ctx context.Context, req connector.CommitRequest) error {
	if err := d.settle(ctx); err != nil {
		return err
	}
	live, err := d.look(ctx)
	if err != nil {
		return err
	}
	w, err := d.join(ctx, req.Run.ID, false)
	if err != nil {
		return err
	}
	if live.runs[req.Run.ID] { // done before; what is left of it goes
		if w != nil {
			d.discard()
		}
		return nil
	}
	if w == nil {
		return fault.New(fault.Destination, "duckdb.stage_lost", "run again", "the staged tables of run %s are gone", req.Run.ID)
	}
	w.committing = true
	if w.whole {
		// It holds what was to be kept of the published file, unless that one has changed since.
		if !live.exists || w.previous == live.stamp.String() {
			return d.publish(ctx, d.next(), live.stamp)
		}
	} else if err := w.prepare(ctx, req); err != nil {
		return err
	}
	if !w.whole && live.light(req, w.rows(ctx)) {
		d.did("prepared")
		err := d.commitInto(ctx, live, req)
		if err == nil {
			d.did("completed")
			return d.publish(ctx, d.next(), live.stamp)
		}
		if !isViewLost(err) {
			return err
		}
	}
	if err := d.commitCopy(ctx, live, req); err != nil {
		return err
	}
	return d.publish(ctx, d.fresh(), live.stamp)
}

// prepare makes the next file hold exactly the request's tables and the receipts' rows,
// and checks that they are all there.
func (w *work) prepare(ctx context.Context, req connector.CommitRequest) error {
	wanted := map[string]bool{}
	for _, t := range req.Tables {
		token, err := connector.ParseStage(t.Stage)
		if err != nil {
			return err
		}
		s := w.tables[fold(t.Plan.Name)]
		if s == nil || s.epoch != token.Epoch {
			return fault.New(fault.Destination, "duckdb.stage_lost", "run again", "the staged table %s is gone", t.Plan.Name)
		}
		wanted[fold(t.Plan.Name)] = true
		if err := w.check(ctx, s, t.Receipts); err != nil {
			return err
		}
	}
	for key, s := range w.tables {
		if wanted[key] {
			continue
		}
		_, err := w.db.Exec(ctx, "DROP TABLE IF EXISTS "+table(w.db, s.name)+
			"; DELETE FROM "+metaTable(w.db, "staging")+" WHERE name = "+duck.Literal(s.name))
		if err != nil {
			return err
		}
		delete(w.tables, key)
	}
	return nil
}

// check compares the rows of each task with its receipt, and removes rows without one.
func (w *work) check(ctx context.Context, s *staged, receipts []connector.Receipt) error {
	counts, err := w.db.Texts(ctx, fmt.Sprintf("SELECT %[1]s::VARCHAR, count(*)::VARCHAR FROM %[2]s GROUP BY 1 ORDER BY 1", taskColumn, table(w.db, s.name)))
	if err != nil {
		return err
	}
	have := map[string]string{}
	for _, c := range counts {
		have[c[0]] = c[1]
	}
	for _, r := range receipts {
		task, n := fmt.Sprint(r.Task), fmt.Sprint(r.Rows)
		if got := have[task]; got != n && (r.Rows != 0 || got != "") {
			return fault.New(fault.Destination, "duckdb.stage_lost", "run again",
				"table %s: task %d stored %d rows, %s are staged", s.name, r.Task, r.Rows, got)
		}
		delete(have, task)
	}
	for task := range have {
		if _, err := w.db.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE %s = %s", table(w.db, s.name), taskColumn, task)); err != nil {
			return err
		}
	}
	return nil
}

// rows is how many rows are staged, for choosing the cheaper way.
func (w *work) rows(ctx context.Context) int64 {
	var n int64
	rows, _ := w.db.Texts(ctx, "SELECT sum(estimated_size)::VARCHAR FROM duckdb_tables() WHERE database_name = "+duck.Literal(w.db.Name))
	if len(rows) == 1 {
		_, _ = fmt.Sscan(rows[0][0], &n)
	}
	return n
}

// finish are the statements that turn a staged table into a published one.
func finish(db *duck.DB, req connector.CommitRequest, was stamp) []string {
	var stmts []string
	for _, t := range req.Tables {
		stmts = append(stmts, comments(db, t.Plan)...)
	}
	return append(stmts, record(db, req, was)...)
}

// transaction runs stmts in one transaction on one connection.
func transaction(ctx context.Context, db *duck.DB, stmts []string) error {
	_, err := db.Exec(ctx, "BEGIN;\n"+strings.Join(stmts, ";\n")+";\nCOMMIT")
	return err
}

// Recover looks for the run in the published file, then for its stages.
func (d *dest) Recover(ctx context.Context, req connector.CommitRequest) (connector.Recovery, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	live, err := d.look(ctx)
	if err != nil {
		return "", err
	}
	if live.runs[req.Run.ID] {
		return connector.Done, nil
	}
	w, err := d.join(ctx, req.Run.ID, false)
	if err != nil {
		return "", err
	}
	if w == nil {
		return connector.ReadAgain, nil
	}
	w.committing = true // whoever recovers means to commit: Close keeps the file
	if !w.whole {
		for _, t := range req.Tables {
			s := w.tables[fold(t.Plan.Name)]
			token, err := connector.ParseStage(t.Stage)
			if err != nil {
				return "", err
			}
			if s == nil || s.epoch != token.Epoch || w.check(ctx, s, t.Receipts) != nil {
				return connector.ReadAgain, nil
			}
		}
	}
	return connector.CommitAgain, nil
}
