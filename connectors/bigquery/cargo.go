package bigquery

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	bq "cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// directBytes is up to how much of a table is uploaded with its load job. What is larger waits in the bucket, if there is one: one job
// loads any number of objects there, and an upload that breaks off for good costs one file and not the whole table.
const directBytes = 64 << 20

// cargo is one table's rows as files, on this disk or in the bucket, for one load job to take.
type cargo struct {
	rows   int64
	bytes  int64
	digest string // of the content: a part of the job's ID
	format bq.DataFormat
	files  []shard
	uris   []string // of the same files in the bucket; none where the only file is uploaded with the job
}

// pack makes the spooled rows of a table ready to be loaded as plan, which [settle] has seen.
func (d *dest) pack(ctx context.Context, st *stage, plan connector.TablePlan, shards []shard) (*cargo, error) {
	files := slices.Clone(shards)
	// the same content has the same name, whatever the order in which receipts came
	slices.SortFunc(files, func(a, b shard) int { return strings.Compare(a.Path, b.Path) })
	c := &cargo{format: bq.Parquet, files: files}
	there := len(files) > 0 && !byText(plan) && !slices.ContainsFunc(files, func(f shard) bool { return f.Object == "" })
	staged := d.spec.Bucket != "" && (there || size(files) > d.direct)
	var err error
	switch {
	case byText(plan):
		c.format = bq.JSON
		most := int64(0)
		if staged {
			most = partBytes
		}
		if c.files, err = d.ndjson(ctx, st, plan, files, most); err == nil {
			err = d.compareText(ctx, st, plan, files, c.files)
		}
	case !staged && len(files) != 1:
		c.files = make([]shard, 1)
		c.files[0], err = d.oneFile(ctx, st, files)
	}
	if err != nil {
		return nil, err
	}
	c.rows = rowsOf(c.files)
	if want := rowsOf(files); c.rows != want {
		return nil, fault.New(fault.Verification, "bigquery.packed", "the table is as it was; run again, and if it stays, report it with the run's ID",
			"table %s: %d of %d verified rows were made ready for its load", plan.Name, c.rows, want)
	}
	c.bytes, c.digest = size(c.files), digestOf(c.files)
	if !staged {
		return c, nil
	}
	return c, d.upload(ctx, st, c)
}

func size(files []shard) (n int64) {
	for _, f := range files {
		n += f.Bytes
	}
	return n
}

func rowsOf(files []shard) (n int64) {
	for _, f := range files {
		n += f.Rows
	}
	return n
}

func digestOf(files []shard) string {
	var all []string
	for _, f := range files {
		all = append(all, f.XXH3)
	}
	return strings.Join(all, "+")
}

// source is how a load job reads the cargo, anew for each try.
func (d *dest) source(c *cargo, fields bq.Schema) func() (bq.LoadSource, io.Closer, error) {
	if len(c.uris) > 0 {
		return func() (bq.LoadSource, io.Closer, error) {
			s := bq.NewGCSReference(c.uris...)
			s.SourceFormat, s.Schema = c.format, fields
			return s, io.NopCloser(nil), nil
		}
	}
	return func() (bq.LoadSource, io.Closer, error) {
		f, err := os.Open(c.files[0].Path)
		if err != nil {
			return nil, nil, spoolFault(err)
		}
		s := bq.NewReaderSource(f)
		s.SourceFormat, s.Schema = c.format, fields
		return s, f, nil
	}
}

// mediaOptions bound what one upload holds in memory: a chunk is kept until it has arrived, so that the library can send it again.
func (d *dest) mediaOptions() []googleapi.MediaOption {
	return []googleapi.MediaOption{googleapi.ChunkSize(d.chunkBytes())}
}

// Chunks of an upload. Google asks for multiples of 256 KiB, and for 8 MiB where speed matters.
const (
	leastChunk = 256 << 10
	mostChunk  = 8 << 20
)

// chunkBytes lets all uploads of a moment together have a quarter of the destination's memory.
func (d *dest) chunkBytes() int {
	if d.env.MemoryBytes == 0 {
		return mostChunk
	}
	return int(min(max(d.env.MemoryBytes/4/atOnce/leastChunk*leastChunk, leastChunk), mostChunk))
}

// oneFile is a table's rows as one file, so that one job loads them: the only shard, or all of them
// merged, or an empty one for a table without rows.
func (d *dest) oneFile(ctx context.Context, st *stage, shards []shard) (shard, error) {
	return d.fileOf(ctx, st, "all", d.readShards(ctx, st.Plan.Schema(), shards, nil))
}

// fileOf writes staged rows into one more file of the stage.
func (d *dest) fileOf(ctx context.Context, st *stage, name string, rows batch.Stream) (shard, error) {
	db, err := d.engine(ctx)
	if err != nil {
		return shard{}, err
	}
	path := filepath.Join(st.Dir, name+".parquet")
	var broken error
	n, err := db.WriteParquet(ctx, path+".tmp", "zstd", st.Plan.Schema(), watched(ctx, st.Plan, rows, &broken), d.duckBytes())
	if err = errors.Join(broken, err); err != nil {
		return shard{}, spoolFault(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return shard{}, spoolFault(err)
	}
	file, err := measure(path, path)
	file.Rows = n
	return file, spoolFault(err)
}
