package bigquery

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"math/big"
	"os"
	"strconv"
	"time"

	bq "cloud.google.com/go/bigquery"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/kitamae/kitamae/codec"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// A table that is loaded as text is verified as text, too: its files are read by the standard library's JSON reader, a row at a time, and each
// value is parsed by code that shares nothing with what wrote it, and compared with that of the files that were verified.

// compareText compares NDJSON files with the spooled rows they were made of, in the same order.
func (d *dest) compareText(ctx context.Context, st *stage, plan connector.TablePlan, shards, files []shard) error {
	next, stop := iter.Pull2(textRows(files))
	defer stop()
	row := 0
	for rec, err := range d.readShards(ctx, st.Plan.Schema(), shards, nil) {
		if err != nil {
			return err
		}
		same := make([]func(raw []byte, i int) bool, rec.NumCols())
		for k, col := range rec.Columns() {
			same[k] = sameAs(plan.Columns[k], col)
		}
		for i := range int(rec.NumRows()) {
			line, err, _ := next()
			if err != nil {
				return textFault(plan, row, err.Error())
			}
			if len(line) != len(same) {
				return textFault(plan, row, fmt.Sprintf("%d columns of %d", len(line), len(same)))
			}
			for k, c := range st.Plan.Columns {
				raw, null := line[c.Name], rec.Column(k).IsNull(i)
				if string(raw) == "null" != null || !null && !same[k](raw, i) {
					return textFault(plan, row, "another value in column "+c.Name)
				}
			}
			row++
		}
	}
	if line, err, _ := next(); line != nil || err != nil {
		return textFault(plan, row, "no end there")
	}
	return nil
}

func textFault(plan connector.TablePlan, row int, what string) error {
	return fault.New(fault.Verification, "bigquery.text", "the table is as it was; run again, and if it stays, report it with the run's ID",
		"table %s: the NDJSON for its load is other than the rows that were verified: row %d has %s", plan.Name, row+1, what)
}

// textRows yields the rows of NDJSON files. A row is valid until the next one is pulled.
func textRows(files []shard) iter.Seq2[map[string]json.RawMessage, error] {
	return func(yield func(map[string]json.RawMessage, error) bool) {
		for _, f := range files {
			more, err := fileRows(f.Path, yield)
			if err != nil {
				yield(nil, err)
			}
			if !more {
				return
			}
		}
	}
}

// fileRows yields the rows of one file. more says that all were wanted.
func fileRows(path string, yield func(map[string]json.RawMessage, error) bool) (more bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	zip, err := codec.Gzip.Reader(file)
	if err != nil {
		return false, err
	}
	defer zip.Close()
	line := map[string]json.RawMessage{}
	for lines := json.NewDecoder(zip); ; {
		clear(line)
		err := lines.Decode(&line)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil || !yield(line, nil) {
			return false, err
		}
	}
}

// sameAs says of a column how a JSON value that is not null is seen to be value i.
func sameAs(c connector.ColumnPlan, arr arrow.Array) func(raw []byte, i int) bool {
	switch a := arr.(type) {
	case *array.Boolean:
		return func(raw []byte, i int) bool { return string(raw) == strconv.FormatBool(a.Value(i)) }
	case *array.Float64:
		return func(raw []byte, i int) bool {
			v, err := strconv.ParseFloat(bare(raw), 64)
			return err == nil && (math.Float64bits(v) == math.Float64bits(a.Value(i)) || v != v && a.Value(i) != a.Value(i))
		}
	case *array.Decimal128:
		scale := a.DataType().(*arrow.Decimal128Type).Scale
		unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
		return func(raw []byte, i int) bool {
			v, ok := new(big.Rat).SetString(bare(raw))
			return ok && v.Cmp(new(big.Rat).SetFrac(a.Value(i).BigInt(), unit)) == 0
		}
	case *array.String:
		if apiType(c.Native) == bq.JSONFieldType {
			return func(raw []byte, i int) bool { return sameJSON(raw, []byte(a.Value(i))) }
		}
		return func(raw []byte, i int) bool {
			var v string
			return json.Unmarshal(raw, &v) == nil && v == a.Value(i)
		}
	case *array.Binary:
		if apiType(c.Native) == bq.GeographyFieldType {
			return func(raw []byte, i int) bool { return samePoints(bare(raw), a.Value(i)) }
		}
		return func(raw []byte, i int) bool {
			v, err := base64.StdEncoding.DecodeString(bare(raw))
			return err == nil && bytes.Equal(v, a.Value(i))
		}
	case *array.Date32:
		return parsedTime("2006-01-02", func(t time.Time, i int) bool { return t.Unix() == int64(a.Value(i))*86400 })
	case *array.Time64:
		nanos := int64(a.DataType().(*arrow.Time64Type).Unit.Multiplier())
		midnight := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
		return parsedTime("15:04:05", func(t time.Time, i int) bool { return int64(t.Sub(midnight)) == int64(a.Value(i))*nanos })
	case *array.Timestamp:
		typ, layout := a.DataType().(*arrow.TimestampType), "2006-01-02T15:04:05"
		if typ.TimeZone != "" {
			layout += "Z07:00"
		}
		return parsedTime(layout, func(t time.Time, i int) bool { return t.Equal(a.Value(i).ToTime(typ.Unit)) })
	}
	return func(raw []byte, i int) bool { return bare(raw) == arr.ValueStr(i) } // integers
}

// parsedTime is how a date or a time is compared once it is parsed.
func parsedTime(layout string, same func(t time.Time, i int) bool) func(raw []byte, i int) bool {
	return func(raw []byte, i int) bool {
		t, err := time.Parse(layout, bare(raw))
		return err == nil && same(t, i)
	}
}

// bare is a JSON value's text without quotes, where nothing in it is escaped.
func bare(raw []byte) string {
	if n := len(raw); n >= 2 && raw[0] == '"' && raw[n-1] == '"' {
		raw = raw[1 : n-1]
	}
	return string(raw)
}

// sameJSON says whether two JSON texts differ in white space at most.
func sameJSON(a, b []byte) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}
