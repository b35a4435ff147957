package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// Sample reads some rows again through database/sql and the stock driver, and makes Arrow values of
// what it answers by the standard library. It shares no conversion with Read.
func (s *source) Sample(ctx context.Context, asked connector.TableScan, n int) (arrow.RecordBatch, error) {
	v, err := s.current()
	if err != nil {
		return nil, err
	}
	t, err := v.find(asked)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	fields := make([]arrow.Field, len(asked.Columns))
	for i, c := range asked.Columns {
		fields[i] = c.Field()
	}
	out := &sampler{t: t, b: array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil)), left: n, seen: map[string]bool{}}
	defer out.b.Release()
	for _, q := range t.sampleQueries(n) {
		if out.left == 0 {
			break
		}
		rows, err := v.stock.QueryContext(ctx, q)
		if err != nil {
			return nil, stockFault(v.path, err)
		}
		if err := out.add(rows); err != nil {
			return nil, fmt.Errorf("sample %s: %w", asked.Table.Name, err)
		}
	}
	return out.b.NewRecordBatch(), nil
}

// maxSpread bounds how many rows are looked up one by one.
const maxSpread = 200

// sampleQueries ask for about n rows: those on both sides of the partitions' bounds, then
// rows spread over the key's range, or simply the first and last ones.
func (t *scanned) sampleQueries(n int) []string {
	exprs := t.rowName()
	for _, c := range t.asked.Columns {
		exprs = append(exprs, "+"+quote(c.Name)) // the sign does nothing but hide the declared type, which the driver would act on
	}
	list := "SELECT " + strings.Join(exprs, ", ") + " FROM "
	if t.by == "" {
		return []string{list + t.from(partition{}) + fmt.Sprintf(" LIMIT %d", n)}
	}
	columns := strings.TrimSuffix(strings.TrimPrefix(t.by, "("), ")")
	down := strings.ReplaceAll(columns, ", ", " DESC, ") + " DESC"
	var queries []string
	step := max(1, (len(t.bounds)*4+n-1)/max(1, n))
	for i := 0; i < len(t.bounds); i += step {
		queries = append(queries,
			list+t.from(partition{To: t.bounds[i]})+" ORDER BY "+down+" LIMIT 1",
			list+t.from(partition{From: t.bounds[i]})+" ORDER BY "+columns+" LIMIT 1")
	}
	spread := max(1, min(maxSpread, (n-len(queries))/2))
	if t.rel.rowid != "" {
		// Two subqueries, as SQLite looks only a single min or max up at the end of the tree.
		least := fmt.Sprintf("(SELECT min(%s) FROM main.%s)", t.by, quote(t.rel.name))
		most := fmt.Sprintf("(SELECT max(%s) FROM main.%s)", t.by, quote(t.rel.name))
		for i := range spread {
			at := fmt.Sprintf("CAST(%s + (%s * 1.0 - %[1]s) * %[3]d / %[4]d AS INTEGER)", least, most, i, spread)
			queries = append(queries, list+t.from(partition{From: at})+" ORDER BY "+columns+" LIMIT 1")
		}
	}
	return append(queries,
		list+t.from(partition{})+" ORDER BY "+down+fmt.Sprintf(" LIMIT %d", spread),
		list+t.from(partition{})+" ORDER BY "+columns+fmt.Sprintf(" LIMIT %d", n))
}

// sampler collects rows it has not seen.
type sampler struct {
	t    *scanned
	b    *array.RecordBuilder
	left int
	seen map[string]bool // row names
}

func (o *sampler) add(rows *sql.Rows) error {
	defer rows.Close()
	names := len(o.t.rowName())
	values := make([]any, names+len(o.t.asked.Columns))
	dest := make([]any, len(values))
	for i := range values {
		dest[i] = &values[i]
	}
	for rows.Next() && o.left > 0 {
		if err := rows.Scan(dest...); err != nil {
			return stockFault("the sample", err)
		}
		if name := fmt.Sprintf("%#v", values[:names]); names > 0 {
			if o.seen[name] {
				continue
			}
			o.seen[name] = true
		}
		for i, v := range values[names:] {
			c := o.t.asked.Columns[i]
			if err := appendSample(o.b.Field(i), v); err != nil {
				return fault.New(fault.Source, "sqlite.changed", "run again: columns are surveyed anew",
					"column %s holds a value that is no %s: %v", c.Name, c.Type, err)
			}
		}
		o.left--
	}
	return stockFault("the sample", rows.Err())
}

// appendSample appends what the stock driver answered: int64, float64, string, []byte or nil.
func appendSample(b array.Builder, v any) error {
	if v == nil {
		b.AppendNull()
		return nil
	}
	switch b := b.(type) {
	case *array.Int64Builder:
		n, ok := v.(int64)
		b.Append(n)
		return kindOf(ok, v)
	case *array.BooleanBuilder:
		n, ok := v.(int64)
		b.Append(n != 0)
		return kindOf(ok, v)
	case *array.Float64Builder:
		switch v := v.(type) {
		case int64:
			b.Append(float64(v))
		case float64:
			b.Append(v)
		default:
			return kindOf(false, v)
		}
	case *array.StringBuilder:
		if bytes, ok := v.([]byte); ok {
			v = "X'" + strings.ToUpper(hex.EncodeToString(bytes)) + "'"
		}
		b.Append(sampleText(v))
	case *array.BinaryBuilder:
		if bytes, ok := v.([]byte); ok {
			b.Append(bytes)
			return nil
		}
		b.Append([]byte(sampleText(v)))
	case *array.Date32Builder:
		text, _ := v.(string)
		day, err := time.Parse(time.DateOnly, text)
		b.Append(arrow.Date32FromTime(day))
		return err
	case *array.TimestampBuilder:
		text, _ := v.(string)
		at, err := sampleTime(text)
		b.Append(arrow.Timestamp(at.UnixMicro()))
		return err
	case *array.Decimal128Builder:
		typ := b.Type().(*arrow.Decimal128Type)
		n, err := decimal128.FromString(sampleText(v), typ.Precision, typ.Scale)
		b.Append(n)
		return err
	default:
		return fmt.Errorf("no sample of %s", b.Type())
	}
	return nil
}

func kindOf(ok bool, v any) error {
	if ok {
		return nil
	}
	return fmt.Errorf("it is a %T", v)
}

func sampleText(v any) string {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		if math.IsInf(v, 0) {
			return strings.TrimPrefix(strconv.FormatFloat(v, 'g', -1, 64), "+")
		}
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		return s
	case string:
		return v
	}
	return fmt.Sprint(v)
}

func sampleTime(text string) (time.Time, error) {
	text = strings.Replace(text, "T", " ", 1)
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04", "2006-01-02 15:04Z07:00"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, errors.New("it is no time")
}
