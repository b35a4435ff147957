// Package digest sums up rows so that two readings of them can be compared without
// keeping either: counts, nulls, extremes and sums of each column, and on request a hash of whole rows.
// Every part is additive: neither the order of rows nor how they are divided into batches
// and tasks changes it. What is done about a difference is the run's matter.
package digest

import (
	"bytes"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
)

// Level says how much is compared. It stands in connector.Evidence as text.
type Level string

// The levels.
const (
	None       Level = "none"       // rows only
	Aggregates Level = "aggregates" // columns, each by itself: a value moved to another row goes unseen
	Full       Level = "full"       // and whole rows
)

// Digest sums up rows. The zero value sums up none.
type Digest struct {
	Rows    int64          `json:"rows"`
	Columns []ColumnDigest `json:"columns,omitempty"`
	// Hash is the sum of the rows' 128-bit hashes modulo 2^128, low word first: level Full only.
	Hash *[2]uint64 `json:"hash,omitempty"`
}

// ColumnDigest sums up one column.
type ColumnDigest struct {
	Name  string `json:"name"`
	Nulls int64  `json:"nulls,omitempty"`
	// Min and Max are the least and greatest value as bytes that sort as the values do: numbers
	// big-endian with the sign turned, text and binary as they are, cut to 64 bytes (which
	// keeps the order, so that the least prefix is the prefix of the least value). Booleans, lists and intervals have none.
	Min []byte `json:"min,omitempty"`
	Max []byte `json:"max,omitempty"`
	// Sum is the sum modulo 2^128, low word first, of integers, unscaled decimals (of their low 128 bits), dates, times
	// and durations in their unit, and booleans as 0 and 1. Floats have none: their sum depends on the order.
	Sum [2]uint64 `json:"sum,omitzero"`
	// Bytes is the total length of text and binary, and the number of elements of lists.
	Bytes int64 `json:"bytes,omitempty"`
	// Hash is the sum modulo 2^64 of the hashes of the values that have no exact sum.
	Hash uint64 `json:"hash,omitempty"`

	typ arrow.DataType // for messages; lost in JSON
}

// Merge adds the rows of o, whose columns are the same.
func (d *Digest) Merge(o Digest) {
	if len(d.Columns) == 0 && d.Rows == 0 {
		*d = o.clone()
		return
	}
	if len(o.Columns) == 0 && o.Rows == 0 {
		return
	}
	for i := range min(len(d.Columns), len(o.Columns)) {
		d.Columns[i].merge(o.Columns[i], d.Rows, o.Rows)
	}
	d.Rows += o.Rows
	if d.Hash != nil && o.Hash != nil {
		*d.Hash = add128(*d.Hash, *o.Hash)
	} else {
		d.Hash = nil
	}
}

func (d Digest) clone() Digest {
	d.Columns = append([]ColumnDigest(nil), d.Columns...)
	if d.Hash != nil {
		hash := *d.Hash
		d.Hash = &hash
	}
	return d
}

// merge adds column o; rows and oRows are how many rows each side stands for.
func (c *ColumnDigest) merge(o ColumnDigest, rows, oRows int64) {
	switch {
	case oRows == o.Nulls: // o has no values
	case rows == c.Nulls:
		c.Min, c.Max = o.Min, o.Max
	default:
		if bytes.Compare(o.Min, c.Min) < 0 {
			c.Min = o.Min
		}
		if bytes.Compare(o.Max, c.Max) > 0 {
			c.Max = o.Max
		}
	}
	c.Nulls += o.Nulls
	c.Sum = add128(c.Sum, o.Sum)
	c.Bytes += o.Bytes
	c.Hash += o.Hash
	if c.typ == nil {
		c.typ = o.typ
	}
}

func add128(a, b [2]uint64) [2]uint64 {
	lo, carry := bits.Add64(a[0], b[0], 0)
	hi, _ := bits.Add64(a[1], b[1], carry)
	return [2]uint64{lo, hi}
}
