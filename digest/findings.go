package digest

import "fmt"

// Findings are what an index found in some of the staged batches, as data: several goroutines, or processes, look for the same sample, each
// in its own batches, and one adds up what they found.
type Findings struct {
	// Found counts, per sample row, staged rows of the same key. Rows found nowhere are left out.
	Found map[int]int64 `json:"found,omitempty"`
	Diffs []Finding     `json:"diffs,omitempty"`
}

// Finding is a value that differs from the sample's.
type Finding struct {
	Row        int        `json:"row"`
	Difference Difference `json:"difference"`
}

// Fresh looks for the same sample and has found nothing yet. It must not be used after x is released, and needs no Release of its own.
func (x *RowIndex) Fresh() *RowIndex {
	return &RowIndex{
		sample: x.sample, key: x.key, whole: x.whole, rows: x.rows, bits: x.bits, wanted: x.wanted,
		hasher: newRowHasher(x.sample.Schema(), x.key),
		found:  make([]int64, len(x.found)),
		listed: map[rowColumn]bool{},
	}
}

// Findings are what was found until now.
func (x *RowIndex) Findings() Findings {
	f := Findings{Found: map[int]int64{}}
	for row, n := range x.found {
		if n > 0 {
			f.Found[row] = n
		}
	}
	for _, d := range x.diffs {
		if len(f.Diffs) < maxListed {
			f.Diffs = append(f.Diffs, Finding{d.row, d.Difference})
		}
	}
	return f
}

// AddFindings adds what another index of the same sample found.
func (x *RowIndex) AddFindings(f Findings) error {
	for row, n := range f.Found {
		if row < 0 || row >= len(x.found) {
			return fmt.Errorf("row %d was found of a sample of %d", row, len(x.found))
		}
		x.found[row] += n
	}
	for _, d := range f.Diffs {
		if d.Row < 0 || d.Row >= len(x.found) {
			return fmt.Errorf("row %d differs of a sample of %d", d.Row, len(x.found))
		}
		x.diffs = append(x.diffs, rowDifference{d.Row, d.Difference})
	}
	return nil
}
