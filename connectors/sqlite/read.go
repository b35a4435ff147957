package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// Read opens one partition. It takes a connection when Rows is first pulled.
func (s *source) Read(ctx context.Context, p connector.Partition) (*connector.Reading, error) {
	var part partition
	if err := json.Unmarshal(p, &part); err != nil {
		return nil, fault.Wrap(fault.Internal, "sqlite.partition", "", err)
	}
	v, err := s.current()
	if err != nil {
		return nil, err
	}
	if part.Index < 0 || part.Index >= len(v.tables) || v.tables[part.Index].rel.name != part.Table {
		return nil, fault.New(fault.Internal, "sqlite.partition", "", "the partition of %s is another scan's", part.Table)
	}
	r := &reader{view: v, table: &v.tables[part.Index], part: part, pool: s.pool}
	return &connector.Reading{
		Rows:   func(yield func(arrow.RecordBatch, error) bool) { r.rows(ctx, yield) },
		Result: func() connector.ReadResult { return r.result },
	}, nil
}

// reader reads one partition.
type reader struct {
	view   *view
	table  *scanned
	part   partition
	pool   *batch.Pool
	result connector.ReadResult
}

const (
	defaultBatchBytes = 8 << 20
	defaultValueBytes = 256 << 20
	// largeRow is from which size on a row is looked at by itself for filling a batch.
	largeRow = 64 << 10
)

func (r *reader) rows(ctx context.Context, yield func(arrow.RecordBatch, error) bool) {
	c, err := r.view.take(ctx)
	if err != nil {
		yield(nil, err)
		return
	}
	defer r.view.give(c)
	defer c.interruptible(ctx)()
	r.result.From = time.Now().UTC()
	err = r.read(ctx, c, yield)
	r.result.To = time.Now().UTC()
	if err != nil {
		if ctx.Err() != nil {
			err = fault.Wrap(fault.Interrupted, "run.interrupted", "", ctx.Err())
		}
		yield(nil, fmt.Errorf("read %s: %w", r.part.Table, err))
	}
}

// read yields the partition's batches. It returns nil when the consumer has stopped.
func (r *reader) read(ctx context.Context, c *conn, yield func(arrow.RecordBatch, error) bool) error {
	b, decoders, err := r.prepare()
	if err != nil {
		return err
	}
	defer b.Release()
	s, err := c.prepare(r.sql())
	if err != nil {
		return err
	}
	defer s.close()
	for n := int64(1); ; n++ {
		more, err := s.next()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		size := 0
		for i := range decoders {
			out := b.Columns[i]
			before := out.Bytes()
			if why := decoders[i].decode(s, i, out); why != accepted {
				return r.refuse(c, s, i, why)
			}
			size += out.Bytes() - before
		}
		r.result.Bytes += int64(size)
		if b.Full() || size > largeRow && b.Large() {
			if more, err := flush(b, yield); err != nil || !more {
				return err
			}
		}
	}
	if b.Rows() > 0 {
		_, err = flush(b, yield)
	}
	return err
}

func flush(b *batch.Builder, yield func(arrow.RecordBatch, error) bool) (more bool, err error) {
	rec, err := b.Batch()
	if err != nil {
		return false, err
	}
	defer rec.Release()
	return yield(rec, nil), nil
}

// prepare makes the builder and one decoder a column.
func (r *reader) prepare() (*batch.Builder, []decoder, error) {
	limits := r.view.limits
	if limits.batchBytes <= 0 {
		limits.batchBytes = defaultBatchBytes
	}
	if limits.valueBytes <= 0 {
		limits.valueBytes = defaultValueBytes
	}
	fields := make([]arrow.Field, len(r.table.asked.Columns))
	decoders := make([]decoder, len(fields))
	for i, c := range r.table.asked.Columns {
		fields[i] = c.Field()
		d := decoder{typ: c.Type.ID(), max: limits.valueBytes}
		switch t := c.Type.DataType.(type) {
		case *arrow.Decimal128Type:
			d.target = declared{precision: t.Precision, scale: t.Scale}
		case *arrow.TimestampType:
			d.zoned = t.TimeZone != ""
		case *arrow.BooleanType:
			// Declared so, it is 0 or 1; where the config asks for it, anything but 0 is true.
			d.strict = slices.ContainsFunc(r.table.asked.Table.Columns, func(o connector.Column) bool {
				return o.Name == c.Name && o.Type.DataType != nil && o.Type.ID() == arrow.BOOL
			})
		}
		decoders[i] = d
	}
	b, err := batch.NewBuilder(arrow.NewSchema(fields, nil), r.pool, limits.batchBytes)
	if err != nil {
		return nil, nil, fault.Wrap(fault.Internal, "sqlite.type", "", err)
	}
	return b, decoders, nil
}

// sql selects the asked columns, and after them what names a row in an error.
func (r *reader) sql() string {
	var exprs []string
	for _, c := range r.table.asked.Columns {
		exprs = append(exprs, quote(c.Name))
	}
	return "SELECT " + strings.Join(append(exprs, r.table.rowName()...), ", ") + " FROM " + r.table.from(r.part)
}

// rowName is the columns that tell a person which row it is.
func (t *scanned) rowName() []string {
	if t.rel.rowid != "" {
		return []string{t.rel.rowid}
	}
	var names []string
	for _, k := range t.rel.key {
		names = append(names, quote(k))
	}
	return names
}

// shownKey is how many characters of a key's text a person needs.
const shownKey = 60

// rowKey tells a person which row is the current one: by the table's key where it has one, which is only looked up now, else by its rowid.
func (r *reader) rowKey(c *conn, s *stmt) string {
	t := r.table
	var list []string
	for k, name := range t.rowName() {
		list = append(list, strings.Trim(name, `"`)+" "+s.valueLiteral(len(t.asked.Columns)+k))
	}
	known := strings.Join(list, ", ")
	key := t.asked.Key
	if len(key) == 0 {
		key = t.asked.Table.Key
	}
	if len(key) == 0 || t.rel.rowid == "" {
		return known
	}
	var exprs []string
	for _, k := range key {
		exprs = append(exprs, fmt.Sprintf("CASE WHEN typeof(%[1]s) IN ('text', 'blob') THEN substr(%[1]s, 1, %[2]d) ELSE %[1]s END", quote(k), shownKey))
	}
	look, err := c.prepare("SELECT " + strings.Join(exprs, ", ") + " FROM main." + quote(t.rel.name) + " WHERE " + t.rel.rowid + " = " + s.valueLiteral(len(t.asked.Columns)))
	if err != nil {
		return known // what is told does not hang on it
	}
	defer look.close()
	if more, err := look.next(); err != nil || !more {
		return known
	}
	list = nil
	for k, name := range key {
		list = append(list, name+" "+look.valueLiteral(k))
	}
	return strings.Join(list, ", ")
}

func (c class) String() string {
	switch c {
	case integer:
		return "an integer"
	case real:
		return "a real"
	case text:
		return "a text"
	case blob:
		return "a blob"
	}
	return "null"
}

// refuse says which value of the current row could not be read, and why.
func (r *reader) refuse(c *conn, s *stmt, i int, why refusal) error {
	asked := r.table.asked.Columns[i]
	row := r.rowKey(c, s)
	if why == tooLarge {
		return fault.New(fault.Source, "value.too_large", "raise limits.memory, or leave the column out with columns: {drop: ["+asked.Name+"]}",
			"column %s of %s holds a value of %d bytes (%s)", asked.Name, r.part.Table, s.size(i), row)
	}
	return fault.New(fault.Source, "sqlite.changed", "run again: columns are surveyed anew; if it stays, ask for the column as text",
		"column %s of %s now holds %s that is no %s (%s)", asked.Name, r.part.Table, s.class(i), asked.Type, row)
}
