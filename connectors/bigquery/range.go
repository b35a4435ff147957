package bigquery

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// BigQuery's calendar goes from 0001-01-01 to 9999-12-31 and its clock stops before 24:00. PostgreSQL's and MySQL's go
// further; such a value would fail the load job of the whole table, without saying where.
var (
	firstDay    = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Unix() / 86_400
	lastDay     = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).Unix() / 86_400
	firstMicros = firstDay * 86_400_000_000
	lastMicros  = (lastDay+1)*86_400_000_000 - 1
)

const dayMicros = 86_400_000_000

// watched passes rows on, checks that BigQuery can hold their dates and times, and keeps the error they end with, so that it is
// not taken for the writer's.
func watched(ctx context.Context, plan connector.TablePlan, rows batch.Stream, broken *error) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		stop := func(err error) {
			*broken = err
			yield(nil, err)
		}
		n := int64(0)
		for rec, err := range rows {
			if err == nil && ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			if err == nil {
				err = inRange(plan, rec, n)
			}
			if err != nil {
				stop(err)
				return
			}
			n += rec.NumRows()
			if !yield(rec, nil) {
				return
			}
		}
		if ctx.Err() != nil { // a stream may end quietly when it is cancelled
			stop(context.Cause(ctx))
		}
	}
}

func inRange(plan connector.TablePlan, rec arrow.RecordBatch, before int64) error {
	for k, col := range rec.Columns() {
		least, most, value := bounds(col)
		if value == nil {
			continue
		}
		for i := range col.Len() {
			if col.IsNull(i) {
				continue
			}
			if v := value(i); v < least || v > most {
				c := plan.Columns[k]
				return fault.New(fault.Destination, "bigquery.out_of_range", "take the column as text: columns: {types: {"+c.From+": text}}",
					"table %s, column %s, row %d of its task: BigQuery's %s can't hold %s", plan.Name, c.Name, before+int64(i)+1, c.Native,
					batch.AppendText(nil, col, i))
			}
		}
	}
	return nil
}

// bounds are what a column may hold, and how to read it; nil for one that can hold anything.
func bounds(col arrow.Array) (least, most int64, value func(i int) int64) {
	switch a := col.(type) {
	case *array.Date32:
		return firstDay, lastDay, func(i int) int64 { return int64(a.Value(i)) }
	case *array.Time64:
		return 0, dayMicros - 1, func(i int) int64 { return int64(a.Value(i)) }
	case *array.Timestamp:
		return firstMicros, lastMicros, func(i int) int64 { return int64(a.Value(i)) }
	}
	return 0, 0, nil
}
