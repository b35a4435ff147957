package mysql

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/sqlkit"
)

// chunks reads the partition in short transactions along the key, each with a view of its own. Where the next one
// begins is asked of the index first, so a chunk is a range like a partition, and neighbours share their bound: rows
// that come or go meanwhile can't make it lose others. That they do share it is checked, as no count would tell.
func (r *reading) chunks(c *conn, yield func(arrow.RecordBatch, error) bool) (more bool, err error) {
	var counted int64
	rest, tiles := r.part, sqlkit.NewTiling(r.part.Lo)
	for last := false; !last; {
		if err := r.src.throttle.Wait(r.ctx, r.view.req.Waiting); err != nil {
			return true, err
		}
		asked, begun := r.t.pace.Rows(), time.Now()
		var n int64
		var part partition
		if more, part, n, err = r.chunk(c, rest, asked, yield); err != nil || !more {
			return more, err
		}
		if err := tiles.Add(part.Lo, part.Hi); err != nil {
			return true, err
		}
		counted += n
		last = slices.Equal(part.Hi, r.part.Hi)
		if !last {
			r.t.pace.Took(asked, time.Since(begun))
			rest.Lo = part.Hi
			if r.src.between != nil {
				r.src.between(&rest)
			}
		}
	}
	if err := tiles.End(r.part.Hi); err != nil {
		return true, err
	}
	if r.t.counts {
		r.result.Counted = &counted
	}
	return true, nil
}

// chunk reads the first rows of rest, as many as asked, and returns the range they are in; it ends where rest does when there are
// no others.
func (r *reading) chunk(c *conn, rest partition, asked int64, yield func(arrow.RecordBatch, error) bool) (more bool, part partition, counted int64, err error) {
	part = rest
	if _, err := c.query(r.ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"); err != nil {
		return true, part, 0, err
	}
	defer func() {
		if !c.broken {
			_, endErr := c.query(r.ctx, "ROLLBACK")
			if err == nil && more {
				err = endErr
			}
		}
	}()
	if len(r.t.split.columns) > 0 {
		hi, err := r.bound(c, rest, asked)
		if err != nil {
			return true, part, 0, err
		}
		if hi != nil {
			part.Hi = hi
		}
	}
	if more, err = r.run(c, part, yield); err != nil || !more || !r.t.counts {
		return more, part, 0, err
	}
	res, err := c.query(r.ctx, "SELECT COUNT(*) FROM "+r.t.from+r.t.where(r.t.split.condition(part)))
	if err != nil {
		return true, part, 0, err
	}
	return true, part, number(res, 0, 0), nil
}

// bound is the key of the row that has so many before it in the range; nil when there is none.
func (r *reading) bound(c *conn, rest partition, rows int64) ([]string, error) {
	key := r.t.split
	list, order := key.spelled()
	res, err := c.query(r.ctx, fmt.Sprintf("SELECT %s FROM %s FORCE INDEX (%s)%s ORDER BY %s LIMIT %d, 1",
		list, r.t.from, quoteName(key.index), r.t.whereKey(key.condition(rest)), order, rows))
	if err != nil || len(res.Values) == 0 {
		return nil, err
	}
	at := key.literals(res, 0)
	if strings.Join(at, ",") == strings.Join(rest.Lo, ",") { // can't be with a unique key; never read the same range for ever
		return nil, nil
	}
	return at, nil
}

// whereKey is a condition on the key alone: a chunk is so many rows of the index, however few of them the config's
// own condition takes.
func (t *viewTable) whereKey(condition string) string {
	if condition == "" {
		return ""
	}
	return " WHERE " + condition
}

// spelled are the select list that literals reads, and the key's order.
func (k splitKey) spelled() (list, order string) {
	var lists, orders []string
	for i, col := range k.columns {
		name := quoteName(col)
		orders = append(orders, name)
		if k.kinds[i] == bytesKey {
			lists = append(lists, "HEX("+name+"), CHARSET("+name+")")
		} else {
			lists = append(lists, name+", ''")
		}
	}
	return strings.Join(lists, ", "), strings.Join(orders, ", ")
}

// literals is row i of an answer to spelled.
func (k splitKey) literals(res *mysql.Result, i int) []string {
	at := make([]string, len(k.columns))
	for n := range k.columns {
		value, _ := text(res, i, 2*n)
		charset, _ := text(res, i, 2*n+1)
		at[n] = literal(k.kinds[n], value, charset)
	}
	return at
}

// prepareChunks says along which key the table is read, or that there is none.
func (t *viewTable) prepareChunks(indexes []index) {
	t.pace = sqlkit.NewPace(t.weight / max(t.rows, 1))
	for _, ix := range indexes {
		// the whole key, as a part of it may be the same in any number of rows
		if key := newSplitKey(ix, t.scan.Table.Columns); len(key.columns) == len(ix.columns) {
			t.split, t.guarantee = key, connector.Chunked
			return
		}
	}
	t.guarantee = connector.PerTable
	t.notes = append(t.notes, "there is no key to read it along: it was one statement")
}

// resume takes over the ranges of an earlier scan.
func (t *viewTable) resume(i int) error {
	t.ranges = nil
	for _, raw := range t.scan.Resume {
		var p partition
		if err := json.Unmarshal(raw, &p); err != nil || !p.valid() || max(len(p.Lo), len(p.Hi)) > len(t.split.columns) {
			return fault.New(fault.Internal, "mysql.partition", "", "partition %s is not of table %s", raw, t.scan.Table.Ref())
		}
		p.Table = i
		t.ranges = append(t.ranges, p)
	}
	return nil
}

// tiled says whether the ranges stand for a whole table, each row once.
func tiled(ranges []partition) error {
	tiles := sqlkit.NewTiling(nil)
	for _, p := range ranges {
		if err := tiles.Add(p.Lo, p.Hi); err != nil {
			return err
		}
	}
	return tiles.End(nil)
}
