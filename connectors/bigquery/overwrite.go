package bigquery

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	bq "cloud.google.com/go/bigquery"
	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sync/errgroup"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/duck"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/format"
)

// mostOverwritten is how many partitions one run overwrites: each takes a job, and BigQuery changes a table 1,500 times a day.
const mostOverwritten = 366

// overwrite puts the rows in place of the partitions they fall in, by one free job for each. A partition changes at once; all of them do
// within a short while, not together. Done again, it comes to the same.
func (d *dest) overwrite(ctx context.Context, p *publication) error {
	plan := p.table.Plan
	if p.live == nil {
		c, err := d.pick(ctx, p)
		if err != nil {
			return err
		}
		return d.first(ctx, p, c)
	}
	for number, why := range map[int64]string{nullPartition: "is null", outsidePartition: "is before 1960 or after 2159"} {
		if n := p.parts[number]; n > 0 {
			return fault.New(fault.Config, "bigquery.overwrite_value", "leave these rows out, as in where: \""+plan.Layout.Partition+" is not null\", or publish the table with mode: replace",
				"table %s: in %d rows %s %s: they have no partition that could be overwritten", plan.Name, n, plan.Layout.Partition, why)
		}
	}
	if len(p.parts) > mostOverwritten {
		return fault.New(fault.Config, "bigquery.overwrite_partitions", "take fewer with where, or publish the table with mode: replace, which is one job",
			"table %s: the rows fall in %d partitions; a run overwrites %d at most", plan.Name, len(p.parts), mostOverwritten)
	}
	live, err := d.fit(ctx, p)
	if err != nil {
		return err
	}
	files, err := d.split(ctx, p)
	if err != nil {
		return err
	}
	fields := fieldsOf(plan, live)
	var mu sync.Mutex
	done := 0
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, number := range slices.Sorted(maps.Keys(files)) {
		g.Go(func() error {
			into := plan.Name + "$" + partitionID(number, plan.Layout.Unit)
			c, err := d.pick(ctx, p, files[number])
			if err == nil {
				err = d.load(ctx, p, into, c, fields, func(l *bq.LoadConfig) { l.WriteDisposition = bq.WriteTruncate })
			}
			if err == nil {
				mu.Lock()
				done++
				mu.Unlock()
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("%d of %d partitions are new, the others as they were: %w", done, len(files), err)
	}
	return nil
}

// split makes one file for each partition that the rows fall in.
func (d *dest) split(ctx context.Context, p *publication) (map[int64]shard, error) {
	files := map[int64]shard{}
	if len(p.parts) == 1 && len(p.shards) == 1 {
		for number := range p.parts {
			files[number] = p.shards[0]
		}
		return files, nil
	}
	plan := p.stage.Plan
	at := column(&plan, plan.Layout.Partition)
	db, err := d.engine(ctx)
	if err != nil {
		return nil, err
	}
	schema, sorted := plan.Schema(), filepath.Join(p.stage.Dir, "sorted.parquet")
	_, err = db.Load(ctx, schema, d.readShards(ctx, schema, p.shards, nil), func(view string) string {
		return fmt.Sprintf("COPY (SELECT * FROM %s ORDER BY %s) TO %s (FORMAT parquet, COMPRESSION zstd)", view, duck.Ident(schema.Field(at).Name), duck.Literal(sorted))
	})
	if err != nil {
		return nil, spoolFault(err)
	}
	next, stop := iter.Pull2(format.ReadParquet(ctx, sorted, schema, nil, d.pool, readBatchBytes))
	defer stop()
	c := &cutter{next: next, column: at, unit: plan.Layout.Unit}
	for {
		number, more, err := c.number()
		if err != nil || !more {
			return files, spoolFault(err)
		}
		file, err := d.fileOf(ctx, p.stage, "partition-"+partitionID(number, plan.Layout.Unit), c.partition(number))
		if err != nil {
			return nil, err
		}
		if _, twice := files[number]; twice || file.Rows != p.parts[number] {
			return nil, fault.New(fault.Internal, "bigquery.split", "", "table %s: %d rows of partition %s, want %d", plan.Name, file.Rows, partitionID(number, plan.Layout.Unit), p.parts[number])
		}
		files[number] = file
	}
}

// cutter cuts rows that are sorted by a column into its partitions.
type cutter struct {
	next   func() (arrow.RecordBatch, error, bool)
	column int
	unit   string

	rec  arrow.RecordBatch // borrowed until the next one is pulled
	row  int               // the first that is not cut off
	part func(i int) int64
}

// number is the partition of the first row left; false for none.
func (c *cutter) number() (number int64, more bool, err error) {
	for c.rec == nil || c.row == int(c.rec.NumRows()) {
		rec, err, ok := c.next()
		if err != nil || !ok {
			return 0, false, err
		}
		if c.part, err = numberer(rec.Column(c.column), c.unit); err != nil {
			return 0, false, err
		}
		c.rec, c.row = rec, 0
	}
	return c.part(c.row), true, nil
}

// partition yields the rows left of one partition.
func (c *cutter) partition(number int64) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for {
			n, more, err := c.number()
			if err != nil {
				yield(nil, err)
				return
			}
			if !more || n != number {
				return
			}
			to := c.row + 1
			for to < int(c.rec.NumRows()) && c.part(to) == number {
				to++
			}
			piece := c.rec.NewSlice(int64(c.row), int64(to))
			c.row = to
			on := yield(piece, nil)
			piece.Release()
			if !on {
				return
			}
		}
	}
}
