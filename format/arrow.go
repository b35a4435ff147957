package format

import (
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/kitamae/kitamae/batch"
)

// Compression is what Arrow IPC compresses its buffers with.
type Compression string

// The compressions of Arrow IPC.
const (
	Uncompressed Compression = "none"
	LZ4          Compression = "lz4"
	Zstd         Compression = "zstd"
)

// WriteArrow writes an Arrow IPC file, also known as Feather version 2. It returns how
// many rows it wrote; a stream without batches leaves a file with a schema.
func WriteArrow(w io.Writer, schema *arrow.Schema, rows batch.Stream, c Compression) (n int64, err error) {
	opts := []ipc.Option{ipc.WithSchema(schema)}
	switch c {
	case LZ4:
		opts = append(opts, ipc.WithLZ4())
	case Zstd:
		opts = append(opts, ipc.WithZstd())
	case Uncompressed:
	default:
		return 0, fmt.Errorf("no compression %q in Arrow IPC", c)
	}
	f, err := ipc.NewFileWriter(w, opts...)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for rec, err := range rows {
		if err != nil {
			return n, err
		}
		same := withSchema(schema, rec)
		err = f.Write(same)
		same.Release()
		if err != nil {
			return n, err
		}
		n += rec.NumRows()
	}
	return n, nil
}

// fileMagic starts an Arrow IPC file; what follows it, up to the footer, is an Arrow
// stream, so that a file can be read without seeking.
const fileMagic = "ARROW1\x00\x00"

// ReadArrow reads an Arrow IPC file from its beginning. Its column types must be schema's;
// metadata and nullability come from schema.
func ReadArrow(r io.Reader, schema *arrow.Schema) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		magic := make([]byte, len(fileMagic))
		if _, err := io.ReadFull(r, magic); err != nil || string(magic) != fileMagic {
			yield(nil, errors.Join(errors.New("not an Arrow IPC file"), err))
			return
		}
		rd, err := ipc.NewReader(r)
		if err != nil {
			yield(nil, err)
			return
		}
		defer rd.Release()
		if err := sameColumns(schema, rd.Schema()); err != nil {
			yield(nil, err)
			return
		}
		for rd.Next() {
			rec := withSchema(schema, rd.RecordBatch())
			more := yield(rec, nil)
			rec.Release()
			if !more {
				return
			}
		}
		if err := rd.Err(); err != nil && !errors.Is(err, io.EOF) {
			yield(nil, err)
		}
	}
}

func sameColumns(want, got *arrow.Schema) error {
	if want.NumFields() != got.NumFields() {
		return fmt.Errorf("the file has %d columns, %d were expected", got.NumFields(), want.NumFields())
	}
	for i, f := range want.Fields() {
		if g := got.Field(i); g.Name != f.Name || !arrow.TypeEqual(g.Type, f.Type) {
			return fmt.Errorf("the file has column %s %s where %s %s was expected", g.Name, g.Type, f.Name, f.Type)
		}
	}
	return nil
}

// withSchema is rec under another schema of the same types. The caller releases it.
func withSchema(schema *arrow.Schema, rec arrow.RecordBatch) arrow.RecordBatch {
	return array.NewRecordBatch(schema, rec.Columns(), rec.NumRows())
}
