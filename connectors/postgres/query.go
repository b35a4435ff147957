package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// queryLimit bounds how long one statement may take.
const queryLimit = "10min"

// Query runs one statement in a read-only transaction that is rolled back.
func (d *dest) Query(ctx context.Context, q connector.Query) (*connector.Result, error) {
	c, err := d.take(ctx)
	if err != nil {
		return nil, asDest(err)
	}
	fail := func(err error) (*connector.Result, error) {
		c.stop()
		return nil, d.wrong(ctx, err)
	}
	_, err = c.PgConn().Exec(ctx, "BEGIN READ ONLY; SET LOCAL statement_timeout = '"+queryLimit+"'; SET LOCAL search_path = "+ident(d.schema)+", public").ReadAll()
	if err != nil {
		return fail(err)
	}
	about, err := c.PgConn().Prepare(ctx, "", q.SQL, nil)
	if err != nil {
		return fail(err)
	}
	if len(about.Fields) == 0 {
		return fail(fault.New(fault.Config, "query.sql", "ask with SELECT", "the statement returns no columns"))
	}
	types, err := c.types(ctx)
	if err != nil {
		return fail(err)
	}
	a := answer{table: "the answer"}
	var exprs, names []string
	for i, f := range about.Fields {
		h := types.resolve(f.DataTypeOID, f.TypeModifier, 0)
		column := fmt.Sprintf("c%d", i+1)
		names, exprs = append(names, column), append(exprs, h.expr(column))
		a.add(batch.Field(f.Name, h.Type, true, h.Kind, "", ""), h)
	}
	sql := "SELECT " + strings.Join(exprs, ", ") + " FROM (" + strings.TrimRight(q.SQL, "; \t\r\n") + "\n) AS q(" + strings.Join(names, ", ") + ")"
	if q.Rows > 0 {
		sql += fmt.Sprintf(" LIMIT %d", q.Rows+1)
	}
	if _, err := c.PgConn().Prepare(ctx, "", sql, nil); err != nil { // what can't be wrapped is no question
		return fail(err)
	}
	more := false
	return &connector.Result{
		Schema: arrow.NewSchema(a.fields, nil),
		Rows: func(yield func(arrow.RecordBatch, error) bool) {
			limited := atMost(yield, q.Rows, &more)
			if _, err := a.read(ctx, d, c, sql, limited); err != nil {
				yield(nil, d.wrong(ctx, err))
			}
		},
		More:  func() bool { return more },
		Close: func() error { c.stop(); return nil },
	}, nil
}

// atMost hands on n rows, 0 for all, and says whether there were more.
func atMost(yield func(arrow.RecordBatch, error) bool, n int, more *bool) func(arrow.RecordBatch, error) bool {
	left := int64(n)
	return func(rec arrow.RecordBatch, err error) bool {
		if n == 0 || rec == nil || rec.NumRows() <= left {
			if rec != nil {
				left -= rec.NumRows()
			}
			return yield(rec, err)
		}
		*more = true
		if left > 0 {
			head := rec.NewSlice(0, left)
			defer head.Release()
			yield(head, nil)
		}
		return false
	}
}

// wrong makes a fault of what the server says about somebody's SQL.
func (d *dest) wrong(ctx context.Context, err error) error {
	var pg *pgconn.PgError
	if ctx.Err() == nil && errors.As(err, &pg) {
		return fault.Wrap(fault.Config, "query.sql", "correct the statement", fmt.Errorf("%s (SQLSTATE %s)", pg.Message, pg.Code))
	}
	return asDest(d.srv.explain(ctx, "asking", err))
}
