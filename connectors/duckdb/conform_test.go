package duckdb_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	duckdriver "github.com/duckdb/duckdb-go/v2"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connector/conform"
	"github.com/kitamae/kitamae/connectors/duckdb"
)

func TestConform(t *testing.T) {
	conform.Run(t, conform.Suite{Connector: duckdb.Connector, Config: freshFile})
}

// freshFile is a path where no file is yet, read through the driver alone.
func freshFile(t *testing.T) conform.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kura.duckdb")
	return conform.Config{
		Spec: &duckdb.Spec{Path: path},
		Env:  connector.Env{Dir: filepath.Dir(path), MemoryBytes: 256 << 20, Version: "test"},
		Published: func(t *testing.T, table string) (batch.Stream, bool) {
			if found, err := filepath.Glob(path); err != nil || len(found) == 0 {
				return nil, false
			}
			quoted := strings.ReplaceAll(table, `'`, `''`)
			exists := false
			for rec, err := range query(t, path, fmt.Sprintf(`select 1 from duckdb_tables() where schema_name = 'main' and table_name = '%s'`, quoted)) {
				if err != nil {
					t.Fatal(err)
				}
				exists = exists || rec.NumRows() > 0
			}
			if !exists {
				return nil, false
			}
			return query(t, path, `select * from "`+strings.ReplaceAll(table, `"`, `""`)+`"`), true
		},
	}
}

// query reads an answer through the stock driver, in a database instance of its own.
func query(t *testing.T, path, sql string) batch.Stream {
	t.Helper()
	db, err := duckdriver.NewConnector(path+"?access_mode=READ_ONLY", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // not later: the driver would go on reading the file that was replaced
	conn, err := db.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	reader, err := duckdriver.NewArrowFromConn(conn)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := reader.QueryContext(t.Context(), sql)
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
