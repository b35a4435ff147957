package batch

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Column collects the values of one column as raw little-endian Arrow buffers: one
// slice for values, one for offsets where values vary in length, and a null bitmap made
// only when the first null comes. It is what the hand-written decoders write into, so
// each append is a few instructions, small enough to be inlined, and as good as never allocates.
//
// The append must fit the column's type: Uint32 on a 64-bit column makes a broken
// batch, and [Builder.Batch] refuses it.
type Column struct {
	typ    arrow.DataType
	pool   *Pool
	width  int // bytes a value; 0 with offsets, -1 for bits
	n      int
	nulls  int
	data   []byte
	offs   []byte // int32 each, one more than values
	valid  []byte // null bitmap; nil until the first null
	marked int    // values whose bit in valid is decided
	child  *Column

	dataLoan, offsLoan loan
}

// newColumn makes a column that expects so many rows.
func newColumn(t arrow.DataType, pool *Pool, rows int) (*Column, error) {
	c := &Column{typ: t, pool: pool}
	switch t := t.(type) {
	case *arrow.StringType, *arrow.BinaryType:
	case *arrow.BooleanType:
		c.width = -1
	case *arrow.ListType:
		child, err := newColumn(t.Elem(), pool, rows)
		if err != nil {
			return nil, err
		}
		c.child = child
	case arrow.FixedWidthDataType:
		c.width = t.Bytes()
	default:
		return nil, fmt.Errorf("no column builder for Arrow type %s", t)
	}
	c.dataLoan.last = min(rows*guess(t), mostRoom)
	if c.width == 0 {
		c.offsLoan.last = min(4*(rows+1), mostRoom)
	}
	c.reset()
	return c, nil
}

func (c *Column) reset() {
	c.data = c.dataLoan.take(c.pool, len(c.data))
	c.valid = nil
	if c.width == 0 {
		c.offs = append(c.offsLoan.take(c.pool, len(c.offs)), 0, 0, 0, 0)
	}
	c.n, c.nulls, c.marked = 0, 0, 0
}

// Len is how many values the column holds.
func (c *Column) Len() int { return c.n }

// Bytes is about how many bytes the column holds.
func (c *Column) Bytes() int {
	n := len(c.data) + len(c.offs)
	if c.child != nil {
		n += c.child.Bytes()
	}
	return n
}

// Child is a list column's element column. Append elements there, then call [Column.List].
func (c *Column) Child() *Column { return c.child }

// Null appends a null.
func (c *Column) Null() {
	c.mark(c.n)
	c.valid = appendBit(c.valid, c.n, false)
	c.marked++
	c.nulls++
	c.n++
	switch {
	case c.width > 0:
		c.data = append(c.data, make([]byte, c.width)...) // allocates nothing of its own
	case c.width < 0:
		c.data = appendBit(c.data, c.n-1, false)
	default:
		c.offset()
	}
}

// mark decides all bits below n as valid.
func (c *Column) mark(n int) {
	if c.valid == nil {
		c.valid = c.pool.Allocate(MaxRows / 8)[:0]
	}
	for ; c.marked < n && c.marked&7 != 0; c.marked++ {
		c.valid = appendBit(c.valid, c.marked, true)
	}
	for ; c.marked+8 <= n; c.marked += 8 {
		c.valid = append(c.valid, 0xff)
	}
	for ; c.marked < n; c.marked++ {
		c.valid = appendBit(c.valid, c.marked, true)
	}
}

func appendBit(bits []byte, i int, set bool) []byte {
	if i&7 == 0 {
		bits = append(bits, 0)
	}
	if set {
		bits[i>>3] |= 1 << (i & 7)
	}
	return bits
}

// offset closes the current variable-length value.
func (c *Column) offset() {
	end := len(c.data)
	if c.child != nil {
		end = c.child.n
	}
	c.offs = binary.LittleEndian.AppendUint32(c.offs, uint32(end))
}

// Bool appends to a boolean column.
func (c *Column) Bool(v bool) { c.data = appendBit(c.data, c.n, v); c.n++ }

// Uint8 appends to a column one byte wide (int8, uint8).
func (c *Column) Uint8(v uint8) { c.data = append(c.data, v); c.n++ }

// Uint16 appends to a column two bytes wide.
func (c *Column) Uint16(v uint16) {
	c.data = binary.LittleEndian.AppendUint16(c.data, v)
	c.n++
}

// Uint32 appends to a column four bytes wide (int32, uint32, date32, the bits of a float32).
func (c *Column) Uint32(v uint32) {
	c.data = binary.LittleEndian.AppendUint32(c.data, v)
	c.n++
}

// Uint64 appends to a column eight bytes wide (int64, uint64, timestamp, time64, duration, the bits of a float64).
func (c *Column) Uint64(v uint64) {
	c.data = binary.LittleEndian.AppendUint64(c.data, v)
	c.n++
}

// Word appends the low bytes of v to a column 1, 2, 4 or 8 bytes wide.
func (c *Column) Word(bytes int, v uint64) {
	switch bytes {
	case 1:
		c.Uint8(uint8(v))
	case 2:
		c.Uint16(uint16(v))
	case 4:
		c.Uint32(uint32(v))
	default:
		c.Uint64(v)
	}
}

// Raw appends n values of a fixed width of whole bytes as they lie in memory.
func (c *Column) Raw(values []byte, n int) { c.data = append(c.data, values...); c.n += n }

// Decimal128 appends a two's complement number in two halves.
func (c *Column) Decimal128(hi int64, lo uint64) {
	c.data = binary.LittleEndian.AppendUint64(c.data, lo)
	c.data = binary.LittleEndian.AppendUint64(c.data, uint64(hi))
	c.n++
}

// Decimal256 appends a two's complement number, least significant word first.
func (c *Column) Decimal256(words [4]uint64) {
	for _, w := range words {
		c.data = binary.LittleEndian.AppendUint64(c.data, w)
	}
	c.n++
}

// Interval appends to a month_day_nano_interval column.
func (c *Column) Interval(months, days int32, nanos int64) {
	c.data = binary.LittleEndian.AppendUint32(c.data, uint32(months))
	c.data = binary.LittleEndian.AppendUint32(c.data, uint32(days))
	c.data = binary.LittleEndian.AppendUint64(c.data, uint64(nanos))
	c.n++
}

// Value appends a copy of v to a string or binary column.
func (c *Column) Value(v []byte) {
	c.data = append(c.data, v...)
	c.offs = binary.LittleEndian.AppendUint32(c.offs, uint32(len(c.data)))
	c.n++
}

// Buf returns the value buffer to append one string or binary value to; [Column.SetBuf] takes it
// back and closes the value. It saves a copy where a value is formatted, not copied.
func (c *Column) Buf() []byte { return c.data }

// SetBuf takes back the slice from [Column.Buf] with one value's bytes appended.
func (c *Column) SetBuf(data []byte) {
	c.data = data
	c.offs = binary.LittleEndian.AppendUint32(c.offs, uint32(len(data)))
	c.n++
}

// List closes one list value of all elements appended to Child since the last one.
func (c *Column) List() { c.offset(); c.n++ }

// take takes the column's buffers as Arrow array data and starts the column over.
func (c *Column) take() (arrow.ArrayData, error) {
	if c.valid != nil {
		c.mark(c.n)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	bufs := []*memory.Buffer{nil}
	if c.valid != nil {
		bufs[0] = memory.NewBufferWithAllocator(c.valid, c.pool)
	}
	if c.width == 0 {
		bufs = append(bufs, c.offsLoan.wrap(c.pool, c.offs))
	}
	var children []arrow.ArrayData
	if c.child != nil {
		child, err := c.child.take()
		if err != nil {
			return nil, err
		}
		defer child.Release()
		children = []arrow.ArrayData{child}
		c.dataLoan.end(c.pool, c.data)
	} else {
		bufs = append(bufs, c.dataLoan.wrap(c.pool, c.data))
	}
	d := array.NewData(c.typ, c.n, bufs, children, c.nulls, 0)
	for _, b := range bufs {
		if b != nil {
			b.Release()
		}
	}
	c.reset()
	return d, nil
}

// check finds decoders that appended another width than the column has.
func (c *Column) check() error {
	want := len(c.data)
	switch {
	case c.width > 0:
		want = c.n * c.width
	case c.width < 0:
		want = (c.n + 7) / 8
	case len(c.offs) != 4*(c.n+1):
		return fmt.Errorf("%s column: %d values but %d bytes of offsets", c.typ, c.n, len(c.offs))
	}
	if len(c.data) != want || len(c.data) > math.MaxInt32 {
		return fmt.Errorf("%s column: %d values in %d bytes", c.typ, c.n, len(c.data))
	}
	return nil
}

// release gives the buffers back without making an array.
func (c *Column) release() {
	c.dataLoan.end(c.pool, c.data)
	c.offsLoan.end(c.pool, c.offs)
	c.pool.Free(c.valid)
	c.data, c.offs, c.valid = nil, nil, nil
	if c.child != nil {
		c.child.release()
	}
}
