package cli

import (
	"io"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
)

// maxCell is how much of a value a table on the screen shows, in characters.
const maxCell = 60

// recordGrid collects batches for printing.
type recordGrid struct {
	head  []string
	right []int
	rows  [][]string
}

func newGrid(schema *arrow.Schema) *recordGrid {
	g := &recordGrid{}
	for i, f := range schema.Fields() {
		g.head = append(g.head, f.Name)
		if isNumber(f.Type) {
			g.right = append(g.right, i)
		}
	}
	return g
}

func isNumber(t arrow.DataType) bool {
	return arrow.IsInteger(t.ID()) || arrow.IsFloating(t.ID()) || arrow.IsDecimal(t.ID())
}

func (g *recordGrid) add(rec arrow.RecordBatch) {
	var buf []byte
	for i := range int(rec.NumRows()) {
		cells := make([]string, rec.NumCols())
		for k, col := range rec.Columns() {
			if col.IsNull(i) {
				cells[k] = "∅"
				continue
			}
			buf = batch.AppendText(buf[:0], col, i)
			cells[k] = oneLine(string(buf))
		}
		g.rows = append(g.rows, cells)
	}
}

// oneLine makes a value fit a cell: control characters visible, the rest cut off.
func oneLine(s string) string {
	out := make([]rune, 0, maxCell+1)
	for _, r := range s {
		if len(out) == maxCell {
			return string(append(out, '…'))
		}
		switch {
		case r == '\n':
			r = '⏎'
		case r < ' ' || r == 0x7f:
			r = '·'
		}
		out = append(out, r)
	}
	return string(out)
}

func (g *recordGrid) print(w io.Writer) { grid(w, g.head, g.rows, g.right...) }
