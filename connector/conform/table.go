package conform

import (
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
)

// table makes rows of one schema out of their numbers: the same numbers, the same rows.
type table struct {
	name    string
	comment string
	key     []string
	schema  *arrow.Schema
	layout  connector.Layout
	fill    func(cols []*batch.Column, row int)
}

// stream is rows from up to, without, to, in batches of perBatch. Buffers are used again for the next batch, so
// that a destination that keeps what it only borrowed stores wrong rows.
func (tb table) stream(from, to, perBatch int) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		b, err := batch.NewBuilder(tb.schema, &batch.Pool{}, 1<<30)
		if err != nil {
			yield(nil, err)
			return
		}
		defer b.Release()
		for row := from; row < to; {
			for ; row < to && b.Rows() < perBatch; row++ {
				tb.fill(b.Columns, row)
			}
			rec, err := b.Batch()
			if err != nil {
				yield(nil, err)
				return
			}
			more := yield(rec, nil)
			rec.Release()
			if !more {
				return
			}
		}
	}
}

// batch is rows from up to, without, to, also when these are none.
func (tb table) batch(t *testing.T, from, to int) arrow.RecordBatch {
	t.Helper()
	b, err := batch.NewBuilder(tb.schema, &batch.Pool{}, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	for row := from; row < to; row++ {
		tb.fill(b.Columns, row)
	}
	rec, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rec.Release)
	return rec
}

// people is an everyday table. An edition is added to its values, so that a second
// edition is seen to have replaced the first.
func people(name string, edition int) table {
	return table{
		name: name, comment: "who uses it", key: []string{"id"},
		schema: arrow.NewSchema([]arrow.Field{
			batch.Field("id", arrow.PrimitiveTypes.Int64, false, "", "bigint", "the key"),
			batch.Field("name", arrow.BinaryTypes.String, true, "", "varchar(50)", "氏名"),
			batch.Field("score", &arrow.Decimal128Type{Precision: 10, Scale: 2}, true, "", "decimal(10,2)", ""),
			batch.Field("born", arrow.FixedWidthTypes.Date32, true, "", "date", ""),
		}, nil),
		fill: func(cols []*batch.Column, row int) {
			cols[0].Uint64(uint64(row))
			if row%5 == 4 {
				cols[1].Null()
				cols[2].Null()
			} else {
				cols[1].Value([]byte(strings.Repeat("氏", row%7) + string(rune('A'+edition))))
				cols[2].Decimal128(0, uint64(row*100+edition))
			}
			cols[3].Uint32(uint32(row % 20_000))
		},
	}
}

// rowsOf are a stream's rows in text, one entry a row, values apart by a byte no text in the suite has; nulls are marked.
// Durations that a system keeps as intervals (schema says which) read as durations.
func rowsOf(t *testing.T, rows batch.Stream, schema *arrow.Schema) (names []string, lines []string) {
	t.Helper()
	for rec, err := range rows {
		if err != nil {
			t.Fatalf("read rows: %v", err)
		}
		names = names[:0]
		for i := range int(rec.NumCols()) {
			names = append(names, rec.ColumnName(i))
		}
		var line []byte
		for row := range int(rec.NumRows()) {
			line = line[:0]
			for i, col := range rec.Columns() {
				interval, ok := col.(*array.MonthDayNanoInterval)
				switch {
				case col.IsNull(row):
					line = append(line, "(null)"...)
				case ok && i < schema.NumFields() && schema.Field(i).Type.ID() == arrow.DURATION && interval.Value(row).Months == 0 && interval.Value(row).Days == 0:
					line = batch.AppendDuration(line, interval.Value(row).Nanoseconds, arrow.Nanosecond)
				default:
					line = batch.AppendText(line, col, row)
				}
				line = append(line, separator)
			}
			lines = append(lines, string(line))
		}
	}
	return names, lines
}

const separator = 0x1f
