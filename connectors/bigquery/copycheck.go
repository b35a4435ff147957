package bigquery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	bq "cloud.google.com/go/bigquery"
	"github.com/dustin/go-humanize"
	"google.golang.org/api/iterator"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// Where a config asks for verify: full, a table's files are loaded into a hidden copy first, which is free, and one query sums up every
// column there. What BigQuery made of the files is so compared before anybody sees it. The query reads the whole copy and is billed.

// copyPrefix begins the names of hidden copies. BigQuery removes one whose owner died after copyLife.
const (
	copyPrefix = metaPrefix + "check_"
	copyLife   = 6 * time.Hour
)

// PlanTable compares with the live table and says what it costs to verify in full.
func (d *dest) PlanTable(ctx context.Context, req connector.PlanRequest) (*connector.TablePlan, error) {
	p, err := d.planTable(ctx, req)
	if err != nil || !req.Full {
		return p, err
	}
	rows, bytes, of := copied(p, req)
	c := cost(d.client.Location, copyBytes(p.Columns, rows, bytes))
	p.Verifying = c.Bytes
	if p.Cost == nil {
		p.Cost = &connector.Cost{}
	}
	p.Cost.Bytes += c.Bytes
	p.Cost.Price += c.Price
	p.Cost.For = strings.TrimPrefix(p.Cost.For+" and verify: full, which reads a hidden copy of "+of+" once", " and ")
	return p, nil
}

// copied is of how many rows and bytes a hidden copy is expected to be, -1 where nobody knows, and what it is a copy of. Where a cursor goes on, only what is new or
// has changed comes: as many rows as the source has more than the table, and a tenth of the table. Should more come, BigQuery
// refuses the query, as it may not be billed more than the plan said.
func copied(p *connector.TablePlan, req connector.PlanRequest) (rows, bytes int64, of string) {
	if p.Mode != connector.Append && p.Mode != connector.Merge || p.Cursor == "" || p.Reached == "" || req.Rows <= 0 {
		return req.Rows, req.Bytes, "the table"
	}
	rows = max(req.Rows-p.Rows, 0) + p.Rows/10
	if req.Bytes > 0 {
		bytes = int64(float64(req.Bytes) / float64(req.Rows) * float64(rows))
	}
	return rows, bytes, fmt.Sprintf("the rows that come, %s by estimate,", humanize.Comma(rows))
}

// unknownBytes stands for a table of which the source has no estimate.
const unknownBytes = 1 << 30

// copyBytes is how much a query over all columns is billed for at most: BigQuery counts the values' own sizes, not how they are stored. The
// sources' estimates may be off by half.
func copyBytes(columns []connector.ColumnPlan, rows, bytes int64) int64 {
	if rows < 0 {
		return unknownBytes
	}
	var fixed int64
	varying := false
	for _, c := range columns {
		switch c.Native {
		case "BOOL":
			fixed++
		case "NUMERIC":
			fixed += 16
		case "BIGNUMERIC":
			fixed += 32
		case "STRING", "BYTES", "JSON", "GEOGRAPHY":
			fixed += 2
			varying = true
		default:
			fixed += 8
		}
	}
	n := rows * fixed
	if varying {
		n += max(bytes, 0)
	}
	return max(2*n, leastBilled)
}

// compareCopy loads a publication's rows into a hidden copy, sums it up there and here, and removes it.
func (d *dest) compareCopy(ctx context.Context, p *publication) (err error) {
	plan := p.table.Plan
	c, err := d.pick(ctx, p)
	if err != nil {
		return err
	}
	name := copyPrefix + jobID(p.run.ID, plan.Name, c.digest)[len("kitamae_"):][:16]
	defer func() {
		if left := d.dropCopy(context.WithoutCancel(ctx), name); left != nil {
			p.notes = append(p.notes, fmt.Sprintf("the hidden copy %s goes by itself within hours: %v", name, left))
		}
	}()
	fields := fieldsOf(plan, nil)
	labels := map[string]string{runLabel: label(p.run.ID), tableLabel: label(plan.Name)}
	err = d.again(ctx, func() error {
		return d.ds.Table(name).Create(ctx, &bq.TableMetadata{Schema: fields, ExpirationTime: d.now().Add(copyLife), Labels: labels, Description: "kitamae verifies a table here; it can go"})
	})
	if err != nil && status(err) != 409 {
		return classify(err, "make the hidden copy of "+plan.Name)
	}
	err = d.run(ctx, load{
		table: name, rows: c.rows, labels: labels, source: d.source(c, fields),
		id: jobID(d.spec.Project, d.spec.Dataset, p.run.ID, name, c.digest),
		config: func(l *bq.LoadConfig) {
			l.WriteDisposition, l.CreateDisposition = bq.WriteTruncate, bq.CreateNever
			l.ColumnNameCharacterMap = bq.V2ColumnNameCharacterMap
		},
	})
	if err != nil {
		return err
	}
	sums := sumsOf(plan)
	for rec, err := range d.readShards(ctx, p.stage.Plan.Schema(), p.shards, nil) {
		if err != nil {
			return err
		}
		sums.add(rec)
	}
	said, err := d.askCopy(ctx, p, name, sums.sql(d.sqlTable(name)))
	if err != nil {
		return err
	}
	if diffs := sums.differences(said); len(diffs) > 0 {
		return fault.New(fault.Verification, "bigquery.copy_differs", "the table is as it was; run again, and if it stays, report it with the run's ID",
			"table %s: a hidden copy in BigQuery differs from what was spooled: %s", plan.Name, strings.Join(diffs[:min(len(diffs), mostErrors)], "; "))
	}
	p.notes = append(p.notes, fmt.Sprintf("verified in BigQuery: %d sums over %d columns of a hidden copy", len(said), len(plan.Columns)))
	return nil
}

// askCopy runs the query within what the plan said it would be billed.
func (d *dest) askCopy(ctx context.Context, p *publication, name, sql string) (row []bq.Value, err error) {
	err = d.again(ctx, func() error {
		q := d.client.Query(sql)
		q.MaxBytesBilled, q.DisableQueryCache = p.table.Plan.Verifying, true
		q.Labels = map[string]string{runLabel: label(p.run.ID), tableLabel: label(p.table.Plan.Name)}
		it, err := q.Read(ctx)
		if err != nil {
			return err
		}
		row = nil
		if err := it.Next(&row); !errors.Is(err, iterator.Done) {
			return err
		}
		return nil
	})
	if reason(err) == "bytesBilledLimitExceeded" || err != nil && strings.Contains(err.Error(), "limit for bytes billed") {
		return nil, fault.Wrap(fault.Destination, "bigquery.verify_cost", "run again: the plan goes by the source's estimates, which ANALYZE TABLE brings up to date; where more rows come than a cursor was expected to bring, take verify: aggregates or mode: replace for one run",
			fmt.Errorf("table %s: verifying it in full would be billed more than the plan said: %w", p.table.Plan.Name, err))
	}
	return row, classify(err, "verify "+name)
}

func (d *dest) dropCopy(ctx context.Context, name string) error {
	err := d.again(ctx, func() error { return d.ds.Table(name).Delete(ctx) })
	if status(err) == 404 {
		return nil
	}
	return err
}
