package bigquery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/duck"
	"github.com/kitamae/kitamae/fault"
)

// A MERGE is billed for twenty megabytes at least, however few rows it is about. Where all that can have one of the keys lies in a few small
// partitions, these are read back, changed here and loaded again, all of it for free. What that may cost is the way
// back: Google bills what leaves its network.
//
// The partitions change one after the other, each at once. Their jobs have IDs that follow from the publication's, in order, and the last
// one has the publication's own: it is there once all of them are. A merge that stopped halfway comes to the same rows when it is done
// again; see [dest.fence] for a process that only seemed to have stopped.

const (
	// mostRewritten is how many partitions are rewritten: readers see one change after the other.
	mostRewritten = 8
	// mostTravelling is how many bytes are read back at most: pages of rows as JSON come slowly.
	mostTravelling = 64 << 20
)

// rewriting is a merge that rewrites partitions.
type rewriting struct {
	pieces []piece
	rows   int64 // that are read back
	price  conf.Money
}

// piece is one partition to be rewritten.
type piece struct {
	number int64
	into   string // table$partition
	rows   int64  // there now
}

// egress is what bytes on their way out of Google's network cost at most of its places: 0.12 USD a gigabyte, rounded up.
func egress(bytes int64) conf.Money { return (conf.Money(bytes)*12 + 99_999) / 100_000 }

// travelling is about how many bytes rows of so many bytes are as JSON: numbers and times as text, with braces and quotes.
func travelling(columns int, rows, bytes int64) int64 { return 2*bytes + rows*int64(16+24*columns) }

// rewritable says what rewriting the partitions touched would take, or why it can't be done.
func (d *dest) rewritable(ctx context.Context, p *publication, live bq.Schema) (*rewriting, string) {
	plan := p.table.Plan
	switch {
	case p.parts == nil || !isKey(plan, plan.Layout.Partition):
		return nil, "the table is not divided by a column of its key"
	case len(p.parts) > mostRewritten:
		return nil, fmt.Sprintf("the rows fall in %d partitions, and %d at most are rewritten", len(p.parts), mostRewritten)
	case p.parts[outsidePartition] > 0:
		return nil, "rows before 1960 or after 2159 share a partition"
	}
	if why := unreadable(plan, live); why != "" {
		return nil, why
	}
	md, err := d.table(ctx, plan.Name)
	switch {
	case err != nil || md == nil:
		return nil, fmt.Sprintf("the table can't be looked at: %v", err)
	case md.StreamingBuffer != nil:
		return nil, "rows are being streamed into the table"
	case md.Type != bq.RegularTable:
		return nil, "it is a " + strings.ToLower(string(md.Type))
	}
	if why := d.hidden(ctx, md, plan.Name); why != "" {
		return nil, why
	}
	rw := &rewriting{}
	travel := int64(0)
	for _, number := range slices.Sorted(maps.Keys(p.parts)) {
		into := plan.Name + "$" + partitionID(number, plan.Layout.Unit)
		part, err := d.table(ctx, into)
		if err != nil {
			return nil, fmt.Sprintf("%s can't be looked at: %v", into, err)
		}
		pc := piece{number: number, into: into}
		if part != nil { // one that is not there yet has no rows
			pc.rows = int64(part.NumRows)
			travel += travelling(len(plan.Columns), pc.rows, part.NumBytes)
		}
		rw.pieces, rw.rows = append(rw.pieces, pc), rw.rows+pc.rows
	}
	if travel > d.travel {
		return nil, fmt.Sprintf("the partitions touched are too large to be read back: %d rows", rw.rows)
	}
	rw.price = egress(travel)
	if rw.price > cost(d.client.Location, leastMerge).Price && d.onGoogle(ctx) {
		rw.price = 0
	}
	return rw, ""
}

// moved is why a rewriting is given up for a MERGE: what it relied on is not so.
type moved struct{ why string }

func (m moved) Error() string { return m.why }

// rewrite rewrites the partitions. It returns false, with a note of why, where the rows have to be merged after all; partitions that were
// rewritten by then are right, and merging their rows again changes nothing.
func (d *dest) rewrite(ctx context.Context, p *publication, rw *rewriting, live bq.Schema) (bool, error) {
	files, err := d.split(ctx, p)
	if err != nil {
		return false, err
	}
	for i, pc := range rw.pieces {
		id := p.job
		if i < len(rw.pieces)-1 {
			id = pieceJob(p.job, i)
			came, err := d.cameAs(ctx, id, intent{Run: p.run.ID, At: p.run.Started}, false)
			if err != nil {
				return false, err
			}
			if came { // by this run, before it was interrupted
				continue
			}
		}
		err := d.rewritePiece(ctx, p, pc, files[pc.number], live, id)
		var m moved
		if errors.As(err, &m) {
			p.notes = append(p.notes, fmt.Sprintf("partition %s was not rewritten: %s", pc.into, m.why))
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("%d of %d partitions are new, the others as they were: %w", i, len(rw.pieces), err)
		}
	}
	p.notes = append(p.notes, fmt.Sprintf("merged by rewriting %d partitions, whose %d rows were read back: %s, where a MERGE is billed %s or more",
		len(rw.pieces), rw.rows, priced(rw.price), cost(d.client.Location, leastMerge).Price))
	return true, nil
}

func priced(m conf.Money) string {
	if m == 0 {
		return "for free"
	}
	return "for about " + m.String() + " of traffic"
}

// rewritePiece puts the rows that come in place of those with the same keys in one partition, by a job of that ID.
func (d *dest) rewritePiece(ctx context.Context, p *publication, pc piece, delta shard, live bq.Schema, id string) error {
	name := p.table.Plan.Name
	before, err := d.version(ctx, name)
	if err != nil {
		return err
	}
	file, err := d.combined(ctx, p, pc, delta)
	if err != nil {
		return err
	}
	c, err := d.pick(ctx, p, file)
	if err != nil {
		return err
	}
	now, err := d.version(ctx, name)
	if err != nil {
		return err
	}
	if now != before {
		return moved{"somebody else changed the table meanwhile"}
	}
	return d.loadAs(ctx, p, id, pc.into, c, fieldsOf(p.table.Plan, live), func(l *bq.LoadConfig) { l.WriteDisposition = bq.WriteTruncate })
}

// version is by what a table is told from what it was a moment ago.
type version struct {
	etag        string
	changed     time.Time
	rows, bytes int64
}

func (d *dest) version(ctx context.Context, name string) (v version, err error) {
	err = d.again(ctx, func() error {
		md, err := d.table(ctx, name)
		if err == nil && md != nil {
			v = version{md.ETag, md.LastModifiedTime, int64(md.NumRows), md.NumBytes}
		}
		return err
	})
	return v, err
}

// combined is a file of a partition's rows without those whose keys come, and of the rows that come.
func (d *dest) combined(ctx context.Context, p *publication, pc piece, delta shard) (shard, error) {
	plan := p.stage.Plan
	schema := plan.Schema()
	db, err := d.engine(ctx)
	if err != nil {
		return shard{}, err
	}
	base := safe(p.stage.Dir + pc.into)
	was, comes := duck.Idents(db.Name, "main", "was_"+base), duck.Idents(db.Name, "main", "comes_"+base)
	defer func() { // the engine's own tables: they go with the process at the latest
		_, _ = db.Exec(context.WithoutCancel(ctx), "DROP TABLE IF EXISTS "+was+"; DROP TABLE IF EXISTS "+comes)
	}()
	keep := func(table string) func(view string) string {
		return func(view string) string { return "CREATE OR REPLACE TABLE " + table + " AS SELECT * FROM " + view }
	}
	read, err := db.Load(ctx, schema, d.readBack(ctx, pc.into, schema), keep(was))
	if err != nil {
		return shard{}, spoolFault(err)
	}
	if read != pc.rows { // also where a policy hides some
		return shard{}, moved{fmt.Sprintf("%d of its %d rows could be read", read, pc.rows)}
	}
	if _, err := db.Load(ctx, schema, d.readShards(ctx, schema, []shard{delta}, nil), keep(comes)); err != nil {
		return shard{}, spoolFault(err)
	}
	replaced, err := replacedBy(ctx, db, was, comes, keyList(plan))
	if err != nil {
		return shard{}, err
	}
	path := filepath.Join(p.stage.Dir, "rewritten-"+partitionID(pc.number, plan.Layout.Unit)+".parquet")
	wrote, err := db.Exec(ctx, fmt.Sprintf("COPY (SELECT * FROM %s ANTI JOIN %s USING (%s) UNION ALL SELECT * FROM %[2]s) TO %[4]s (FORMAT parquet, COMPRESSION zstd)",
		was, comes, keyList(plan), duck.Literal(path)))
	if err != nil {
		return shard{}, spoolFault(err)
	}
	if want := read - replaced + delta.Rows; wrote != want {
		return shard{}, fault.New(fault.Internal, "bigquery.rewrite", "", "partition %s: %d rows were put together of %d there, %d that go and %d that come", pc.into, wrote, read, replaced, delta.Rows)
	}
	file, err := measure(path, path)
	file.Rows = wrote
	return file, spoolFault(err)
}

func keyList(plan connector.TablePlan) string {
	var key []string
	for _, name := range plan.Key {
		key = append(key, duck.Ident(plan.Columns[column(&plan, name)].Name))
	}
	return strings.Join(key, ", ")
}

// replacedBy counts the rows of was whose keys are in comes. A MERGE would change all rows with one key, and keep them all.
func replacedBy(ctx context.Context, db *duck.DB, was, comes, key string) (int64, error) {
	counts, err := db.Texts(ctx, fmt.Sprintf("SELECT (SELECT count(*) FROM %[1]s SEMI JOIN %[2]s USING (%[3]s))::VARCHAR, (SELECT count(*) FROM %[2]s SEMI JOIN %[1]s USING (%[3]s))::VARCHAR",
		was, comes, key))
	if err != nil {
		return 0, spoolFault(err)
	}
	if counts[0][0] != counts[0][1] {
		return 0, moved{"it has several rows with the same key"}
	}
	var n int64
	_, err = fmt.Sscan(counts[0][0], &n)
	return n, err
}

// pieceJob is the ID, without the attempt, of the job that rewrites the partition number i, from 0, of a publication; the last
// one's is the publication's own.
func pieceJob(job string, i int) string { return fmt.Sprintf("%s_p%d", job, i) }

// alone makes sure, before the one job of a commit that is taken up, that the process that began it rewrites no partition after that: it
// may only be asleep.
func (d *dest) alone(ctx context.Context, p *publication) error {
	if !p.found {
		return nil
	}
	return d.fence(ctx, intent{Job: p.job, Run: p.run.ID, At: p.run.Started})
}

// fence makes sure that none of the jobs that rewrite partitions for an intent comes any more, but for those that have. They come
// one after the other, so that it is enough to take the ID of the first that is not there.
func (d *dest) fence(ctx context.Context, in intent) error {
	for i := range mostRewritten {
		came, err := d.cameAs(ctx, pieceJob(in.Job, i), in, true)
		if err != nil || !came {
			return err
		}
	}
	return nil
}
