package format

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	pq "github.com/apache/arrow-go/v18/parquet"
	pqfile "github.com/apache/arrow-go/v18/parquet/file"

	"github.com/kitamae/kitamae/batch"
)

// flatReader decodes the columns of a Parquet file without lists straight into batch
// columns: arrow-go decodes pages, and the values go where they stay, at two thirds of the
// cost of its own Arrow layer.
type flatReader struct {
	f       *pqfile.Reader
	pick    []int // columns of the file
	builder *batch.Builder
	moves   []move
	levels  []int16
	bytes   int // of a batch, about
}

// move appends the next up to n values of a column chunk, within one page, and says how many it were.
type move func(r pqfile.ColumnChunkReader, c *batch.Column, n int64, levels []int16) (int64, error)

func newFlatReader(f *pqfile.Reader, schema *arrow.Schema, pick []int, pool *batch.Pool, batchBytes int) (*flatReader, error) {
	r := &flatReader{f: f, pick: pick, bytes: batchBytes, levels: make([]int16, batch.MaxRows)}
	for i, field := range schema.Fields() {
		m, err := moveFor(f.MetaData().Schema.Column(pick[i]).PhysicalType(), field.Type)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", field.Name, err)
		}
		r.moves = append(r.moves, m)
	}
	var err error
	r.builder, err = batch.NewBuilder(schema, pool, batchBytes)
	return r, err
}

// run yields the file's rows.
func (r *flatReader) run(yield func(arrow.RecordBatch, error) bool) {
	defer r.builder.Release()
	for g := range r.f.NumRowGroups() {
		if more, err := r.group(r.f.RowGroup(g), yield); err != nil {
			yield(nil, fmt.Errorf("row group %d: %w", g, err))
			return
		} else if !more {
			return
		}
	}
}

func (r *flatReader) group(g *pqfile.RowGroupReader, yield func(arrow.RecordBatch, error) bool) (more bool, err error) {
	columns := make([]pqfile.ColumnChunkReader, len(r.pick))
	defer func() {
		for _, c := range columns {
			if c != nil {
				err = errors.Join(err, c.Close())
			}
		}
	}()
	for k, i := range r.pick {
		if columns[k], err = g.Column(i); err != nil {
			return false, err
		}
	}
	step := rowsAtOnce(r.bytes, g.ByteSize(), g.NumRows())
	for left := g.NumRows(); left > 0; left -= step {
		step = min(step, left)
		for k, c := range columns {
			for need := step; need > 0; {
				got, err := r.moves[k](c, r.builder.Columns[k], need, r.levels[:need])
				if err == nil && got == 0 {
					err = errors.Join(errors.New("its values end early"), c.Err())
				}
				if err != nil {
					return false, fmt.Errorf("column %s: %w", c.Descriptor().Name(), err)
				}
				need -= got
			}
		}
		rec, err := r.builder.Batch()
		if err != nil {
			return false, err
		}
		more := yield(rec, nil)
		rec.Release()
		if !more {
			return false, nil
		}
	}
	return true, nil
}

// rowsAtOnce is how many rows of a row group make a batch of about batchBytes.
func rowsAtOnce(batchBytes int, bytes, rows int64) int64 {
	if bytes <= 0 || rows <= 0 {
		return batch.MaxRows
	}
	return min(max(int64(batchBytes)*rows/bytes, 64), batch.MaxRows)
}

// pageReader is what each of arrow-go's typed column readers has. It reads within a page,
// so that byte arrays, which point into it, stay valid.
type pageReader[T any] interface {
	ReadBatchInPage(n int64, values []T, def, rep []int16) (int64, int, error)
}

// moveOf makes a move out of how values are appended.
func moveOf[T any](add func(*batch.Column, []T)) move {
	values := make([]T, batch.MaxRows)
	return func(r pqfile.ColumnChunkReader, c *batch.Column, n int64, levels []int16) (int64, error) {
		if !r.HasNext() {
			return 0, nil
		}
		rows, present, err := r.(pageReader[T]).ReadBatchInPage(n, values, levels, nil)
		if err != nil {
			return 0, err
		}
		if int64(present) == rows {
			add(c, values[:present])
			return rows, nil
		}
		next, run := 0, 0 // values that are appended, and that follow on them without a null between
		for _, level := range levels[:rows] {
			if level != 0 {
				run++
				continue
			}
			add(c, values[next:next+run])
			next, run = next+run, 0
			c.Null()
		}
		add(c, values[next:next+run])
		return rows, nil
	}
}

// moveFor finds the move from a physical type to an Arrow type. That the file's logical types are those
// of the plan has been checked before.
func moveFor(from pq.Type, to arrow.DataType) (move, error) {
	dec, isDecimal := to.(*arrow.Decimal128Type)
	fixed, isFixed := to.(arrow.FixedWidthDataType)
	width := 0
	if isFixed {
		width = fixed.BitWidth()
	}
	switch {
	case from == pq.Types.Boolean && to.ID() == arrow.BOOL:
		return moveOf(single((*batch.Column).Bool)), nil
	case from == pq.Types.Int32 && isDecimal:
		return moveOf(decimals[int32]), nil
	case from == pq.Types.Int64 && isDecimal:
		return moveOf(decimals[int64]), nil
	case from == pq.Types.FixedLenByteArray && isDecimal && dec.Precision <= 38:
		return moveOf(single(appendBigEndian)), nil
	case from == pq.Types.Int32 && width == 8:
		return moveOf(single(func(c *batch.Column, v int32) { c.Uint8(uint8(v)) })), nil
	case from == pq.Types.Int32 && width == 16:
		return moveOf(single(func(c *batch.Column, v int32) { c.Uint16(uint16(v)) })), nil
	case from == pq.Types.Int32 && width == 32:
		return moveOf(func(c *batch.Column, v []int32) { c.Raw(arrow.Int32Traits.CastToBytes(v), len(v)) }), nil
	case from == pq.Types.Int64 && width == 64:
		return moveOf(func(c *batch.Column, v []int64) { c.Raw(arrow.Int64Traits.CastToBytes(v), len(v)) }), nil
	case from == pq.Types.Float && to.ID() == arrow.FLOAT32:
		return moveOf(func(c *batch.Column, v []float32) { c.Raw(arrow.Float32Traits.CastToBytes(v), len(v)) }), nil
	case from == pq.Types.Double && to.ID() == arrow.FLOAT64:
		return moveOf(func(c *batch.Column, v []float64) { c.Raw(arrow.Float64Traits.CastToBytes(v), len(v)) }), nil
	case from == pq.Types.ByteArray && arrow.IsBaseBinary(to.ID()):
		return moveOf(texts), nil
	}
	return nil, fmt.Errorf("the Parquet type %s can't be read as %s", from, to)
}

// single appends value by value: for types that are rare enough.
func single[T any](add func(*batch.Column, T)) func(*batch.Column, []T) {
	return func(c *batch.Column, values []T) {
		for _, v := range values {
			add(c, v)
		}
	}
}

func decimals[T int32 | int64](c *batch.Column, values []T) {
	for _, v := range values {
		c.Decimal128(int64(v)>>63, uint64(v))
	}
}

func texts(c *batch.Column, values []pq.ByteArray) {
	for _, v := range values {
		c.Value(v)
	}
}

// appendBigEndian appends a decimal of up to 16 bytes, most significant first.
func appendBigEndian(c *batch.Column, v pq.FixedLenByteArray) {
	var b [16]byte
	if len(v) > 0 && v[0]>>7 == 1 {
		for i := range b {
			b[i] = 0xff
		}
	}
	copy(b[max(16-len(v), 0):], v)
	c.Decimal128(int64(binary.BigEndian.Uint64(b[:8])), binary.BigEndian.Uint64(b[8:]))
}
