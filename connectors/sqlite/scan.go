package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// partition is a range of one table's keys, between literals of SQL. It makes sense only
// within the scan that made it.
type partition struct {
	Table string `json:"table"`
	Index int    `json:"index"` // of the table in the scan
	// From is the first key, To the first key after the range; empty is an open end. Keys of several columns compare as rows.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// scanned is one table of a view as Read, Count and Sample need it.
type scanned struct {
	asked  connector.TableScan
	rel    relation
	by     string   // what ranges compare: the rowid, the key, or "" where the table is read whole
	bounds []string // literals between partitions
	// reached is the cursor's greatest value.
	reached string
}

const (
	// partitionRows and partitionBytes are about how large a partition is: one of DuckDB's row groups.
	partitionRows  = 122_880
	partitionBytes = 64 << 20
	// minPartitionRows keeps wide rows from making a crowd of little partitions.
	minPartitionRows = 20_000
	maxPartitions    = 256
)

// Scan fixes one state of the database for all connections and divides the tables by
// real keys. The guarantee is always database.
func (s *source) Scan(ctx context.Context, req connector.ScanRequest) (*connector.Scan, error) {
	if err := s.Close(); err != nil {
		return nil, err
	}
	if err := checkFile(s.path); err != nil {
		return nil, err
	}
	v, err := openView(ctx, s.path, max(1, req.Connections))
	if err != nil {
		return nil, err
	}
	v.limits = limits{batchBytes: req.BatchBytes, valueBytes: req.MaxValueBytes}
	scan := &connector.Scan{Guarantee: connector.Database}
	s.mu.Lock()
	scan.Notes = slices.Clone(s.leftOut)
	s.mu.Unlock()
	if err := v.plan(ctx, req, scan); err != nil {
		v.close()
		return nil, err
	}
	s.mu.Lock()
	s.view = v
	s.mu.Unlock()
	return scan, nil
}

// plan divides the tables.
func (v *view) plan(ctx context.Context, req connector.ScanRequest, scan *connector.Scan) error {
	mode, err := v.control.text("PRAGMA journal_mode")
	if err != nil {
		return err
	}
	if mode != "wal" {
		scan.Notes = append(scan.Notes, "journal_mode is "+mode+": programs that write wait until reading ends (in WAL mode they don't)")
	}
	list, err := v.control.relations()
	if err != nil {
		return err
	}
	defer v.control.interruptible(ctx)()
	for i, asked := range req.Tables {
		t, err := v.divide(asked, list)
		if err != nil {
			return err
		}
		v.tables = append(v.tables, *t)
		out := connector.ScannedTable{Rows: asked.Table.Rows, Reached: t.reached}
		p := partition{Table: asked.Table.Name, Index: i}
		for _, bound := range append(slices.Clone(t.bounds), "") {
			p.To = bound
			data, err := json.Marshal(p)
			if err != nil {
				return err
			}
			out.Partitions = append(out.Partitions, data)
			p.From = bound
		}
		scan.Tables = append(scan.Tables, out)
	}
	return nil
}

// divide looks the table up and finds its bounds.
func (v *view) divide(asked connector.TableScan, list []relation) (*scanned, error) {
	at := slices.IndexFunc(list, func(r relation) bool { return r.name == asked.Table.Name })
	if at < 0 {
		return nil, missingTable(v.path, asked.Table.Name, list)
	}
	t := &scanned{asked: asked, rel: list[at]}
	if err := v.control.describe(&t.rel); err != nil {
		return nil, err
	}
	for _, want := range asked.Columns {
		if !slices.ContainsFunc(t.rel.columns, func(c column) bool { return c.name == want.Name }) {
			return nil, fault.New(fault.Source, "sqlite.changed", "run again", "%s has no column %s any more", asked.Table.Name, want.Name)
		}
	}
	if asked.Where != "" {
		s, err := v.control.prepare("SELECT 1 FROM " + t.from(partition{}))
		if err != nil {
			return nil, fault.Wrap(fault.Config, "sqlite.where", "correct tables."+asked.Table.Name+".where; it is SQL of SQLite",
				fmt.Errorf("condition of %s: %w", asked.Table.Name, err))
		}
		s.close()
	}
	if err := v.beyond(t); err != nil {
		return nil, err
	}
	switch {
	case t.rel.rowid != "":
		t.by = t.rel.rowid
	case t.rel.withoutRowid:
		t.by = keyTuple(t.rel.key)
	}
	every := rowsPerPartition(asked.Table)
	if t.by == "" || asked.Table.Rows <= every {
		return t, nil
	}
	var err error
	t.bounds, err = v.control.bounds(t, every)
	return t, err
}

func keyTuple(key []string) string {
	quoted := make([]string, len(key))
	for i, k := range key {
		quoted[i] = quote(k)
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return "(" + strings.Join(quoted, ", ") + ")"
}

// rowsPerPartition sizes partitions by the average width of a row.
func rowsPerPartition(t connector.Table) int64 {
	every := int64(partitionRows)
	if t.Rows > 0 && t.Bytes > 0 {
		every = min(every, max(minPartitionRows, partitionBytes/max(1, t.Bytes/t.Rows)))
	}
	return max(every, (t.Rows+maxPartitions-1)/maxPartitions)
}

// bounds walks over the keys of the rows that will be read and takes every so many-th: no
// gap or cluster among the keys makes one partition larger than another.
func (c *conn) bounds(t *scanned, every int64) ([]string, error) {
	columns := strings.TrimSuffix(strings.TrimPrefix(t.by, "("), ")")
	s, err := c.prepare("SELECT " + columns + " FROM " + t.from(partition{}) + " ORDER BY " + columns)
	if err != nil {
		return nil, err
	}
	defer s.close()
	var bounds []string
	for n := int64(0); ; n++ {
		more, err := s.next()
		if err != nil || !more {
			return bounds, err
		}
		if n == 0 || n%every != 0 {
			continue
		}
		parts := []string{s.valueLiteral(0)}
		for i := 1; i < len(t.rel.key) && t.rel.rowid == ""; i++ {
			parts = append(parts, s.valueLiteral(i))
		}
		bound := strings.Join(parts, ", ")
		if len(parts) > 1 {
			bound = "(" + bound + ")"
		}
		bounds = append(bounds, bound)
	}
}

// from is the table and the conditions of one partition.
func (t *scanned) from(p partition) string {
	var conds []string
	if t.asked.Where != "" {
		conds = append(conds, "(\n"+t.asked.Where.Reveal()+"\n)") // on a line of its own, as it may end in a comment
	}
	if p.From != "" {
		conds = append(conds, t.by+" >= "+p.From)
	}
	if p.To != "" {
		conds = append(conds, t.by+" < "+p.To)
	}
	sql := "main." + quote(t.rel.name)
	if len(conds) > 0 {
		sql += " WHERE " + strings.Join(conds, " AND ")
	}
	return sql
}

func missingTable(path, name string, list []relation) error {
	best, near := 1+max(2, len(name)/3), ""
	for _, r := range list {
		if d := levenshtein.ComputeDistance(strings.ToLower(name), strings.ToLower(r.name)); d < best {
			best, near = d, r.name
		}
	}
	hint := "kitamae plan lists the tables there are"
	if near != "" {
		hint = "did you mean " + near + "?"
	}
	return fault.New(fault.Config, "sqlite.table", hint, "%s has no table %s", path, name)
}

// find is the table of the latest scan that asked names.
func (v *view) find(asked connector.TableScan) (*scanned, error) {
	for i := range v.tables {
		if v.tables[i].rel.name == asked.Table.Name {
			t := v.tables[i]
			if asked.Cursor != "" {
				asked.Where = t.asked.Where // with what the cursor adds
			}
			t.asked = asked
			return &t, nil
		}
	}
	return nil, fault.New(fault.Internal, "sqlite.no_scan", "", "%s is not part of the scan", asked.Table.Name)
}

// Count counts in the same state of the database, by SQLite itself: mostly over an index.
func (s *source) Count(ctx context.Context, asked connector.TableScan) (int64, error) {
	v, err := s.current()
	if err != nil {
		return 0, err
	}
	t, err := v.find(asked)
	if err != nil {
		return 0, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	defer v.control.interruptible(ctx)()
	return v.control.number("SELECT count(*) FROM " + t.from(partition{}))
}
