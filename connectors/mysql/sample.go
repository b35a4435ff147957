package mysql

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
)

// Sample reads at most n rows in the text protocol through go-mysql and parses them with
// the standard library: nothing of it is shared with Read's decoders. Half of the rows
// stand at the bounds between partitions, the rest at the table's ends and inside.
func (s *Source) Sample(ctx context.Context, table connector.TableScan, n int) (arrow.RecordBatch, error) {
	t, err := s.tableOf(table)
	if err != nil {
		return nil, err
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, t.schema)
	defer b.Release()
	seen := map[string]bool{}
	err = s.inSnapshot(ctx, t, func(c *conn) error {
		for _, sql := range t.sampleQueries(n) {
			res, err := c.query(ctx, sql)
			if err != nil {
				return err
			}
			for i := 0; i < len(res.Values) && len(seen) < n; i++ {
				if err := t.appendText(b, res, i, seen); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b.NewRecordBatch(), nil
}

// sampleQueries pick the rows: single ones on either side of bounds, then runs of some
// rows from bounds and ends.
func (t *viewTable) sampleQueries(n int) []string {
	list := make([]string, len(t.scan.Columns))
	for i, col := range t.scan.Columns {
		list[i], _ = selection(col) // newViewTable has refused what can't be read
		if parseNative(col.Native).floating() && col.Type.ID() != arrow.STRING {
			list[i] += "+0e0" // else six digits of a float are printed
		}
		if parseNative(col.Native).base == "bit" && col.Type.ID() != arrow.STRING { // also as a boolean, whose kind is gone
			list[i] += "+0"
		}
	}
	pick := func(condition string, descending bool, limit int) string {
		order := ""
		if cols := t.orderColumns(); len(cols) > 0 {
			way := ""
			if descending {
				way = " DESC"
			}
			order = " ORDER BY " + strings.Join(cols, way+", ") + way
		}
		return fmt.Sprintf("SELECT %s FROM %s%s%s LIMIT %d", strings.Join(list, ", "), t.from, t.where(condition), order, limit)
	}
	if len(t.orderColumns()) == 0 {
		return []string{pick("", false, n)}
	}
	bounds := len(t.ranges) - 1
	if bounds == 0 {
		return []string{pick("", false, (n+1)/2), pick("", true, n)}
	}
	var queries []string
	take := min(bounds, max(n/4, 1))
	for k := range take {
		at := t.ranges[(k*bounds)/take].Hi
		queries = append(queries, pick(t.split.condition(partition{Hi: at}), true, 1), pick(t.split.condition(partition{Lo: at}), false, 1))
	}
	queries = append(queries, pick("", false, max(n/8, 1)), pick("", true, max(n/8, 1)))
	for k := range min(len(t.ranges), 8) {
		at := t.ranges[k*len(t.ranges)/min(len(t.ranges), 8)]
		queries = append(queries, pick(t.split.condition(at), false, max(n/4, 1)))
	}
	return queries
}

// orderColumns is what rows are sorted by to find those at a bound: the key's columns.
func (t *viewTable) orderColumns() []string {
	key := t.split.columns
	if len(key) == 0 && !t.scan.Table.View {
		key = t.scan.Table.Key
	}
	names := make([]string, len(key))
	for i, k := range key {
		names[i] = quoteName(k)
	}
	return names
}

// appendText appends row i of res unless it was seen before.
func (t *viewTable) appendText(b *array.RecordBuilder, res *mysql.Result, i int, seen map[string]bool) error {
	vals, nulls := make([]string, len(res.Fields)), make([]bool, len(res.Fields))
	for k := range vals {
		v := res.Values[i][k]
		if v.Type == mysql.FieldValueTypeFloat {
			vals[k] = strconv.FormatFloat(v.AsFloat64(), 'g', -1, 64)
			continue
		}
		var ok bool
		vals[k], ok = text(res, i, k)
		nulls[k] = !ok
	}
	id := fmt.Sprintf("%q %v", vals, nulls)
	if seen[id] {
		return nil
	}
	seen[id] = true
	for k, f := range b.Fields() {
		if nulls[k] {
			f.AppendNull()
			continue
		}
		col := t.scan.Columns[k]
		if err := appendValue(f, vals[k], col.Kind == batch.KindGeometry); err != nil {
			return fmt.Errorf("column %s: %q: %w", col.Name, vals[k], err)
		}
	}
	return nil
}

// appendValue parses the server's text of one value.
func appendValue(b array.Builder, s string, geometry bool) error {
	switch b := b.(type) {
	case *array.StringBuilder:
		b.Append(strings.ToValidUTF8(s, "\uFFFD"))
	case *array.BinaryBuilder:
		if geometry {
			if len(s) < 4 {
				return fmt.Errorf("geometry of %d bytes", len(s))
			}
			s = s[binary.Size(uint32(0)):]
		}
		b.Append([]byte(s))
	case *array.BooleanBuilder:
		b.Append(s != "0")
	case *array.Float32Builder:
		v, err := strconv.ParseFloat(s, 64)
		b.Append(float32(v))
		return err
	case *array.Decimal128Builder:
		n, err := unscaled(s, b.Type().(*arrow.Decimal128Type).Scale)
		if err == nil {
			b.Append(decimal128.FromBigInt(n))
		}
		return err
	case *array.Decimal256Builder:
		n, err := unscaled(s, b.Type().(*arrow.Decimal256Type).Scale)
		if err == nil {
			b.Append(decimal256.FromBigInt(n))
		}
		return err
	case *array.Date32Builder:
		v, err := time.Parse("2006-01-02", s)
		if err != nil {
			b.AppendNull()
			return nil //nolint:nilerr // a zero or impossible date becomes null, here as in Read
		}
		b.Append(arrow.Date32FromTime(v))
	case *array.TimestampBuilder:
		v, err := time.Parse("2006-01-02 15:04:05", s)
		if err != nil {
			b.AppendNull()
			return nil //nolint:nilerr // as above
		}
		b.Append(arrow.Timestamp(v.UnixMicro()))
	case *array.DurationBuilder:
		v, err := duration(s)
		b.Append(arrow.Duration(v.Microseconds()))
		return err
	default:
		return b.AppendValueFromString(s)
	}
	return nil
}

// unscaled reads a decimal's text as an integer of its last places.
func unscaled(s string, scale int32) (*big.Int, error) {
	whole, places, _ := strings.Cut(s, ".")
	if len(places) > int(scale) {
		return nil, fmt.Errorf("more than %d places", scale)
	}
	n, ok := new(big.Int).SetString(whole+places+strings.Repeat("0", int(scale)-len(places)), 10)
	if !ok {
		return nil, fmt.Errorf("not a decimal")
	}
	return n, nil
}

// duration reads [-]HHH:MM:SS[.ffffff].
func duration(s string) (time.Duration, error) {
	digits, negative := strings.CutPrefix(s, "-")
	parts := strings.SplitN(digits, ":", 3)
	if len(parts) != 3 {
		return 0, fmt.Errorf("not a time")
	}
	d, err := time.ParseDuration(parts[0] + "h" + parts[1] + "m" + parts[2] + "s")
	if negative {
		d = -d
	}
	return d, err
}
