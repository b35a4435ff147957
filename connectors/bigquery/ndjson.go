package bigquery

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	bq "cloud.google.com/go/bigquery"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/codec"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/format"
)

// Load jobs take JSON, GEOGRAPHY and decimals of more than 38 digits from text only. A table with such columns stays in Parquet files until it is verified, and
// becomes zipped NDJSON right before its load, which is then compared with them (see [dest.compareText]).

// byText says whether a table has columns that Parquet files can't bring.
func byText(plan connector.TablePlan) bool {
	return slices.ContainsFunc(plan.Columns, func(c connector.ColumnPlan) bool {
		t := apiType(c.Native)
		return t == bq.JSONFieldType || t == bq.GeographyFieldType || t == bq.BigNumericFieldType && c.Type.ID() == arrow.STRING
	})
}

// A zipped file can't be read in parts and may have 4 GB at most, so that in the bucket a table is several.
const (
	partBytes   = 256 << 20
	mostZipped  = 4_000_000_000
	ndjsonExt   = ".json.gz"
	writeBuffer = 1 << 20
)

// ndjson writes the spooled rows as NDJSON files of about most bytes, 0 for one file of any size.
func (d *dest) ndjson(ctx context.Context, st *stage, plan connector.TablePlan, shards []shard, most int64) ([]shard, error) {
	schema := st.Plan.Schema()
	w := &ndjsonFiles{name: filepath.Join(st.Dir, "rows-"+safe(digestOf(shards))), schema: schema, own: func(k int, arr arrow.Array) func([]byte, int) []byte { return d.text(plan.Columns[k], arr) }}
	defer w.discard()
	var broken error
	for rec, err := range watched(ctx, st.Plan, d.readShards(ctx, schema, shards, nil), &broken) {
		if err == nil {
			err = w.add(rec, most)
		}
		if err != nil {
			return nil, spoolFault(err)
		}
	}
	if err := w.end(); err != nil {
		return nil, spoolFault(err)
	}
	if most == 0 && w.files[0].Bytes > mostZipped {
		return nil, fault.New(fault.Config, "bigquery.too_large", "set destination.bigquery.bucket, so that the table can be loaded as several files",
			"table %s is %d bytes of zipped NDJSON, and a load job takes 4 GB in one file", plan.Name, w.files[0].Bytes)
	}
	return w.files, nil
}

// ndjsonFiles writes batches into one file after the other.
type ndjsonFiles struct {
	name   string // of all files, without number
	schema *arrow.Schema
	own    func(k int, arr arrow.Array) func(dst []byte, i int) []byte
	files  []shard

	file *os.File
	buf  *bufio.Writer
	zip  io.WriteCloser
	rows int64
}

func (w *ndjsonFiles) path() string {
	return fmt.Sprintf("%s-%05d%s", w.name, len(w.files), ndjsonExt)
}

func (w *ndjsonFiles) open() (err error) {
	if w.file, err = os.Create(w.path()); err != nil {
		return err
	}
	w.buf = bufio.NewWriterSize(w.file, writeBuffer)
	w.zip, err = codec.Gzip.Writer(w.buf)
	return err
}

func (w *ndjsonFiles) add(rec arrow.RecordBatch, most int64) error {
	if w.file == nil {
		if err := w.open(); err != nil {
			return err
		}
	}
	n, err := format.WriteNDJSONAs(w.zip, w.schema, batch.Of(rec), w.own)
	w.rows += n
	if err != nil || most == 0 {
		return err
	}
	if at, err := w.file.Seek(0, io.SeekCurrent); err != nil || at < most {
		return err
	}
	return w.close()
}

// close ends the file being written and sums it up.
func (w *ndjsonFiles) close() error {
	err := w.zip.Close()
	if err == nil {
		err = w.buf.Flush()
	}
	if err == nil {
		err = w.file.Close()
	}
	if err != nil {
		return err
	}
	w.file = nil
	s, err := measure(w.path(), w.path())
	s.Rows, w.rows = w.rows, 0
	w.files = append(w.files, s)
	return err
}

// end leaves at least one file, also for a table without rows.
func (w *ndjsonFiles) end() error {
	if w.file == nil && len(w.files) == 0 {
		if err := w.open(); err != nil {
			return err
		}
	}
	if w.file == nil {
		return nil
	}
	return w.close()
}

func (w *ndjsonFiles) discard() {
	if w.file != nil { // after an error only
		_ = w.file.Close()
	}
}

// asBigQuery is how load jobs want a column's values where that is other than NDJSON's plain form; nil where it is not.
func asBigQuery(c connector.ColumnPlan, arr arrow.Array) func(dst []byte, i int) []byte {
	switch a := arr.(type) {
	case *array.Int64: // numbers beyond 2^53 are safe as text only
		return func(dst []byte, i int) []byte {
			return append(strconv.AppendInt(append(dst, '"'), a.Value(i), 10), '"')
		}
	case *array.String:
		if apiType(c.Native) == bq.JSONFieldType {
			return func(dst []byte, i int) []byte { return appendLine(dst, a.Value(i)) }
		}
	case *array.Binary:
		if apiType(c.Native) == bq.GeographyFieldType {
			return func(dst []byte, i int) []byte {
				dst, _ = appendWKT(append(dst, '"'), a.Value(i)) // seen to fit when it was spooled
				return append(dst, '"')
			}
		}
	}
	return nil
}

// appendLine appends JSON text without line feeds: in JSON they are white space only.
func appendLine(dst []byte, text string) []byte {
	from := len(dst)
	dst = append(dst, text...)
	for i := from; i < len(dst); i++ {
		if dst[i] == '\n' || dst[i] == '\r' {
			dst[i] = ' '
		}
	}
	return dst
}
