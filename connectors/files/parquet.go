package files

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/kitamae/kitamae/batch"
)

// writeParquet writes rows with DuckDB's COPY into a file beside key, which then takes its name, or is uploaded under it.
func (d *dest) writeParquet(ctx context.Context, s *store, st *stage, key string, rows batch.Stream) (file, error) {
	db, err := d.engine(ctx)
	if err != nil {
		return file{}, err
	}
	mark := strconv.FormatInt(time.Now().UnixNano(), 16) + ".tmp"
	tmp := s.path(key) + "." + mark
	if s.far != nil { // DuckDB writes files: this one lives until it is uploaded
		tmp = filepath.Join(os.TempDir(), "kitamae-"+rand.Text()+"."+mark)
	}
	if err := os.MkdirAll(filepath.Dir(tmp), 0o777); err != nil {
		return file{}, classify(d.spec.Dir, fmt.Errorf("write %s: %w", key, err))
	}
	defer os.Remove(tmp) // where it was not renamed
	var failed error
	memory := int64(0)
	if d.memory > 0 {
		memory = d.duckBytes()
	}
	n, err := db.WriteParquet(ctx, tmp, st.Compression, st.Plan.Schema(), taken(rows, &failed), memory)
	if failed != nil {
		return file{}, failed
	}
	if err != nil {
		return file{}, classify(d.spec.Dir, fmt.Errorf("write %s: %w", key, err))
	}
	bytes, sum, err := s.adopt(ctx, tmp, key)
	if err != nil {
		return file{}, classify(d.spec.Dir, fmt.Errorf("write %s: %w", key, err))
	}
	return file{Path: key, Rows: n, Bytes: bytes, XXH3: sum}, nil
}
