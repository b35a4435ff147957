package mysql

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/sqlkit"
)

// defaultConnections is how many data connections a scan uses when nothing is asked for.
const defaultConnections = 2

// view is what a scan fixed: its snapshots and how its tables are read.
type view struct {
	req      connector.ScanRequest
	maxValue int
	tables   []viewTable // in the order of the request
	lanes    []*lane
	chunked  bool
}

// viewTable is one table of a view.
type viewTable struct {
	scan   connector.TableScan
	schema *arrow.Schema
	// order holds the columns' positions in the answer: the key comes first, so that a
	// row too large can be named by what has arrived of it.
	order   []int
	selects string // the select list, in that order
	from    string
	split   splitKey
	ranges  []partition
	rows    int64
	weight  int64 // bytes, for sharing out tables
	notes   []string
	reached string // of the cursor
	lane    *lane
	// guarantee, pace and counts serve chunked reading: the table's own guarantee, how long the next statement is, and
	// whether a count in the same view must be the same.
	guarantee connector.Guarantee
	pace      *sqlkit.Pace
	counts    bool
}

func (v *view) close() {
	for _, l := range v.lanes {
		l.close()
	}
}

// Scan divides the tables, then opens the snapshots; the division holds for any state of
// the tables, as its first and last ranges are open-ended.
func (s *Source) Scan(ctx context.Context, req connector.ScanRequest) (*connector.Scan, error) {
	s.mu.Lock()
	old := s.view
	s.view = nil
	s.mu.Unlock()
	if old != nil {
		old.close()
	}
	if req.Connections <= 0 {
		req.Connections = defaultConnections
	}
	if req.BatchBytes <= 0 {
		req.BatchBytes = 8 << 20
	}
	chunked, err := s.portable(req.Portable)
	if err != nil {
		return nil, err
	}
	v := &view{req: req, maxValue: req.MaxValueBytes, chunked: chunked}
	if v.maxValue <= 0 {
		v.maxValue = 256 << 20
	}
	if err := s.layOut(ctx, v); err != nil {
		return nil, err
	}
	total := 0
	for i := range v.tables {
		total += len(v.tables[i].ranges)
	}
	conns, notes, err := s.openAll(ctx, max(1, min(req.Connections, total)))
	if err != nil {
		return nil, err
	}
	out := &connector.Scan{Notes: notes}
	of := make([]int, len(v.tables))
	if v.chunked {
		v.lanes = []*lane{newLane(conns...)}
		v.lanes[0].open = s.openData
		out.Guarantee, out.Portable = connector.Chunked, true
		for _, err := range s.throttle.Unknown(ctx) {
			out.Notes = append(out.Notes, err.Error())
		}
	} else if of, err = s.fix(ctx, v, conns, out); err != nil {
		closeAll(conns)
		return nil, err
	}
	for i := range v.tables {
		t := &v.tables[i]
		t.lane = v.lanes[of[i]]
		st := connector.ScannedTable{Rows: t.rows, Guarantee: t.guarantee, Reached: t.reached, Notes: t.notes}
		for _, p := range t.ranges {
			raw, err := json.Marshal(p)
			if err != nil {
				v.close()
				return nil, err
			}
			st.Partitions = append(st.Partitions, raw)
		}
		out.Tables = append(out.Tables, st)
	}
	s.mu.Lock()
	s.view = v
	s.mu.Unlock()
	return out, nil
}

// fix opens the snapshots, and says which lane each table is read on.
func (s *Source) fix(ctx context.Context, v *view, conns []*conn, out *connector.Scan) (of []int, err error) {
	one, position, note, err := s.snapshot(ctx, conns)
	if err != nil {
		return nil, err
	}
	weights := make([]int64, len(v.tables))
	for i := range v.tables {
		weights[i] = v.tables[i].weight
	}
	v.lanes, of, out.Guarantee = lanes(one, conns, weights)
	out.Position = position
	if out.Guarantee != connector.Database {
		out.Notes = append(out.Notes, "each table has its own snapshot: "+note)
	}
	return of, nil
}

// layOut prepares each table's query and divides it into ranges.
func (s *Source) layOut(ctx context.Context, v *view) error {
	stats, err := s.tableStats(ctx)
	if err != nil {
		return err
	}
	indexes, err := s.uniqueIndexes(ctx)
	if err != nil {
		return err
	}
	for i, scan := range v.req.Tables {
		st, ok := stats[scan.Table.Name]
		if !ok && scan.Table.Schema == "" {
			return missing(scan.Table.Name, stats)
		}
		t, err := newViewTable(scan)
		if err != nil {
			return fault.Wrap(fault.Config, "mysql.column_type", "change the column's type in columns, or leave it out", err)
		}
		if t.reached, err = s.beyond(ctx, t); err != nil {
			return err
		}
		t.rows, t.weight = st.rows, st.bytes
		t.ranges = []partition{{Table: i}}
		view := scan.Table.View || st.view
		t.counts = !view && snapshotEngine(st.engine)
		if v.chunked && view {
			t.prepareChunks(nil)
		} else if v.chunked {
			t.prepareChunks(indexes[scan.Table.Name])
		}
		switch {
		case view:
		case len(scan.Resume) > 0 && t.guarantee == connector.Chunked:
			if err := t.resume(i); err != nil {
				return err
			}
		case v.chunked && len(t.split.columns) == 0:
		case !snapshotEngine(st.engine):
			t.notes = append(t.notes, fmt.Sprintf("engine %s has no snapshots: the table is not covered by the guarantee", st.engine))
		default:
			if err := s.divide(ctx, v, i, t, indexes[scan.Table.Name]); err != nil {
				return failed(ctx, "divide", scan.Table.Ref(), "", err)
			}
		}
		if err := tiled(t.ranges); err != nil {
			return fmt.Errorf("table %s: %w", scan.Table.Ref(), err)
		}
		v.tables = append(v.tables, *t)
	}
	return nil
}

func newViewTable(scan connector.TableScan) (*viewTable, error) {
	t := &viewTable{scan: scan, from: quoteName(scan.Table.Name)}
	if scan.Table.Schema != "" {
		t.from = quoteName(scan.Table.Schema) + "." + t.from
	}
	isKey := map[string]bool{}
	for _, k := range scan.Table.Key {
		isKey[k] = true
	}
	fields := make([]arrow.Field, len(scan.Columns))
	for i, col := range scan.Columns {
		fields[i] = col.Field()
		t.order = append(t.order, i)
	}
	t.schema = arrow.NewSchema(fields, nil)
	sort.SliceStable(t.order, func(a, b int) bool {
		return isKey[scan.Columns[t.order[a]].Name] && !isKey[scan.Columns[t.order[b]].Name]
	})
	var list []string
	for _, i := range t.order {
		expr, err := selection(scan.Columns[i])
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", scan.Table.Ref(), err)
		}
		list = append(list, expr)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("table %s: no column is left to read", scan.Table.Ref())
	}
	t.selects = strings.Join(list, ", ")
	return t, nil
}

// query is the statement that reads one range.
func (t *viewTable) query(p partition) string {
	return "SELECT " + t.selects + " FROM " + t.from + t.where(t.split.condition(p))
}

// where joins conditions with the config's own; "" where there are none.
func (t *viewTable) where(conditions ...string) string {
	var all []string
	for _, c := range append(conditions, t.scan.Where.Reveal()) {
		if strings.TrimSpace(c) != "" {
			all = append(all, "("+c+"\n)") // a comment may end it
		}
	}
	if all == nil {
		return ""
	}
	return " WHERE " + strings.Join(all, " AND ")
}

// decoder ties an answer's columns to the builder's.
func (t *viewTable) decoder(wires []wireColumn, b *batch.Builder, maxValue int) (*rowDecoder, error) {
	if len(wires) != len(t.order) {
		return nil, changed(t.scan.Table.Ref(), fmt.Sprintf("%d columns instead of %d", len(wires), len(t.order)))
	}
	d := &rowDecoder{table: t.scan.Table.Ref(), maxValue: maxValue, cells: make([]cell, len(wires))}
	for k, i := range t.order {
		col := t.scan.Columns[i]
		code, err := pick(wires[k], col.Type.DataType, col.Kind == batch.KindGeometry)
		if err != nil {
			return nil, changed(t.scan.Table.Ref(), err.Error())
		}
		c := cell{code: code, name: col.Name, typeName: col.Type.String(), col: b.Columns[i]}
		if dec, ok := col.Type.DataType.(arrow.DecimalType); ok {
			c.scale = dec.GetScale()
		}
		for _, key := range t.scan.Table.Key {
			c.key = c.key || key == col.Name
		}
		d.cells[k] = c
	}
	return d, nil
}

// stats is what the catalog says of a table now.
type stats struct {
	engine      string
	view        bool
	rows, bytes int64
}

func (s *Source) tableStats(ctx context.Context) (map[string]stats, error) {
	res, err := s.control(ctx, "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()")
	if err != nil {
		return nil, s.catalogFault(ctx, err)
	}
	all := map[string]stats{}
	for i := range res.Values {
		name, _ := text(res, i, 0)
		kind, _ := text(res, i, 1)
		engine, _ := text(res, i, 2)
		all[name] = stats{engine: engine, view: strings.Contains(kind, "VIEW"), rows: number(res, i, 3), bytes: number(res, i, 4)}
	}
	return all, nil
}

func missing(name string, have map[string]stats) error {
	var names []string
	for n := range have {
		names = append(names, n)
	}
	sort.Strings(names)
	hint := "run kitamae plan to see what is there now"
	if near := nearest(name, names); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return fault.New(fault.Source, "mysql.table_missing", hint, "there is no table %s", name)
}

// partition is one range of a table by its key: from lo, to below hi. Each bound is a list
// of literals for the key's first columns; none is open-ended.
type partition struct {
	Table int      `json:"table"`
	Lo    []string `json:"lo,omitempty"`
	Hi    []string `json:"hi,omitempty"`
}

// literals are the only things a bound may hold: numbers, dates and bytes with their character set.
var literals = regexp.MustCompile(`^(-?[0-9]+(\.[0-9]+)?|'[0-9: .-]+'|(_[0-9A-Za-z]+ )?x'([0-9A-F]{2})*')$`)

// valid says whether the bounds are what split made, so that a partition that came from outside can't smuggle SQL in.
func (p partition) valid() bool {
	for _, lit := range append(append([]string{}, p.Lo...), p.Hi...) {
		if !literals.MatchString(lit) {
			return false
		}
	}
	return true
}

// Count counts a table's rows in the scan's own snapshot.
func (s *Source) Count(ctx context.Context, table connector.TableScan) (int64, error) {
	t, err := s.tableOf(table)
	if err != nil {
		return 0, err
	}
	var n int64
	err = s.inSnapshot(ctx, t, func(c *conn) error {
		res, err := c.query(ctx, "SELECT COUNT(*) FROM "+t.from+t.where())
		if err == nil {
			n = number(res, 0, 0)
		}
		return err
	})
	return n, err
}

// tableOf finds a table of the latest scan.
func (s *Source) tableOf(table connector.TableScan) (*viewTable, error) {
	v, err := s.current()
	if err != nil {
		return nil, err
	}
	for i := range v.tables {
		if v.tables[i].scan.Table.Ref() == table.Table.Ref() {
			return &v.tables[i], nil
		}
	}
	return nil, fault.New(fault.Internal, "mysql.no_scan", "", "table %s is not part of the latest scan", table.Table.Ref())
}

// inSnapshot runs f on a connection that sees what readers of t see. Errors become faults.
func (s *Source) inSnapshot(ctx context.Context, t *viewTable, f func(c *conn) error) error {
	c, err := t.lane.acquire(ctx)
	if err != nil {
		return err
	}
	stop := c.watch(ctx, func() { s.kill(ctx, c) })
	err = f(c)
	if !stop() {
		c.releaseLocks()
	}
	left := t.lane.release(c)
	if err != nil && ctx.Err() == nil && lost(err) {
		return (&reading{src: s, t: t}).connectionLost(left, err)
	}
	if err != nil {
		return failed(ctx, "look into", t.scan.Table.Ref(), t.scan.Where.Reveal(), err)
	}
	return nil
}
