package bigquery

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/zeebo/xxh3"

	"github.com/kitamae/kitamae/duck"
	"github.com/kitamae/kitamae/fault"
)

// keySurvey is what the keys of rows to be merged are like.
type keySurvey struct {
	rows, distinct int64
	columns        []keyRange
}

// keyRange is the least and the greatest value of a key's column, where it is of whole numbers or times.
type keyRange struct {
	native      string
	known       bool
	least, most int64
}

func (s *keySurvey) bounds(i int) (least, most string, ok bool) {
	r := s.columns[i]
	return literal(r.native, r.least), literal(r.native, r.most), r.known
}

// literal is a number of days or microseconds, or a plain one, in GoogleSQL.
func literal(native string, v int64) string {
	switch native {
	case "DATE":
		return "DATE '" + time.Unix(v*86_400, 0).UTC().Format(time.DateOnly) + "'"
	case "DATETIME":
		return "DATETIME '" + time.UnixMicro(v).UTC().Format("2006-01-02T15:04:05.000000") + "'"
	case "TIMESTAMP":
		return "TIMESTAMP '" + time.UnixMicro(v).UTC().Format("2006-01-02T15:04:05.000000Z") + "'"
	}
	return strconv.FormatInt(v, 10)
}

// wholes reads a column of whole numbers or times; nil for others.
func wholes(col arrow.Array) func(i int) int64 {
	switch a := col.(type) {
	case *array.Int8:
		return func(i int) int64 { return int64(a.Value(i)) }
	case *array.Int16:
		return func(i int) int64 { return int64(a.Value(i)) }
	case *array.Int32:
		return func(i int) int64 { return int64(a.Value(i)) }
	case *array.Int64:
		return a.Value
	case *array.Uint8:
		return func(i int) int64 { return int64(a.Value(i)) }
	case *array.Uint16:
		return func(i int) int64 { return int64(a.Value(i)) }
	case *array.Uint32:
		return func(i int) int64 { return int64(a.Value(i)) }
	case *array.Date32:
		return func(i int) int64 { return int64(a.Value(i)) }
	case *array.Timestamp:
		return func(i int) int64 { return int64(a.Value(i)) }
	}
	return nil
}

// survey looks at the keys of the staged rows: where they lie, and how many there are. A key that is null identifies nothing.
func (d *dest) survey(ctx context.Context, p *publication) (*keySurvey, error) {
	plan := p.stage.Plan
	s := &keySurvey{columns: make([]keyRange, len(plan.Key))}
	var fields []arrow.Field
	var pick []int
	var quoted []string
	for i, name := range plan.Key {
		at := column(&plan, name)
		if at < 0 {
			return nil, fault.New(fault.Internal, "bigquery.merge_plan", "", "table %s: its key has no column %s", plan.Name, name)
		}
		s.columns[i].native = plan.Columns[at].Native
		fields, pick, quoted = append(fields, plan.Schema().Field(at)), append(pick, at), append(quoted, duck.Ident(plan.Columns[at].Name))
	}
	keys := func(yield func(arrow.RecordBatch, error) bool) {
		for rec, err := range d.readShards(ctx, plan.Schema(), p.shards, pick) {
			if err == nil {
				err = s.add(p, rec)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
	db, err := d.engine(ctx)
	if err != nil {
		return nil, err
	}
	table := duck.Idents(db.Name, "main", fmt.Sprintf("keys_%016x", xxh3.HashString(p.stage.Dir)))
	_, err = db.Load(ctx, arrow.NewSchema(fields, nil), keys, func(view string) string {
		return fmt.Sprintf("CREATE OR REPLACE TABLE %s AS SELECT %s FROM %s", table, strings.Join(quoted, ", "), view)
	})
	if err != nil {
		return nil, spoolFault(err)
	}
	counted, err := db.Texts(ctx, fmt.Sprintf("SELECT count(*)::VARCHAR FROM (SELECT DISTINCT %s FROM %s)", strings.Join(quoted, ", "), table))
	if err == nil {
		s.distinct, err = strconv.ParseInt(counted[0][0], 10, 64)
	}
	if _, dropErr := db.Exec(ctx, "DROP TABLE "+table); err == nil {
		err = dropErr
	}
	return s, spoolFault(err)
}

// add takes a batch of keys into account.
func (s *keySurvey) add(p *publication, rec arrow.RecordBatch) error {
	s.rows += rec.NumRows()
	for i, col := range rec.Columns() {
		if n := col.NullN(); n > 0 {
			return fault.New(fault.Config, "bigquery.merge_null", "name columns that are never null as key, or leave these rows out with where",
				"table %s: the key's column %s is null in %d rows: they could not be told from others", p.table.Plan.Name, rec.ColumnName(i), n)
		}
		value, r := wholes(col), &s.columns[i]
		if value == nil || r.native != "INT64" && r.native != "DATE" && r.native != "DATETIME" && r.native != "TIMESTAMP" {
			continue
		}
		for k := range col.Len() {
			v := value(k)
			if !r.known {
				r.least, r.most, r.known = v, v, true
			}
			r.least, r.most = min(r.least, v), max(r.most, v)
		}
	}
	return nil
}

// latest keeps, of the publication's rows with the same key, the one whose cursor is the greatest.
func (d *dest) latest(ctx context.Context, p *publication, keys *keySurvey) error {
	plan := p.stage.Plan
	by := column(&plan, plan.Cursor)
	if plan.Cursor == "" || by < 0 {
		return fault.New(fault.Config, "bigquery.merge_twins", "name the columns that identify a row as key, or a cursor that says which row is the latest",
			"table %s: %d of %d rows have a key that another one has, too", plan.Name, keys.rows-keys.distinct, keys.rows)
	}
	db, err := d.engine(ctx)
	if err != nil {
		return err
	}
	path := filepath.Join(p.stage.Dir, "latest.parquet")
	_, err = db.Load(ctx, plan.Schema(), d.readShards(ctx, plan.Schema(), p.shards, nil), func(view string) string {
		return fmt.Sprintf("COPY (SELECT * FROM %s QUALIFY row_number() OVER (PARTITION BY %s ORDER BY %s DESC NULLS LAST) = 1) TO %s (FORMAT parquet, COMPRESSION zstd)",
			view, keyList(plan), duck.Ident(plan.Columns[by].Name), duck.Literal(path))
	})
	if err != nil {
		return spoolFault(err)
	}
	file, err := measure(path, path)
	if err != nil {
		return spoolFault(err)
	}
	file.Rows = keys.distinct
	p.shards = []shard{file}
	p.notes = append(p.notes, fmt.Sprintf("of %d rows with the same key the one with the greatest %s was taken", keys.rows-keys.distinct, plan.Cursor))
	p.parts, err = d.partitions(ctx, p.stage, p.shards)
	return err
}
