package postgres

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
)

// answerBytes is about how large a batch of an answer grows.
const answerBytes = 4 << 20

// answer decodes what a statement returns, in binary.
type answer struct {
	table  string
	names  []string
	hows   []how
	fields []arrow.Field
}

func (a *answer) add(f arrow.Field, h how) {
	a.names, a.hows, a.fields = append(a.names, f.Name), append(a.hows, h), append(a.fields, f)
}

// read runs a statement and yields its rows; more is false when whoever pulls wants none.
func (a *answer) read(ctx context.Context, d *dest, c *conn, sql string, yield func(arrow.RecordBatch, error) bool) (more bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b, err := batch.NewBuilder(arrow.NewSchema(a.fields, nil), d.pool, answerBytes)
	if err != nil {
		return false, err
	}
	defer b.Release()
	dec := newDecoder(a.table, a.names, a.hows, b)
	dec.encoded = c.encoded
	flush := func() (bool, error) {
		if b.Rows() == 0 {
			return true, nil
		}
		rec, err := b.Batch()
		if err != nil {
			return false, err
		}
		defer rec.Release()
		return yield(rec, nil), nil
	}
	rows := c.PgConn().ExecParams(ctx, sql, nil, nil, nil, []int16{1})
	stop := func() { // the rest of the answer is dropped at the server
		cancel()
		_, _ = rows.Close()
	}
	for rows.NextRow() {
		if err := dec.values(rows.Values()); err != nil {
			stop()
			return false, err
		}
		if !b.Full() && !b.Large() {
			continue
		}
		if more, err := flush(); err != nil || !more {
			stop()
			return false, err
		}
	}
	if _, err := rows.Close(); err != nil {
		return false, d.explain(ctx, "reading "+a.table, err)
	}
	return flush()
}

// values appends one row.
func (d *decoder) values(row [][]byte) error {
	for i, v := range row {
		f := &d.fields[i]
		if v == nil {
			f.col.Null()
			continue
		}
		if err := d.value(f, v); err != nil {
			return err
		}
	}
	return nil
}
