package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// partition is one share of a table: all rows of some relations, or a range of one.
type partition struct {
	View  int64 `json:"view"`
	Table int   `json:"table"` // index in the scan
	// From are relations as written in a FROM clause; one, or several partitions of a partitioned table.
	From []string `json:"from"`
	// By are the expressions that divide, quoted: the key's columns, or ctid. Lo is the
	// first value in the range, Hi the first one after it, as text; empty for no end.
	By []string `json:"by,omitempty"`
	Lo []string `json:"lo,omitempty"`
	Hi []string `json:"hi,omitempty"`
	// Nulls says that rows whose By is null belong here too.
	Nulls bool `json:"nulls,omitempty"`
}

// condition is the partition's range in SQL. Literals have no type of their own: each takes
// its column's, and with it its collation.
func (p partition) condition() string {
	var parts []string
	if len(p.Lo) > 0 {
		parts = append(parts, tuple(p.By)+" >= "+tuple(quoted(p.Lo)))
	}
	if len(p.Hi) > 0 {
		parts = append(parts, tuple(p.By)+" < "+tuple(quoted(p.Hi)))
	}
	where := strings.Join(parts, " AND ")
	if p.Nulls && where != "" {
		where = "(" + where + " OR " + p.By[0] + " IS NULL)"
	}
	return where
}

func tuple(exprs []string) string {
	if len(exprs) == 1 {
		return exprs[0]
	}
	return "(" + strings.Join(exprs, ", ") + ")"
}

func quoted(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = literal(v)
	}
	return out
}

// sizes decide how a table is divided.
type sizes struct {
	small     int64 // bytes: a smaller table is one partition
	smallRows float64
	bytes     int64   // of one partition
	rows      float64 // of one partition
	byKey     bool    // divide by key even where ctid could be used
}

var defaultSizes = sizes{small: 16 << 20, smallRows: 250_000, bytes: 64 << 20, rows: 250_000}

const (
	maxPartitions = 4096
	pageBytes     = 8192
	// tidRanges is the first version that reads a range of ctid without reading the whole table.
	tidRanges = 14_00_00
)

// ctid is where a row lies. Within one snapshot it never changes, and ranges of it are
// read in the order of the disk, whatever the key's order.
var ctid = []string{"ctid"}

// split divides a table and estimates its rows, -1 for unknown.
func (v *view) split(ctx context.Context, t *scanned, connections int) ([]partition, int64, error) {
	rows := int64(t.Rows)
	whole := []partition{{From: []string{t.from()}}}
	switch {
	case t.Kind != "r" && t.Kind != "p":
		return whole, -1, nil
	case t.TableSize < v.src.sizes.small && t.Rows < v.src.sizes.smallRows:
		return whole, rows, nil
	case t.Kind == "r" && v.byCtid(t.Heap):
		return v.ranges(ctx, t, t.from(), t.TableSize, ctid, false, connections)
	case t.Kind == "p" && v.childrenDirectly(t):
		return v.perChild(ctx, t, connections)
	case len(t.key) > 0:
		by, nulls := t.keyExprs()
		return v.ranges(ctx, t, t.from(), t.TableSize, by, nulls, connections)
	}
	return whole, rows, nil
}

// byCtid says whether a heap's ranges of ctid can be read. They are preferred to the key's: an index
// scan costs the server twice the time where the heap happens to be in the key's order, and far more where it isn't.
func (v *view) byCtid(heap bool) bool {
	return heap && v.owner.version >= tidRanges && !v.src.sizes.byKey
}

// childrenDirectly says whether the partitions of a partitioned table may be read by their own names.
func (v *view) childrenDirectly(t *scanned) bool {
	if t.Guarded || len(t.relation.children) == 0 || (v.src.sizes.byKey && len(t.key) > 0) {
		return false
	}
	return !slices.ContainsFunc(t.relation.children, func(c childRow) bool { return !c.Readable })
}

// keyExprs are the key's columns, and whether rows may have none. Such rows would fall
// out of comparisons of tuples, so a key that may be null divides by its first column only.
func (t *scanned) keyExprs() (by []string, nulls bool) {
	for _, k := range t.key {
		by = append(by, ident(k))
		for _, c := range t.relation.columns {
			nulls = nulls || (c.Name == k && !c.NotNull)
		}
	}
	if nulls {
		by = by[:1]
	}
	return by, nulls
}

// perChild divides a partitioned table by its partitions: large ones further, small ones together.
func (v *view) perChild(ctx context.Context, t *scanned, connections int) ([]partition, int64, error) {
	var parts []partition
	var together partition
	var bytes, rows int64
	var pending float64
	for _, child := range t.relation.children {
		from := "ONLY " + ident(child.Schema, child.Name)
		if child.Kind != "r" {
			from = ident(child.Schema, child.Name)
		}
		large := child.TableSize >= v.src.sizes.small || child.Rows >= v.src.sizes.smallRows
		if large && v.byCtid(child.Heap) {
			more, n, err := v.ranges(ctx, t, from, child.TableSize, ctid, false, connections)
			if err != nil {
				return nil, 0, err
			}
			parts, rows = append(parts, more...), rows+max(0, n)
			continue
		}
		full := bytes+child.TableSize > v.src.sizes.bytes || pending+child.Rows > v.src.sizes.rows
		if len(together.From) > 0 && full {
			parts = append(parts, together)
			together, bytes, pending = partition{}, 0, 0
		}
		together.From = append(together.From, from)
		bytes += child.TableSize
		pending += max(0, child.Rows)
		rows += int64(max(0, child.Rows))
	}
	if len(together.From) > 0 {
		parts = append(parts, together)
	}
	return parts, rows, nil
}

// quantile is one point of a sorted sample.
type quantile struct {
	At    []string
	Total int64 // rows in the sample
}

// ranges divides one relation at values that rows really have: the quantiles of a sample of its pages. Gaps in
// a key, one dense stretch of it, or pages emptied by deletes thus don't leave one range with most of the rows.
func (v *view) ranges(ctx context.Context, t *scanned, from string, size int64, by []string, nulls bool, connections int) ([]partition, int64, error) {
	guess := max(2*connections, int(size/v.src.sizes.bytes)+1)
	pages := max(1, float64(size)/pageBytes)
	percent := min(100, 100*max(400, min(2000, 40*float64(guess)))/pages)
	points, err := v.sample(ctx, t, from, by, percent)
	if err != nil {
		return nil, 0, err
	}
	rows := int64(0)
	if len(points) > 0 {
		rows = int64(float64(points[0].Total) * 100 / percent)
	}
	count := max(int(float64(rows)/v.src.sizes.rows)+1, int(size/v.src.sizes.bytes)+1, 2*connections)
	count = min(count, maxPartitions, max(1, len(points)))
	cuts := cutsOf(points, count)
	parts := make([]partition, 0, len(cuts)+1)
	next := partition{From: []string{from}, By: by}
	for _, cut := range cuts {
		p := next
		p.Hi = cut
		parts = append(parts, p)
		next.Lo = cut
	}
	next.Nulls = nulls
	if len(cuts) == 0 {
		next.By, next.Nulls = nil, false
	}
	return append(parts, next), rows, nil
}

// cutsOf picks the boundaries between count ranges, each once.
func cutsOf(points []quantile, count int) [][]string {
	var cuts [][]string
	for i := 1; i < count; i++ {
		at := points[i*len(points)/count].At
		if len(cuts) == 0 || !slices.Equal(cuts[len(cuts)-1], at) {
			cuts = append(cuts, at)
		}
	}
	return cuts
}

// sample sorts the division's values of a sample of pages, at the server and in the columns' own order, and
// returns up to maxPartitions of them at equal distances.
func (v *view) sample(ctx context.Context, t *scanned, from string, by []string, percent float64) ([]quantile, error) {
	var as, keys, texts, notNull []string
	for i, expr := range by {
		k := fmt.Sprintf("k%d", i)
		as = append(as, expr+" AS "+k)
		keys = append(keys, k)
		texts = append(texts, k+"::pg_catalog.text")
		notNull = append(notNull, expr+" IS NOT NULL")
	}
	order := strings.Join(keys, ", ")
	sql := fmt.Sprintf(`SELECT ARRAY[%s], total FROM (
  SELECT %s, pg_catalog.row_number() OVER (ORDER BY %s) AS n, pg_catalog.count(*) OVER () AS total FROM (
    SELECT %s FROM %s TABLESAMPLE pg_catalog.system (%g) REPEATABLE (1)%s) s) q
WHERE n * %d / total <> (n - 1) * %d / total ORDER BY n`,
		strings.Join(texts, ", "), order, order, strings.Join(as, ", "), from, percent, t.filter(strings.Join(notNull, " AND ")),
		maxPartitions, maxPartitions)
	return list[quantile](ctx, v.owner, "sampling "+t.ref(), sql)
}
