package postgres

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/jackc/pgx/v5"

	"github.com/kitamae/kitamae/connector"
)

// Sample reads some rows as text through pgx, in the same snapshot: half of them around the
// partitions' boundaries and the table's ends, the others from anywhere.
func (s *source) Sample(ctx context.Context, table connector.TableScan, n int) (arrow.RecordBatch, error) {
	v, err := s.view(0)
	if err != nil {
		return nil, err
	}
	t, err := v.find(table)
	if err != nil {
		return nil, err
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, t.schema)
	defer b.Release()
	p := &probe{table: t, builder: b, seen: map[string]bool{}, most: n}
	err = v.with(ctx, func(c *conn) error {
		p.conn = c
		return p.run(ctx)
	})
	if err != nil {
		return nil, fmt.Errorf("sample %s: %w", t.ref(), err)
	}
	return b.NewRecordBatch(), nil
}

// probe collects sample rows, each once.
type probe struct {
	table   *scanned
	conn    *conn
	builder *array.RecordBuilder
	seen    map[string]bool
	most    int
}

func (p *probe) run(ctx context.Context) error {
	for _, sql := range p.boundaries(p.most / 2) {
		if err := p.take(ctx, sql); err != nil {
			return err
		}
	}
	// A condition that few rows pass, and chance, leave too little of the first pages looked at.
	for pages := max(p.most, 8); ; pages *= 4 {
		sql, all := p.anywhere(pages)
		if err := p.take(ctx, sql); err != nil || all || pages > mostPages || len(p.seen) >= p.most*4/5 {
			return err
		}
	}
}

// mostPages is how many pages of a table a sample looks at before it makes do with what it has found: 4 MiB.
const mostPages = 512

// boundaries asks for the rows on both sides of up to most/2 boundaries, and at the table's ends.
func (p *probe) boundaries(most int) []string {
	t, parts := p.table, p.table.parts
	var sqls []string
	if by, nulls := t.keyExprs(); len(by) > 0 && !nulls && len(parts) == 1 && !t.scan.Table.View && !t.Parent {
		sqls = append(sqls, p.edge(t.from(), by, "", false), p.edge(t.from(), by, "", true))
	}
	step := max(1, 2*len(parts)/max(1, most))
	for i := 0; i < len(parts); i += step {
		part := parts[i]
		switch {
		case len(part.By) == 0:
			if len(parts) > 1 {
				sqls = append(sqls, p.edge(part.From[len(part.From)-1], nil, "", false))
			}
		case slices.Equal(part.By, ctid):
			sqls = append(sqls, p.nearBlock(part)...)
		default:
			range_ := partition{By: part.By, Lo: part.Lo, Hi: part.Hi}.condition()
			sqls = append(sqls, p.edge(part.From[0], part.By, range_, false), p.edge(part.From[0], part.By, range_, true))
		}
	}
	return sqls
}

// edge asks for the first row by some expressions, or for the last.
func (p *probe) edge(from string, by []string, condition string, last bool) string {
	order := ""
	for i, expr := range by {
		order += [2]string{", ", " ORDER BY "}[b2i(i == 0)] + expr
		if last {
			order += " DESC"
		}
	}
	return p.selects(from, condition) + order + " LIMIT 1"
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// nearBlock asks for the rows on both sides of where a range of ctid begins and ends. Ordering all of
// the range would cost a sort, so it looks at the blocks next to the boundary.
func (p *probe) nearBlock(part partition) []string {
	var sqls []string
	first := p.selects(part.From[0], partition{By: ctid, Lo: part.Lo, Hi: part.Hi}.condition()) + " LIMIT 1"
	sqls = append(sqls, first)
	if len(part.Hi) == 0 {
		return sqls
	}
	var block, row int
	if _, err := fmt.Sscanf(part.Hi[0], "(%d,%d)", &block, &row); err != nil {
		return sqls
	}
	window := partition{By: ctid, Lo: []string{fmt.Sprintf("(%d,0)", max(0, block-2))}, Hi: part.Hi}
	return append(sqls, p.edge(part.From[0], ctid, window.condition(), true))
}

// anywhere asks for rows of so many random pages, few of each, and says whether these are all of the table's.
func (p *probe) anywhere(look int) (sql string, all bool) {
	t := p.table
	heaps := t.Heap && t.Kind == "r"
	if t.Kind == "p" {
		heaps = !slices.ContainsFunc(t.relation.children, func(c childRow) bool { return !c.Heap })
	}
	limit := fmt.Sprintf(" LIMIT %d", p.most)
	if !heaps {
		return p.selects(t.from(), "") + limit, true
	}
	pages := max(1, float64(t.TableSize)/pageBytes)
	percent := min(100, 100*float64(look)/pages)
	chosen, all := "", percent == 100
	if rows := t.Rows * percent / 100; rows > float64(4*p.most) {
		chosen, all = fmt.Sprintf("pg_catalog.random() < %g", 2*float64(p.most)/rows), false
	}
	if t.pace != nil { // read chunked: asked twice, and only what is the same both times is compared
		return p.selects(fmt.Sprintf("%s TABLESAMPLE pg_catalog.system (%g) REPEATABLE (1)", t.from(), percent), "") + limit, percent == 100
	}
	return p.selects(fmt.Sprintf("%s TABLESAMPLE pg_catalog.system (%g)", t.from(), percent), chosen) + limit, all
}

func (p *probe) selects(from, condition string) string {
	t := p.table
	exprs := make([]string, len(t.read))
	for i, h := range t.read {
		exprs[i] = h.expr(t.names[i])
	}
	return "SELECT " + strings.Join(exprs, ", ") + " FROM " + from + t.filter(condition)
}

// take runs a statement and keeps the rows not seen before, up to the limit.
func (p *probe) take(ctx context.Context, sql string) error {
	doing := "sampling " + p.table.ref()
	p.conn.began = time.Now()
	rows, err := p.conn.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return p.conn.explain(ctx, doing, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := p.keep(rows.RawValues()); err != nil {
			return err
		}
	}
	rows.Close()
	return p.conn.explain(ctx, doing, rows.Err())
}

func (p *probe) keep(values [][]byte) error {
	var id strings.Builder
	for _, v := range values {
		if v == nil {
			id.WriteString("-;")
			continue
		}
		fmt.Fprintf(&id, "%d;%s", len(v), v)
	}
	if p.seen[id.String()] || len(p.seen) == p.most || len(values) != len(p.table.read) {
		return nil
	}
	p.seen[id.String()] = true
	for i, v := range values {
		h, name := p.table.read[i], p.table.names[i]
		if v == nil {
			p.builder.Field(i).AppendNull()
			continue
		}
		text := string(v)
		if !p.conn.encoded && h.Type.ID() == arrow.STRING {
			text = string([]rune(text))
		}
		if err := appendParsed(p.builder.Field(i), h.Type, text); err != nil {
			return fmt.Errorf("column %s: %w", name, err)
		}
	}
	return nil
}

// maxMicros is how many microseconds a nanosecond count holds.
const maxMicros = math.MaxInt64 / 1000
