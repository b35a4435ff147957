package connector

import "github.com/kitamae/kitamae/conf"

// Cost is what a step is expected to be billed at most, at the list price and before anything that is free each month.
type Cost struct {
	// Bytes is how much is billed for, 0 where the step is free.
	Bytes int64      `json:"bytes"`
	Price conf.Money `json:"price"`
	// For says what is billed, as in "MERGE reads the table's two partitions"; "" where nothing is.
	For string `json:"for,omitempty"`
}
