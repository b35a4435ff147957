package digest

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
)

// RowIndex looks for sample rows among staged ones. It is made of a sample read a second
// way, fed every staged batch, and then says which sample rows are missing, are there twice, or differ and
// in which column. Fed millions of rows it hashes the key columns and looks at one bit a row.
//
// With a key, a sample row is found by its key and compared value by value. Without, it is
// found by all its values, as often as the sample has it.
type RowIndex struct {
	sample arrow.RecordBatch
	key    []int // columns
	whole  bool  // no key: key is every column
	hasher *rowHasher
	rows   map[[2]uint64]int // first sample row by hash
	bits   []uint64          // one bit set per sample hash: rules out nearly all staged rows
	found  []int64           // per sample row: staged rows of the same key
	wanted []int64           // per sample row: how many there must be; 0 where an earlier row counts for it
	diffs  []rowDifference
	listed map[rowColumn]bool
	judged []bool // nil: all of them
}

type rowDifference struct {
	row int
	Difference
}

type rowColumn struct{ row, column int }

// indexBits is the size of the bit table: with a sample of 1,000 rows one staged row in 65 goes on to the map.
const indexBits = 1 << 16

// maxListed bounds how many differences are kept: a broken decoder breaks every row.
const maxListed = 20

// NewRowIndex looks for the rows of sample, which it retains until Release. key names columns of sample, empty for none.
func NewRowIndex(sample arrow.RecordBatch, key []string) (*RowIndex, error) {
	x := &RowIndex{
		sample: sample,
		whole:  len(key) == 0,
		rows:   map[[2]uint64]int{},
		bits:   make([]uint64, indexBits/64),
		found:  make([]int64, sample.NumRows()),
		wanted: make([]int64, sample.NumRows()),
		listed: map[rowColumn]bool{},
	}
	schema := sample.Schema()
	for _, name := range key {
		at := schema.FieldIndices(name)
		if len(at) != 1 {
			return nil, fmt.Errorf("key column %s is not in the sample", name)
		}
		x.key = append(x.key, at[0])
	}
	if x.whole {
		for i := range schema.NumFields() {
			x.key = append(x.key, i)
		}
	}
	x.hasher = newRowHasher(schema, x.key)
	h1, h2 := x.hasher.rows(sample)
	for i := range h1 {
		hash := [2]uint64{h1[i], h2[i]}
		first, again := x.rows[hash]
		if !again {
			first = i
			x.rows[hash] = i
		}
		if !again || x.whole { // a sample may hold the row of one key twice
			x.wanted[first]++
		}
		x.bits[h1[i]%indexBits/64] |= 1 << (h1[i] % 64)
	}
	sample.Retain()
	return x, nil
}

// Release lets go of the sample.
func (x *RowIndex) Release() { x.sample.Release() }

// Add looks for sample rows in one staged batch, which stays the caller's. It refuses a
// batch whose columns have other types than the sample's.
func (x *RowIndex) Add(rec arrow.RecordBatch) error {
	if err := sameTypes(x.sample.Schema(), rec.Schema()); err != nil {
		return err
	}
	h1, h2 := x.hasher.rows(rec)
	for i, h := range h1 {
		if x.bits[h%indexBits/64]>>(h%64)&1 == 0 {
			continue
		}
		if row, ok := x.rows[[2]uint64{h, h2[i]}]; ok {
			x.match(rec, i, row)
		}
	}
	return nil
}

// match compares staged row i with the sample row of the same hash.
func (x *RowIndex) match(rec arrow.RecordBatch, i int, row int) {
	x.found[row]++
	if x.whole {
		return
	}
	for col := range int(rec.NumCols()) {
		if equal(x.sample.Column(col), row, rec.Column(col), i) {
			continue
		}
		if at := (rowColumn{row, col}); !x.listed[at] {
			x.listed[at] = true
			x.diffs = append(x.diffs, rowDifference{row, Difference{
				Column: x.sample.ColumnName(col),
				Text:   "differs from a second reading in the row with " + x.name(row),
			}})
		}
	}
}

// Differences lists what is wrong, once all staged batches were added; nothing means every
// sample row was found as it should be.
func (x *RowIndex) Differences() []Difference {
	var diffs []Difference
	for _, d := range x.diffs {
		if len(diffs) < maxListed && (x.judged == nil || x.judged[d.row]) {
			diffs = append(diffs, d.Difference)
		}
	}
	for row := range x.found {
		if len(diffs) >= maxListed {
			break
		}
		if x.judged != nil && !x.judged[row] {
			continue
		}
		if text := x.count(row); text != "" {
			diffs = append(diffs, Difference{Text: text})
		}
	}
	return diffs
}

// Keep leaves only those sample rows to be judged that a later sample, of the same columns, holds just as they are:
// what changed between the two may rightly differ from what was read between them. It returns how many are left.
func (x *RowIndex) Keep(later arrow.RecordBatch) (int, error) {
	if err := sameTypes(x.sample.Schema(), later.Schema()); err != nil {
		return 0, err
	}
	every := make([]int, x.sample.Schema().NumFields())
	for i := range every {
		every[i] = i
	}
	hasher := newRowHasher(x.sample.Schema(), every)
	still := map[[2]uint64]bool{}
	h1, h2 := hasher.rows(later)
	for i := range h1 {
		still[[2]uint64{h1[i], h2[i]}] = true
	}
	x.judged = make([]bool, x.sample.NumRows())
	left := 0
	h1, h2 = hasher.rows(x.sample)
	for i := range h1 {
		if still[[2]uint64{h1[i], h2[i]}] {
			x.judged[i] = true
			left++
		}
	}
	return left, nil
}

// count says what is wrong with how often a sample row was found.
func (x *RowIndex) count(row int) string {
	switch wanted, found := x.wanted[row], x.found[row]; {
	case wanted == 0:
		return ""
	case found == 0:
		return fmt.Sprintf("the row with %s is missing", x.name(row))
	case found < wanted:
		return fmt.Sprintf("the row with %s is there %d times, not %d", x.name(row), found, wanted)
	case found > wanted && !x.whole: // without a key others may be alike
		return fmt.Sprintf("the row with %s is there %d times", x.name(row), found)
	}
	return ""
}

// maxName bounds how much of a row's values a message repeats.
const maxName = 80

// name says which row it is: its key's values, or where there is no key its number in the
// sample, as other values are nobody's business in a report.
func (x *RowIndex) name(row int) string {
	if x.whole {
		return fmt.Sprintf("number %d of the sample", row+1)
	}
	var parts []string
	for _, col := range x.key {
		text := batch.AppendText(nil, x.sample.Column(col), row)
		if len(text) > maxName {
			text = append(text[:maxName:maxName], "…"...)
		}
		parts = append(parts, fmt.Sprintf("%s = %s", x.sample.ColumnName(col), strings.ToValidUTF8(string(text), "\ufffd")))
	}
	return strings.Join(parts, ", ")
}
