package files_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	duckdriver "github.com/duckdb/duckdb-go/v2"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/codec"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connector/conform"
	"github.com/kitamae/kitamae/connectors/files"
	"github.com/kitamae/kitamae/format"
)

func TestConform(t *testing.T) {
	for _, kind := range []string{"parquet", "csv", "ndjson", "arrow"} {
		t.Run(kind, func(t *testing.T) {
			conform.Run(t, conform.Suite{Connector: files.Connector, Config: func(t *testing.T) conform.Config {
				return freshFolder(t, kind)
			}})
		})
	}
}

// published is what a reader needs of the manifest.
type published struct {
	Tables []struct {
		Name    string
		Columns []connector.ColumnPlan
		Files   []struct{ Path string }
	}
}

// freshFolder is a folder that does not exist yet, read by its manifest: Parquet by DuckDB, Arrow by
// Arrow's own reader, text by format.
func freshFolder(t *testing.T, kind string) conform.Config {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	return conform.Config{
		Spec: &files.Spec{Dir: dir, Format: kind},
		Env:  connector.Env{Dir: dir, MemoryBytes: 256 << 20, Version: "test"},
		Published: func(t *testing.T, table string) (batch.Stream, bool) {
			text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
			if errors.Is(err, fs.ErrNotExist) {
				return nil, false
			}
			var m published
			if err == nil {
				err = json.Unmarshal(text, &m)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, tb := range m.Tables {
				if tb.Name != table {
					continue
				}
				plan := connector.TablePlan{Columns: tb.Columns}
				var paths []string
				for _, f := range tb.Files {
					paths = append(paths, filepath.Join(dir, filepath.FromSlash(f.Path)))
				}
				return readFiles(t, kind, plan.Schema(), paths), true
			}
			return nil, false
		},
	}
}

// readFiles reads all files of a table, one after the other.
func readFiles(t *testing.T, kind string, schema *arrow.Schema, paths []string) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for _, path := range paths {
			f, err := os.Open(path)
			if err != nil {
				yield(nil, err)
				return
			}
			for rec, err := range readFile(t, kind, schema, f) {
				if !yield(rec, err) || err != nil {
					_ = f.Close()
					return
				}
			}
			if err := f.Close(); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

func readFile(t *testing.T, kind string, schema *arrow.Schema, f *os.File) batch.Stream {
	t.Helper()
	switch kind {
	case "parquet":
		return readParquet(t, f.Name())
	case "arrow":
		return readArrow(f)
	}
	r, err := codec.Codec("").Reader(f)
	if err != nil {
		return batch.Fail(err)
	}
	if kind == "csv" {
		return format.ReadCSV(r, schema, &batch.Pool{}, 1<<20)
	}
	return format.ReadNDJSON(r, schema, &batch.Pool{}, 1<<20)
}

func readArrow(f *os.File) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		r, err := ipc.NewFileReader(f)
		if err != nil {
			yield(nil, fmt.Errorf("read %s: %w", f.Name(), err))
			return
		}
		defer func() { _ = r.Close() }()
		for i := range r.NumRecords() {
			rec, err := r.RecordBatch(i)
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

// readParquet reads a file through the stock driver.
func readParquet(t *testing.T, path string) batch.Stream {
	t.Helper()
	db, err := duckdriver.NewConnector("", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	conn, err := db.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	reader, err := duckdriver.NewArrowFromConn(conn)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := reader.QueryContext(t.Context(), fmt.Sprintf(`select * from read_parquet('%s', hive_partitioning = false)`, strings.ReplaceAll(path, `'`, `''`)))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Release()
	var recs []arrow.RecordBatch
	for answer.Next() {
		rec := answer.RecordBatch()
		rec.Retain()
		t.Cleanup(rec.Release)
		recs = append(recs, rec)
	}
	if err := answer.Err(); err != nil {
		t.Fatal(err)
	}
	return batch.Of(recs...)
}
