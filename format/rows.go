package format

import (
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
)

// errMore says that the buffer ends inside a row.
var errMore = errors.New("the file ends inside a row")

// rowReader reads rows of text from r into batches.
type rowReader struct {
	r       io.Reader
	builder *batch.Builder
	parsers []parser
	row     bool // set by the function that reads a row when it appended one
	line    int64
}

func newRowReader(r io.Reader, schema *arrow.Schema, pool *batch.Pool, batchBytes int, form form) (*rowReader, error) {
	b, err := batch.NewBuilder(schema, pool, batchBytes)
	if err != nil {
		return nil, err
	}
	rd := &rowReader{r: r, builder: b}
	for _, f := range schema.Fields() {
		p, err := parserOf(f.Type, form)
		if err != nil {
			b.Release()
			return nil, fmt.Errorf("column %s: %w", f.Name, err)
		}
		rd.parsers = append(rd.parsers, p)
	}
	return rd, nil
}

// run reads to the end. next is given the unread part of the buffer, consumes one row
// and says how many bytes it was; on errMore it is asked again with more of the file.
func (rd *rowReader) run(yield func(arrow.RecordBatch, error) bool, next func(*rowReader, []byte) (int, error)) {
	defer rd.builder.Release()
	buf := make([]byte, 0, chunkBytes)
	at, ended := 0, false
	for at < len(buf) || !ended {
		used, err := next(rd, buf[at:])
		if errors.Is(err, errMore) && !ended {
			if buf, err = rd.fill(buf, at); errors.Is(err, io.EOF) {
				ended, err = true, nil
			}
			at = 0
			if err == nil {
				continue
			}
		}
		if err != nil {
			yield(nil, fmt.Errorf("row %d: %w", rd.line, err))
			return
		}
		at += used
		rd.line++
		if rd.row && rd.builder.Full() && !rd.emit(yield) {
			return
		}
	}
	if rd.builder.Rows() > 0 {
		rd.emit(yield)
	}
}

// fill moves the unread part to the front and reads more behind it.
func (rd *rowReader) fill(buf []byte, at int) ([]byte, error) {
	n := copy(buf, buf[at:])
	buf = buf[:n]
	if n > cap(buf)/2 { // one row needs more than half: double
		buf = append(make([]byte, 0, 2*cap(buf)), buf...)
	}
	for {
		got, err := rd.r.Read(buf[n:cap(buf)])
		buf = buf[:n+got]
		if got > 0 || err != nil {
			if got > 0 && errors.Is(err, io.EOF) {
				err = nil // said again by the next read
			}
			return buf, err
		}
	}
}

func (rd *rowReader) emit(yield func(arrow.RecordBatch, error) bool) bool {
	rec, err := rd.builder.Batch()
	if err != nil {
		yield(nil, err)
		return false
	}
	defer rec.Release()
	return yield(rec, nil)
}
