package main

import (
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/internal/servertest"
)

// TestLineitemBatches: the reference pieces write the rows that the servers hold.
func TestLineitemBatches(t *testing.T) {
	recs, err := lineitemBatches()
	if err != nil {
		t.Fatal(err)
	}
	rows := int64(0)
	for _, rec := range recs {
		rows += rec.NumRows()
	}
	if rows != referenceRows {
		t.Errorf("%d rows, want %d", rows, referenceRows)
	}
	var text strings.Builder
	if _, err := newLineitem(1).WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, col := range recs[0].Columns() {
		got = append(got, string(batch.AppendText(nil, col, 0)))
	}
	if line := strings.Join(got, "\t") + "\n"; line != text.String() {
		t.Errorf("the first row is %q, want %q", line, text.String())
	}
	if _, ok := recs[0].Column(15).(*array.String); !ok {
		t.Errorf("l_comment is %s", recs[0].Column(15).DataType())
	}
}

// TestScale: a machine that is half as fast in every piece may take twice as long.
func TestScale(t *testing.T) {
	r := route{server: servertest.Server{Name: "mariadb", Kind: "mysql"}, to: "parquet"}
	slow := map[string]float64{"mariadb": 2 * setOn["mysql"], "parquet": 2 * setOn["parquet"]}
	if got := scale(r, slow); math.Abs(got-2) > 1e-9 {
		t.Errorf("the target is multiplied with %v, want 2", got)
	}
}
