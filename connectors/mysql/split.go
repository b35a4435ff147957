package mysql

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/kitamae/kitamae/connector"
)

// sizing says how large partitions are meant to be. A lost one is read again, so they must not be too
// large; each costs a few round trips, so they must not be too small.
type sizing struct {
	bytes, rows int64
	// bigRows or bigBytes make a table worth dividing among connections at all.
	bigRows, bigBytes int64
}

func defaultSizing() sizing {
	return sizing{bytes: 64 << 20, rows: 250_000, bigRows: 50_000, bigBytes: 16 << 20}
}

// maxEstimates bounds how often the server is asked for estimates of one table.
const maxEstimates = 4_000

// splitKey is the columns a table is divided by: the first ones of a unique index whose
// values can be written as literals.
type splitKey struct {
	index   string
	columns []string
	kinds   []keyKind
}

// keyKind says how a key column's values become literals.
type keyKind byte

const (
	signedKey keyKind = iota
	unsignedKey
	decimalKey
	dateKey
	bytesKey // text and binary
)

// kindOf says how a column's values become literals; ok is false for types that can't divide a table: an
// enum sorts by number but compares as text, a float has no exact literal.
func kindOf(col connector.Column) (k keyKind, ok bool) {
	n := parseNative(col.Native)
	switch n.base {
	case "tinyint", "smallint", "mediumint", "int", "integer", "bigint", "year":
		if n.unsigned || n.base == "year" {
			return unsignedKey, true
		}
		return signedKey, true
	case "decimal", "numeric":
		return decimalKey, true
	case "date", "datetime", "timestamp":
		return dateKey, true
	case "char", "varchar", "binary", "varbinary", "tinytext", "text", "tinyblob", "blob":
		return bytesKey, true
	}
	return 0, false
}

func newSplitKey(ix index, columns []connector.Column) splitKey {
	key := splitKey{index: ix.name}
	for _, name := range ix.columns {
		k, ok := keyKind(0), false
		for _, col := range columns {
			if col.Name == name {
				k, ok = kindOf(col)
			}
		}
		if !ok {
			break
		}
		key.columns, key.kinds = append(key.columns, name), append(key.kinds, k)
	}
	return key
}

// condition is the range as SQL that an index can serve; "" for the whole table. Neighbours
// share a bound, and each row is on exactly one side of it in the column's own collation.
func (k splitKey) condition(p partition) string {
	var parts []string
	if len(p.Lo) > 0 {
		parts = append(parts, k.side(p.Lo, ">", ">="))
	}
	if len(p.Hi) > 0 {
		parts = append(parts, k.side(p.Hi, "<", "<"))
	}
	return strings.Join(parts, " AND ")
}

// side compares the key with a bound: a > 1 OR (a = 1 AND (b > 2 OR (b = 2 AND c >= 3))). The looser
// first comparison alone stands in front, for optimizers that can't see through the OR.
func (k splitKey) side(bound []string, op, last string) string {
	name := quoteName(k.columns[0])
	if len(bound) == 1 {
		return name + " " + last + " " + bound[0]
	}
	rest := splitKey{columns: k.columns[1:]}
	return fmt.Sprintf("%s %s= %s AND (%s %s %s OR (%s = %s AND %s))", name, op, bound[0], name, op, bound[0], name, bound[0], rest.side(bound[1:], op, last))
}

// divide sets the ranges of a table by what the catalog and the key's index say.
func (s *Source) divide(ctx context.Context, v *view, i int, t *viewTable, indexes []index) error {
	if len(indexes) == 0 || t.rows < 2 || t.rows < s.sizing.bigRows && t.weight < s.sizing.bigBytes {
		return nil
	}
	key := t.split               // chosen already where reading is chunked
	for _, ix := range indexes { // the best first
		if len(key.columns) > 0 {
			break
		}
		if key = newSplitKey(ix, t.scan.Table.Columns); len(key.columns) > 0 {
			break
		}
	}
	if len(key.columns) == 0 {
		return nil
	}
	rowBytes := max(t.weight/t.rows, 1)
	target := max(min(s.sizing.rows, s.sizing.bytes/rowBytes, t.rows/int64(2*v.req.Connections)), 1)
	sp := &splitter{src: s, t: t, key: key, target: target}
	bounds, err := sp.bounds(ctx)
	if err != nil {
		return err
	}
	t.split = key
	t.ranges = nil
	var lo []string
	for _, b := range append(bounds, nil) {
		t.ranges = append(t.ranges, partition{Table: i, Lo: lo, Hi: b})
		lo = b
	}
	return nil
}

// splitter finds the bounds of one table's ranges, outside of any snapshot.
type splitter struct {
	src    *Source
	t      *viewTable
	key    splitKey
	target int64 // rows a range
	asked  int   // estimates so far
}

// piece is a stretch of the key with an estimate of its rows. The first one has no start.
type piece struct {
	start []string
	rows  int64
}

// bounds cuts the key into fine pieces and joins neighbours up to the target.
func (sp *splitter) bounds(ctx context.Context) ([][]string, error) {
	pieces, err := sp.pieces(ctx, nil, sp.t.rows)
	if err != nil {
		return nil, err
	}
	var bounds [][]string
	sum := int64(0)
	for _, p := range pieces {
		if sum > 0 && sum+p.rows > sp.target+sp.target/4 && p.start != nil {
			bounds = append(bounds, p.start)
			sum = 0
		}
		sum += p.rows
	}
	return bounds, nil
}

// pieces cuts the rows whose key starts with prefix.
func (sp *splitter) pieces(ctx context.Context, prefix []string, rows int64) ([]piece, error) {
	depth := len(prefix)
	if depth >= len(sp.key.columns) || rows <= sp.target {
		return []piece{{start: prefix, rows: rows}}, nil
	}
	switch sp.key.kinds[depth] {
	case signedKey, unsignedKey:
		return sp.bisect(ctx, prefix)
	}
	return sp.walk(ctx, prefix)
}

// ordinal maps a key's integers to unsigned ones in the same order, and back.
func ordinal(kind keyKind, text string) (uint64, error) {
	if kind == unsignedKey {
		return strconv.ParseUint(text, 10, 64)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return uint64(n) ^ 1<<63, err
}

func integer(kind keyKind, n uint64) string {
	if kind == unsignedKey {
		return strconv.FormatUint(n, 10)
	}
	return strconv.FormatInt(int64(n^1<<63), 10)
}

// bisect halves the range between the least and the greatest integer wherever the index
// says that there are too many rows in it, so that gaps and crowded ends cost a few
// estimates and no reading.
func (sp *splitter) bisect(ctx context.Context, prefix []string) ([]piece, error) {
	depth := len(prefix)
	kind, name := sp.key.kinds[depth], quoteName(sp.key.columns[depth])
	res, err := sp.src.control(ctx, "SELECT MIN("+name+"), MAX("+name+") FROM "+sp.t.from+sp.equal(prefix))
	if err != nil {
		return nil, err
	}
	least, ok := text(res, 0, 0)
	greatest, _ := text(res, 0, 1)
	if !ok {
		return []piece{{start: prefix}}, nil
	}
	lo, err := ordinal(kind, least)
	if err != nil {
		return nil, err
	}
	hi, err := ordinal(kind, greatest)
	if err != nil {
		return nil, err
	}
	var pieces []piece
	var cut func(lo, hi uint64) error // both inside
	cut = func(lo, hi uint64) error {
		rows, err := sp.estimate(ctx, prefix, integer(kind, lo), integer(kind, hi))
		if err != nil {
			return err
		}
		start := append(append([]string{}, prefix...), integer(kind, lo))
		if rows <= max(sp.target/4, 1) || sp.asked > maxEstimates {
			pieces = append(pieces, piece{start, rows})
			return nil
		}
		if lo == hi { // many rows share this value: go on with the next column
			inner, err := sp.pieces(ctx, start, rows)
			pieces = append(pieces, inner...)
			return err
		}
		mid := lo + (hi-lo)/2
		if err := cut(lo, mid); err != nil {
			return err
		}
		return cut(mid+1, hi)
	}
	if err := cut(lo, hi); err != nil {
		return nil, err
	}
	pieces[0].start = nil // what is below the least belongs to it
	if depth > 0 {
		pieces[0].start = prefix
	}
	return pieces, nil
}

// estimate asks the optimizer how many rows have the prefix and an integer behind it from lo to hi.
func (sp *splitter) estimate(ctx context.Context, prefix []string, lo, hi string) (int64, error) {
	sp.asked++
	name := quoteName(sp.key.columns[len(prefix)])
	explain := "EXPLAIN FORMAT=TRADITIONAL"
	if sp.src.mariadb {
		explain = "EXPLAIN"
	}
	conditions := append(sp.equals(prefix), name+" >= "+lo, name+" <= "+hi)
	// USE, not FORCE: MySQL does not look into an index it is forced to use and estimates one row.
	res, err := sp.src.control(ctx, fmt.Sprintf("%s SELECT %s FROM %s USE INDEX (%s) WHERE %s",
		explain, name, sp.t.from, quoteName(sp.key.index), strings.Join(conditions, " AND ")))
	if err != nil {
		return 0, err
	}
	for k, f := range res.Fields {
		if strings.EqualFold(string(f.Name), "rows") && len(res.Values) > 0 {
			return max(number(res, 0, k), 0), nil
		}
	}
	return 0, nil
}

// walk finds every so-manieth key by stepping along the index: for keys that no
// arithmetic can halve, such as text in a collation.
func (sp *splitter) walk(ctx context.Context, prefix []string) ([]piece, error) {
	step := max(sp.target, 1)
	pieces := []piece{{start: prefix, rows: step}}
	tail := splitKey{columns: sp.key.columns[len(prefix):], kinds: sp.key.kinds[len(prefix):]}
	list, order := tail.spelled()
	var at []string
	for {
		conditions := sp.equals(prefix)
		if at != nil {
			conditions = append(conditions, tail.side(at, ">", ">="))
		}
		where := ""
		if len(conditions) > 0 {
			where = " WHERE " + strings.Join(conditions, " AND ")
		}
		res, err := sp.src.control(ctx, fmt.Sprintf("SELECT %s FROM %s FORCE INDEX (%s)%s ORDER BY %s LIMIT %d, 1",
			list, sp.t.from, quoteName(sp.key.index), where, order, step))
		if err != nil || len(res.Values) == 0 {
			return pieces, err
		}
		next := tail.literals(res, 0)
		if strings.Join(next, ",") == strings.Join(at, ",") { // the index goes on behind our columns
			return pieces, nil
		}
		at = next
		pieces = append(pieces, piece{start: append(append([]string{}, prefix...), next...), rows: step})
	}
}

// literal writes a key's value as SQL. Text keeps the column's character set, so that the
// server compares without converting anything.
func literal(kind keyKind, value, charset string) string {
	switch kind {
	case bytesKey:
		if charset == "binary" || charset == "" {
			return "x'" + value + "'"
		}
		return "_" + charset + " x'" + value + "'"
	case dateKey:
		return "'" + value + "'"
	}
	return value
}

// equals are the conditions that hold a prefix of the key.
func (sp *splitter) equals(prefix []string) []string {
	var all []string
	for k, lit := range prefix {
		all = append(all, quoteName(sp.key.columns[k])+" = "+lit)
	}
	return all
}

func (sp *splitter) equal(prefix []string) string {
	if all := sp.equals(prefix); len(all) > 0 {
		return " WHERE " + strings.Join(all, " AND ")
	}
	return ""
}

// heaviestFirst is the order of indexes by falling weight.
func heaviestFirst(weights []int64) []int {
	order := make([]int, len(weights))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return weights[order[a]] > weights[order[b]] })
	return order
}
