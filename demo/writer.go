package demo

import (
	"context"
	"database/sql"
	"strings"
)

// writer inserts rows, many a statement.
type writer struct {
	ctx      context.Context // of the one call of Create it lives in
	tx       *sql.Tx
	total    int
	done     int
	progress func(done, total int)
}

// maxParameters of one statement: a larger one costs more to bind than it saves.
const maxParameters = 1_000

// table opens one table for inserting. The rows' id is their number, from 1.
func (w *writer) table(name string, columns ...string) *inserter {
	t := &inserter{w: w, columns: len(columns), rows: maxParameters / len(columns)}
	t.sql = "INSERT INTO " + name + " (" + strings.Join(columns, ", ") + ") VALUES "
	t.values = make([]any, 0, t.rows*t.columns)
	return t
}

// inserter collects rows of one table. After an error it does nothing more; finish says which.
type inserter struct {
	w             *writer
	sql           string
	columns, rows int
	values        []any
	full          *sql.Stmt
	count         int
	err           error
}

func (t *inserter) add(values ...any) {
	if t.err != nil {
		return
	}
	t.values = append(t.values, values...)
	t.count++
	if len(t.values) == cap(t.values) {
		t.flush()
	}
}

func (t *inserter) statement(rows int) string {
	one := "(" + strings.Repeat("?,", t.columns-1) + "?)"
	return t.sql + strings.Repeat(one+",", rows-1) + one
}

func (t *inserter) flush() {
	rows := len(t.values) / t.columns
	if rows == 0 || t.err != nil {
		return
	}
	if rows < t.rows {
		_, t.err = t.w.tx.ExecContext(t.w.ctx, t.statement(rows), t.values...)
	} else {
		if t.full == nil {
			t.full, t.err = t.w.tx.PrepareContext(t.w.ctx, t.statement(rows))
		}
		if t.err == nil {
			_, t.err = t.full.ExecContext(t.w.ctx, t.values...)
		}
	}
	t.values = t.values[:0]
	t.w.advance(rows)
}

// progressEvery is how many rows pass between two calls of Progress.
const progressEvery = 10_000

func (w *writer) advance(rows int) {
	before := w.done / progressEvery
	w.done += rows
	if w.progress != nil && w.done/progressEvery != before {
		w.progress(min(w.done, w.total), w.total)
	}
}

func (t *inserter) finish() error {
	t.flush()
	if t.full != nil {
		t.full.Close()
	}
	return t.err
}
