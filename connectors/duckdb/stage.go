package duckdb

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/duck"
	"github.com/kitamae/kitamae/fault"
)

// Stage makes the table, empty, in the next file. The same epoch again keeps what is there.
func (d *dest) Stage(ctx context.Context, req connector.StageRequest) (connector.Stage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w, err := d.join(ctx, req.Run, true)
	if err != nil {
		return nil, fmt.Errorf("stage %s: %w", req.Plan.Name, err)
	}
	stage, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	key := fold(req.Plan.Name)
	if t := w.tables[key]; t != nil {
		if t.name != req.Plan.Name {
			return nil, fault.New(fault.Config, "duckdb.name_taken", "set tables."+req.Plan.Name+".name",
				"tables %s and %s have the same name for DuckDB, which folds case", t.name, req.Plan.Name)
		}
		if t.epoch == req.Epoch {
			return stage, nil
		}
	}
	if err := w.create(ctx, req); err != nil {
		return nil, d.classify(fmt.Errorf("stage %s: %w", req.Plan.Name, err))
	}
	w.tables[key] = &staged{name: req.Plan.Name, epoch: req.Epoch, wrote: map[int]bool{}}
	return stage, nil
}

// create makes the table and notes it, in one transaction.
func (w *work) create(ctx context.Context, req connector.StageRequest) error {
	var cols []string
	for _, c := range req.Plan.Columns {
		cols = append(cols, duck.Ident(c.Name)+" "+c.Native)
	}
	cols = append(cols, taskColumn+" INTEGER")
	staging, name := metaTable(w.db, "staging"), duck.Literal(req.Plan.Name)
	_, err := w.db.Exec(ctx, strings.Join([]string{
		"BEGIN",
		"DELETE FROM " + staging + " WHERE name = " + name,
		fmt.Sprintf("INSERT INTO %s VALUES (%s, %s, %d)", staging, duck.Literal(req.Run), name, req.Epoch),
		"DROP TABLE IF EXISTS " + table(w.db, req.Plan.Name),
		"CREATE TABLE " + table(w.db, req.Plan.Name) + " (" + strings.Join(cols, ", ") + ")",
		"COMMIT",
	}, ";\n"))
	return err
}

// find is the staged table of a stage.
func (d *dest) find(ctx context.Context, t connector.StageRequest) (*work, *staged, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w, err := d.join(ctx, t.Run, false)
	if err != nil {
		return nil, nil, err
	}
	if w == nil || w.tables[fold(t.Plan.Name)] == nil {
		return nil, nil, fault.New(fault.Destination, "duckdb.stage_lost", "run again", "the staged table %s is gone", t.Plan.Name)
	}
	s := w.tables[fold(t.Plan.Name)]
	if s.epoch != t.Epoch {
		return nil, nil, fault.New(fault.Internal, "duckdb.epoch", "", "table %s was staged anew (epoch %d, this is %d)", s.name, s.epoch, t.Epoch)
	}
	return w, s, nil
}

// Write adds one task's rows in one transaction, in place of those it wrote before.
func (d *dest) Write(ctx context.Context, s connector.Stage, task int, rows batch.Stream) (connector.Receipt, error) {
	token, err := connector.ParseStage(s)
	if err != nil {
		return connector.Receipt{}, err
	}
	w, t, err := d.find(ctx, token)
	if err != nil {
		return connector.Receipt{}, err
	}
	name := table(w.db, t.name)
	var first []string
	t.mu.Lock()
	if t.wrote[task] || w.adopted {
		first = append(first, fmt.Sprintf("DELETE FROM %s WHERE %s = %d", name, taskColumn, task))
	}
	t.wrote[task] = true // also when it fails: a commit that was cut off may have happened
	t.mu.Unlock()
	n, err := w.db.Load(ctx, streamSchema(token.Plan), w.measured(ctx, t, rows), func(view string) string {
		return fmt.Sprintf("INSERT INTO %s SELECT *, %d FROM %s", name, task, view)
	}, first...)
	if err != nil {
		return connector.Receipt{}, d.classify(fmt.Errorf("write %s: %w", t.name, err))
	}
	return connector.Receipt{Task: task, Epoch: token.Epoch, Rows: n}, nil
}

// measured counts what goes by.
func (w *work) measured(ctx context.Context, s *staged, rows batch.Stream) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for rec, err := range rows {
			if err == nil {
				size := batch.Size(rec)
				s.mu.Lock()
				s.rows += rec.NumRows()
				s.bytes += size
				s.mu.Unlock()
				err = w.makeRoom(ctx, size)
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

// largeBatch is which part of its memory a batch may be before DuckDB gets all there is: it
// holds a large value some eight times over.
const largeBatch = 12

// makeRoom gives DuckDB its whole share once a batch of so many bytes comes that it needs it.
func (w *work) makeRoom(ctx context.Context, size int64) (err error) {
	if w.memory > 0 && size > usualMemory(w.memory)/largeBatch {
		w.roomy.Do(func() { err = w.db.SetMemory(ctx, w.memory) })
	}
	return err
}

// wideRow is the size from which rows are read in windows: DuckDB holds some thousands of rows in a few
// places at once, whatever their size. windowBytes is about how much one window reads.
const (
	wideRow     = 4 << 10
	windowBytes = 8 << 20
)

// ReadStaged streams the rows of the receipts' tasks. DuckDB computes a little ahead of
// the reader, never the whole answer.
func (d *dest) ReadStaged(ctx context.Context, s connector.Stage, receipts []connector.Receipt, names []string) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		token, err := connector.ParseStage(s)
		if err != nil {
			yield(nil, err)
			return
		}
		w, t, err := d.find(ctx, token)
		if err != nil {
			yield(nil, err)
			return
		}
		schema, exprs, err := projection(token.Plan, names)
		if err != nil {
			yield(nil, err)
			return
		}
		sql := "SELECT " + strings.Join(exprs, ", ") + " FROM " + table(w.db, t.name) + " WHERE " + w.only(t, receipts)
		windows := []string{sql}
		if size := t.rowBytes(); size >= wideRow {
			if windows, err = w.windows(ctx, t, sql, max(windowBytes/size, 1)); err != nil {
				yield(nil, d.classify(err))
				return
			}
		}
		for _, sql := range windows {
			for rec, err := range w.db.Scan(ctx, schema, sql) {
				if err != nil {
					err = d.classify(fmt.Errorf("read staged %s: %w", t.name, err))
				}
				if !yield(rec, err) || err != nil {
					return
				}
			}
		}
	}
}

// windows divides a statement that ends in a condition by ranges of so many rows.
func (w *work) windows(ctx context.Context, t *staged, sql string, rows int64) ([]string, error) {
	last, err := w.db.Texts(ctx, "SELECT coalesce(max(rowid), -1)::VARCHAR FROM "+table(w.db, t.name))
	if err != nil {
		return nil, err
	}
	end, err := strconv.ParseInt(last[0][0], 10, 64)
	var all []string
	for from := int64(0); from <= end; from += rows {
		all = append(all, fmt.Sprintf("%s AND rowid BETWEEN %d AND %d", sql, from, from+rows-1))
	}
	return all, err
}

// projection is what ReadStaged selects: the schema and the expressions that make it.
func projection(plan connector.TablePlan, names []string) (*arrow.Schema, []string, error) {
	var fields []arrow.Field
	var exprs []string
	all := plan.Schema()
	pick := func(i int) {
		fields = append(fields, all.Field(i))
		exprs = append(exprs, duck.ReadExpr(duck.Ident(all.Field(i).Name), all.Field(i).Type))
	}
	for i := range all.NumFields() {
		if len(names) == 0 {
			pick(i)
		}
	}
	for _, name := range names {
		i := slices.IndexFunc(plan.Columns, func(c connector.ColumnPlan) bool { return c.Name == name })
		if i < 0 {
			return nil, nil, fault.New(fault.Internal, "duckdb.column", "", "table %s has no column %s", plan.Name, name)
		}
		pick(i)
	}
	return arrow.NewSchema(fields, nil), exprs, nil
}

// only is the condition that keeps the receipts' rows; none where those are all there are, as
// a filter costs as much as reading.
func (w *work) only(t *staged, receipts []connector.Receipt) string {
	tasks := map[int]bool{}
	for _, r := range receipts {
		tasks[r.Task] = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	others := w.adopted
	for task := range t.wrote {
		others = others || !tasks[task]
	}
	if !others {
		return "true"
	}
	list := []string{"-1"} // a task number nobody has, as the list may be empty
	for task := range tasks {
		list = append(list, strconv.Itoa(task))
	}
	return taskColumn + " IN (" + strings.Join(list, ", ") + ")"
}

// Abort drops the staged table, and the next file with the last one.
func (d *dest) Abort(ctx context.Context, s connector.Stage) error {
	token, err := connector.ParseStage(s)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // cleaning up is what an interrupted run does last
	d.mu.Lock()
	defer d.mu.Unlock()
	w, err := d.join(ctx, token.Run, false)
	if err != nil || w == nil {
		return err
	}
	key := fold(token.Plan.Name)
	if t := w.tables[key]; t != nil && t.epoch == token.Epoch {
		_, err = w.db.Exec(ctx, "DROP TABLE IF EXISTS "+table(w.db, t.name)+
			"; DELETE FROM "+metaTable(w.db, "staging")+" WHERE name = "+duck.Literal(t.name))
		if err != nil && len(w.tables) > 1 {
			return d.classify(fmt.Errorf("abort %s: %w", t.name, err))
		}
		delete(w.tables, key)
	}
	if len(w.tables) == 0 {
		d.discard()
	}
	return nil
}
