package digest

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
)

// Accumulator makes the digest of the batches it is given. It serves one goroutine;
// the digests of several are merged.
type Accumulator struct {
	schema *arrow.Schema
	level  Level
	rows   int64
	nulls  []int64
	sums   []sum
	hasher *rowHasher
	hash   [2]uint64
}

// New makes an accumulator for batches of schema.
func New(schema *arrow.Schema, level Level) *Accumulator {
	a := &Accumulator{schema: schema, level: level}
	if level == None {
		return a
	}
	a.nulls = make([]int64, schema.NumFields())
	for _, f := range schema.Fields() {
		a.sums = append(a.sums, newSum(f.Type))
	}
	if level == Full {
		all := make([]int, schema.NumFields())
		for i := range all {
			all[i] = i
		}
		a.hasher = newRowHasher(schema, all)
	}
	return a
}

// Add takes the rows of rec, which stays the caller's. It refuses a batch whose columns
// have other types than the schema.
func (a *Accumulator) Add(rec arrow.RecordBatch) error {
	if err := sameTypes(a.schema, rec.Schema()); err != nil {
		return err
	}
	a.rows += rec.NumRows()
	if rec.NumRows() == 0 {
		return nil
	}
	for i, s := range a.sums {
		arr := rec.Column(i)
		a.nulls[i] += int64(arr.NullN())
		s.add(arr)
	}
	if a.hasher == nil {
		return nil
	}
	h1, h2 := a.hasher.rows(rec)
	for i := range h1 {
		a.hash = add128(a.hash, [2]uint64{h1[i], h2[i]})
	}
	return nil
}

// Digest is the digest of all rows so far.
func (a *Accumulator) Digest() Digest {
	d := Digest{Rows: a.rows}
	for i, s := range a.sums {
		f := a.schema.Field(i)
		c := ColumnDigest{Name: f.Name, Nulls: a.nulls[i], typ: f.Type}
		s.result(&c)
		d.Columns = append(d.Columns, c)
	}
	if a.hasher != nil {
		hash := a.hash
		d.Hash = &hash
	}
	return d
}

// sameTypes compares what digests depend on: how many columns there are and their types.
func sameTypes(want, got *arrow.Schema) error {
	if want == got {
		return nil
	}
	if want.NumFields() != got.NumFields() {
		return fmt.Errorf("batch has %d columns, the table %d", got.NumFields(), want.NumFields())
	}
	for i, f := range want.Fields() {
		if g := got.Field(i); !arrow.TypeEqual(f.Type, g.Type) {
			return fmt.Errorf("column %s has type %s in the batch, %s in the table", f.Name, g.Type, f.Type)
		}
	}
	return nil
}
