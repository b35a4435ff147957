package duck

import (
	"context"
	"fmt"
	"runtime"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
)

// Row groups end at a number of rows or of bytes, whichever comes first. Each thread of each
// file being written collects one, uncompressed, so bytes are an eighth of DuckDB's share.
const (
	rowGroupRows     = 122_880
	rowGroupShare    = 8
	minRowGroupBytes = 8 << 20
	maxRowGroupBytes = 64 << 20
)

// WriteParquet writes rows into a new Parquet file at path and returns how many there were. compression is zstd, snappy or
// none; memoryBytes is the engine's share, 0 where it has no limit.
func (db *DB) WriteParquet(ctx context.Context, path, compression string, schema *arrow.Schema, rows batch.Stream, memoryBytes int64) (int64, error) {
	if compression == "none" {
		compression = "uncompressed"
	}
	bytes := int64(maxRowGroupBytes)
	if memoryBytes > 0 {
		bytes = min(max(memoryBytes/rowGroupShare/int64(runtime.GOMAXPROCS(0)), minRowGroupBytes), maxRowGroupBytes)
	}
	return db.Load(ctx, schema, rows, func(view string) string {
		return fmt.Sprintf("COPY (SELECT * FROM %s) TO %s (FORMAT parquet, COMPRESSION %s, ROW_GROUP_SIZE %d, ROW_GROUP_SIZE_BYTES %d)",
			view, Literal(path), compression, rowGroupRows, bytes)
	})
}
