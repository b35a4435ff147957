package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/duck"
)

// The CPU targets were set on another machine, where DuckDB's part of the work, with DuckDB's own settings and
// none of kitamae's code around it, and the floors were measured too (µs a row). Measured again in each run of bench,
// they say how much slower this machine is at the moment, and so how much of a miss is the machine's.
var setOn = map[string]float64{"mysql": 0.33, "postgres": 0.42, "parquet": 0.67, "duckdb": 1.07}

// scale is what a route's CPU target is multiplied with to be as hard here as where it was set.
func scale(r route, measured map[string]float64) float64 {
	return (measured[r.server.Name] + measured[r.to]) / (setOn[r.server.Kind] + setOn[r.to])
}

// referenceStatement is what each reference piece has DuckDB do with the rows of a view.
func referenceStatement(to, dir, view string) string {
	if to == "parquet" {
		return fmt.Sprintf("COPY (SELECT * FROM %s) TO %s (FORMAT parquet, COMPRESSION zstd)", view, duck.Literal(filepath.Join(dir, "l.parquet")))
	}
	return "CREATE TABLE l.lineitem AS SELECT * FROM " + view
}

// reference measures one piece in a process of its own: CPU µs a row.
func reference(ctx context.Context, to string, rows int64) (float64, error) {
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, program, "reference", to, strconv.FormatInt(rows, 10))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("reference %s: %w", to, err)
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}

// referenceRows is how many rows are made; they go by as often as it takes.
const referenceRows = 8 * batch.MaxRows

// runReference is the child: it prints the CPU µs a row, without the making of the rows.
func runReference(ctx context.Context, to string, rows int64) error {
	dir, err := os.MkdirTemp("", "kitamae-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	recs, err := lineitemBatches()
	if err != nil {
		return err
	}
	db, err := duck.Open(ctx, duck.Options{Path: filepath.Join(dir, "l.duckdb"), Name: "l", MemoryBytes: 200 << 20, TempDir: dir})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	before := cpuTime()
	n, err := db.Load(ctx, recs[0].Schema(), func(yield func(arrow.RecordBatch, error) bool) {
		for sent, i := int64(0), 0; sent < rows; i++ {
			rec := recs[i%len(recs)]
			if !yield(rec, nil) {
				return
			}
			sent += rec.NumRows()
		}
	}, func(view string) string { return referenceStatement(to, dir, view) })
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil { // a table is not written before
		return err
	}
	fmt.Printf("%.4f\n", (cpuTime()-before).Seconds()*1e6/float64(n))
	return nil
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // does not fail for oneself
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// lineitemBatches are the first referenceRows rows as record batches.
func lineitemBatches() ([]arrow.RecordBatch, error) {
	money := &arrow.Decimal128Type{Precision: 15, Scale: 2}
	number, date, text := arrow.PrimitiveTypes.Int32, arrow.FixedWidthTypes.Date32, arrow.BinaryTypes.String
	var fields []arrow.Field
	for i, t := range []arrow.DataType{
		arrow.PrimitiveTypes.Int64, number, number, number, money, money, money, money,
		text, text, date, date, date, text, text, text,
	} {
		fields = append(fields, arrow.Field{Name: fmt.Sprintf("l_%d", i), Type: t})
	}
	schema := arrow.NewSchema(fields, nil)
	b, err := batch.NewBuilder(schema, &batch.Pool{}, 8<<20)
	if err != nil {
		return nil, err
	}
	defer b.Release()
	var tsv bytes.Buffer
	if _, err := newLineitem(referenceRows).WriteTo(&tsv); err != nil {
		return nil, err
	}
	var recs []arrow.RecordBatch
	for row := range bytes.Lines(tsv.Bytes()) {
		for i, v := range bytes.Split(bytes.TrimSuffix(row, []byte("\n")), []byte("\t")) {
			if err := appendField(b.Columns[i], fields[i].Type, v); err != nil {
				return nil, err
			}
		}
		if b.Full() {
			rec, err := b.Batch()
			if err != nil {
				return nil, err
			}
			recs = append(recs, rec)
		}
	}
	return recs, nil
}

func appendField(c *batch.Column, t arrow.DataType, v []byte) error {
	switch t.ID() {
	case arrow.STRING:
		c.Value(v)
		return nil
	case arrow.DATE32:
		day, err := time.Parse(time.DateOnly, string(v))
		c.Uint32(uint32(day.Unix() / 86400))
		return err
	}
	n, err := strconv.ParseInt(strings.Replace(string(v), ".", "", 1), 10, 64)
	switch t.ID() {
	case arrow.INT64:
		c.Uint64(uint64(n))
	case arrow.DECIMAL128:
		c.Decimal128(0, uint64(n))
	default:
		c.Uint32(uint32(n))
	}
	return err
}
