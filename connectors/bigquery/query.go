package bigquery

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"time"

	bq "cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/dustin/go-humanize"
	"google.golang.org/api/iterator"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// Query runs one SELECT with the dataset as its default. A dry run, which bills nothing, says first whether it is one
// and what it would cost.
func (d *dest) Query(ctx context.Context, q connector.Query) (*connector.Result, error) {
	if _, err := d.dataset(ctx); err != nil {
		return nil, err
	}
	ask := d.client.Query(q.SQL)
	ask.DefaultProjectID, ask.DefaultDatasetID = d.spec.Project, d.spec.Dataset
	ask.DryRun = true
	job, err := ask.Run(ctx)
	if err != nil {
		return nil, wrong(ctx, err)
	}
	stats, ok := job.LastStatus().Statistics.Details.(*bq.QueryStatistics)
	if !ok || stats.StatementType != "SELECT" {
		return nil, fault.New(fault.Config, "query.sealed", "ask the published tables only", "only a SELECT may be asked")
	}
	if q.MaxCost > 0 {
		if c := cost(d.client.Location, stats.TotalBytesProcessed); c.Price > q.MaxCost {
			return nil, fault.New(fault.Config, "query.cost", "ask for fewer columns or partitions, or raise limits.cost_per_run",
				"the query would be billed %s for %s, more than the %s of limits.cost_per_run", c.Price, humanize.IBytes(uint64(c.Bytes)), q.MaxCost)
		}
		ask.MaxBytesBilled = bytesFor(d.client.Location, q.MaxCost)
	}
	ask.DryRun = false
	it, err := ask.Read(ctx)
	if err != nil {
		return nil, wrong(ctx, err)
	}
	// The schema comes with the first row, or with the end of none.
	first, err := next(it)
	if err != nil && !errors.Is(err, iterator.Done) {
		return nil, wrong(ctx, err)
	}
	schema := arrowSchema(it.Schema)
	more := false
	return &connector.Result{
		Schema: schema,
		Rows:   d.answer(ctx, schema, it, first, q.Rows, &more),
		More:   func() bool { return more },
		Close:  func() error { return nil },
	}, nil
}

func next(it *bq.RowIterator) ([]bq.Value, error) {
	var row []bq.Value
	err := it.Next(&row)
	return row, err
}

// wrong makes a fault of what BigQuery says about somebody's SQL.
func wrong(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("query: %w", context.Cause(ctx))
	}
	if status(err) == 400 || reason(err) == "invalidQuery" {
		return fault.Wrap(fault.Config, "query.sql", "correct the statement", err)
	}
	return classify(err, "query")
}

// answer yields row and what follows it, up to n rows, 0 for all.
func (d *dest) answer(ctx context.Context, schema *arrow.Schema, it *bq.RowIterator, row []bq.Value, n int, more *bool) batch.Stream {
	return d.built(schema, func(b *batch.Builder, flush func() bool) (err error) {
		const perBatch = 1000
		for count := 0; row != nil; count++ {
			if n > 0 && count == n {
				*more = true
				return nil
			}
			for i, v := range row {
				put(b.Columns[i], it.Schema[i], v)
			}
			if b.Rows() >= perBatch && !flush() {
				return nil
			}
			if row, err = next(it); errors.Is(err, iterator.Done) {
				return nil
			} else if err != nil {
				return wrong(ctx, err)
			}
		}
		return nil
	})
}

// built is a stream of the rows that fill appends to a builder. When there are enough for a batch, fill calls flush, which returns false once
// nobody wants more; what is left at its end is the last batch.
func (d *dest) built(schema *arrow.Schema, fill func(b *batch.Builder, flush func() bool) error) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		b, err := batch.NewBuilder(schema, d.pool, readBatchBytes)
		if err != nil {
			yield(nil, err)
			return
		}
		defer b.Release()
		wanted := true
		flush := func() bool {
			rec, err := b.Batch()
			if err != nil {
				wanted = false
				yield(nil, err)
				return false
			}
			defer rec.Release()
			wanted = yield(rec, nil)
			return wanted
		}
		err = fill(b, flush)
		switch {
		case !wanted:
		case err != nil:
			yield(nil, err)
		case b.Rows() > 0:
			flush()
		}
	}
}

// arrowSchema is an answer's schema. What has no exact Arrow type here is text.
func arrowSchema(s bq.Schema) *arrow.Schema {
	fields := make([]arrow.Field, len(s))
	for i, f := range s {
		var t arrow.DataType = arrow.BinaryTypes.String
		if !f.Repeated {
			switch f.Type {
			case bq.IntegerFieldType:
				t = arrow.PrimitiveTypes.Int64
			case bq.FloatFieldType:
				t = arrow.PrimitiveTypes.Float64
			case bq.BooleanFieldType:
				t = arrow.FixedWidthTypes.Boolean
			case bq.BytesFieldType:
				t = arrow.BinaryTypes.Binary
			case bq.DateFieldType:
				t = arrow.FixedWidthTypes.Date32
			case bq.TimeFieldType:
				t = arrow.FixedWidthTypes.Time64us
			case bq.DateTimeFieldType:
				t = &arrow.TimestampType{Unit: arrow.Microsecond}
			case bq.TimestampFieldType:
				t = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
			case bq.NumericFieldType:
				t = &arrow.Decimal128Type{Precision: 38, Scale: 9}
			}
		}
		fields[i] = batch.Field(f.Name, t, true, "", standard(f.Type), f.Description)
	}
	return arrow.NewSchema(fields, nil)
}

// put appends a value of the type that arrowSchema gave its column.
func put(c *batch.Column, f *bq.FieldSchema, v bq.Value) {
	switch v := v.(type) {
	case nil:
		c.Null()
	case int64:
		c.Uint64(uint64(v))
	case float64:
		c.Uint64(math.Float64bits(v))
	case bool:
		c.Bool(v)
	case []byte:
		c.Value(v)
	case civil.Date:
		c.Uint32(uint32(v.In(time.UTC).Unix() / 86_400))
	case civil.Time:
		c.Uint64(uint64(micros(v)))
	case civil.DateTime:
		c.Uint64(uint64(v.Date.In(time.UTC).UnixMicro() + micros(v.Time)))
	case time.Time:
		c.Uint64(uint64(v.UnixMicro()))
	case *big.Rat:
		if f.Type == bq.NumericFieldType && !f.Repeated {
			scaled := new(big.Rat).Mul(v, big.NewRat(1_000_000_000, 1))
			n := decimal128.FromBigInt(scaled.Num())
			c.Decimal128(n.HighBits(), n.LowBits())
			return
		}
		digits, _ := v.FloatPrec()
		c.Value([]byte(v.FloatString(digits)))
	case string:
		c.Value([]byte(v))
	default: // arrays, records, intervals
		c.Value(fmt.Append(nil, v))
	}
}

func micros(t civil.Time) int64 {
	return (int64(t.Hour)*3600+int64(t.Minute)*60+int64(t.Second))*1_000_000 + int64(t.Nanosecond)/1000
}
