package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/sqlkit"
)

// chunks reads the partition in short transactions along the key, each with a view of its own. Where the next one
// begins is asked of the index first, so a chunk is a range like a partition, and neighbours share their bound: rows
// that come or go meanwhile can't make it lose others. That they do share it is checked, as no count would tell.
func (r *reading) chunks(ctx context.Context, f *flow, yield func(arrow.RecordBatch, error) bool) error {
	var counted, bytes int64
	changed := map[string]map[string]int64{}
	all := r.part // which chunk changes
	rest, tiles := all, sqlkit.NewTiling(all.Lo)
	for last := false; !last; {
		if err := r.view.src.throttle.Wait(ctx, r.view.waiting); err != nil {
			return err
		}
		asked, begun := r.table.pace.Rows(), time.Now()
		part, n, err := r.chunk(ctx, f, rest, asked, yield)
		for column, fates := range f.result.Changed {
			for fate, n := range fates {
				if changed[column] == nil {
					changed[column] = map[string]int64{}
				}
				changed[column][fate] += n
			}
		}
		bytes = f.wire.total
		if err != nil || f.stopped {
			return err
		}
		if err := tiles.Add(part.Lo, part.Hi); err != nil {
			return err
		}
		counted += n
		last = slices.Equal(part.Hi, all.Hi)
		if !last {
			r.table.pace.Took(asked, time.Since(begun))
			rest.Lo = part.Hi
			if between := r.view.src.between; between != nil {
				between(&rest)
			}
		}
	}
	if err := tiles.End(all.Hi); err != nil {
		return err
	}
	r.result.Changed, r.result.Bytes = changed, bytes
	if r.table.Kind == "r" || r.table.Kind == "p" { // a view may count otherwise a moment later
		r.result.Counted = &counted
	}
	return nil
}

// chunk reads the first rows of rest, as many as asked, and returns the range they are in; it ends where rest does when there are
// no others.
func (r *reading) chunk(ctx context.Context, f *flow, rest partition, asked int64, yield func(arrow.RecordBatch, error) bool) (part partition, counted int64, err error) {
	c := f.conn
	part = rest
	if err := c.exec(ctx, "beginning a short transaction", beginSQL); err != nil {
		f.broken = true
		return part, 0, err
	}
	defer func() {
		if f.broken || !f.idle {
			return
		}
		if end := c.exec(ctx, "ending a short transaction", "ROLLBACK"); end != nil {
			f.broken = true
			err = errors.Join(err, end)
		}
		c.failed = false
	}()
	f.idle = true
	if len(part.By) > 0 {
		hi, err := r.bound(ctx, c, rest, asked)
		if err != nil {
			return part, 0, err
		}
		if hi != nil {
			part.Hi = hi
		}
	}
	f.idle = false
	f.part = part
	if err := f.run(ctx, yield); err != nil || f.stopped {
		return part, 0, err
	}
	err = c.value(ctx, "counting "+r.table.ref(), "SELECT count(*) FROM "+part.From[0]+r.table.filter(part.condition()), &counted)
	return part, counted, err
}

// bound is the key of the row that has so many before it in the range; nil when there is none.
func (r *reading) bound(ctx context.Context, c *conn, rest partition, rows int64) ([]string, error) {
	texts := make([]string, len(rest.By))
	for i, expr := range rest.By {
		texts[i] = expr + "::pg_catalog.text"
	}
	where := rest.condition()
	if where != "" {
		where = " WHERE " + where
	}
	type row struct{ At []string }
	found, err := list[row](ctx, c, "looking for the next chunk of "+r.table.ref(), fmt.Sprintf("SELECT ARRAY[%s] FROM %s%s ORDER BY %s OFFSET %d LIMIT 1",
		strings.Join(texts, ", "), rest.From[0], where, strings.Join(rest.By, ", "), rows))
	if err != nil || len(found) == 0 || slices.Equal(found[0].At, rest.Lo) {
		return nil, err
	}
	return found[0].At, nil
}

// layOut divides the tables along their keys; what has none is one statement.
func (v *view) layOut(ctx context.Context, req connector.ScanRequest, scan *connector.Scan) error {
	scan.Guarantee, scan.Portable = connector.Chunked, true
	var all bool
	if err := v.owner.value(ctx, "asking for pg_read_all_stats", "SELECT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')", &all); err != nil {
		return err
	}
	if !all && v.src.srv.spec.Throttle.ActiveSessions > 0 {
		scan.Notes = append(scan.Notes, "active_sessions sees this user's sessions only (pg_monitor is needed to see all)")
	}
	for i, t := range v.tables {
		by, nulls := t.keyExprs()
		t.pace = sqlkit.NewPace(t.TableSize / int64(max(t.Rows, 1)))
		one := []partition{{From: []string{t.from()}}}
		keyed := len(by) > 0 && !nulls && slices.Equal(t.key, t.relation.key) && (t.Kind == "r" || t.Kind == "p")
		if keyed {
			one[0].By = by
		}
		parts, rows := one, int64(t.Rows)
		var err error
		switch {
		case keyed && len(t.scan.Resume) > 0:
			parts, err = t.resumed(by)
		case keyed && (t.TableSize >= v.src.sizes.small || t.Rows >= v.src.sizes.smallRows):
			if parts, rows, err = v.ranges(ctx, t, t.from(), t.TableSize, by, false, max(1, req.Connections)); err == nil && len(parts) == 1 {
				parts = one
			}
		}
		if err == nil {
			err = tiled(parts)
		}
		if err != nil {
			return fmt.Errorf("table %s: %w", t.ref(), err)
		}
		st, err := v.scannedTable(i, t, parts, rows)
		if err != nil {
			return err
		}
		if st.Guarantee = connector.Chunked; !keyed {
			st.Guarantee = connector.PerTable
			st.Notes = append(st.Notes, "there is no key to read it along: it was one statement")
		}
		scan.Tables = append(scan.Tables, *st)
	}
	return nil
}

// tiled says whether the ranges stand for a whole table, each row once.
func tiled(parts []partition) error {
	tiles := sqlkit.NewTiling(nil)
	for _, p := range parts {
		if err := tiles.Add(p.Lo, p.Hi); err != nil {
			return err
		}
	}
	return tiles.End(nil)
}

// resumed takes over the ranges of an earlier scan: their bounds, which are quoted wherever they are used; all else is known here.
func (t *scanned) resumed(by []string) ([]partition, error) {
	var parts []partition
	for _, raw := range t.scan.Resume {
		var p partition
		if err := json.Unmarshal(raw, &p); err != nil || len(p.Lo) > len(by) || len(p.Hi) > len(by) {
			return nil, fault.New(fault.Internal, "postgres.partition", "", "partition %s is not of table %s", raw, t.ref())
		}
		parts = append(parts, partition{From: []string{t.from()}, By: by, Lo: p.Lo, Hi: p.Hi})
	}
	return parts, nil
}
