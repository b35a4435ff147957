package bigquery

import (
	"context"
	"fmt"
	"math/big"
	"strings"
	"time"

	bq "cloud.google.com/go/bigquery"
	"github.com/dustin/go-humanize"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// deltaLife is when BigQuery itself removes rows that waited for a MERGE whose process died.
const deltaLife = 24 * time.Hour

// merge puts rows in place of those with the same key. Where the partitions that they fall in are empty or small, these are loaded (see
// [dest.rewrite]), if that is cheaper. Else the rows are loaded, for free, into a table of their own first; the MERGE that takes them from
// there is then the one job that changes the table, and the one thing in all of kitamae's writing that is billed.
func (d *dest) merge(ctx context.Context, p *publication) error {
	plan := p.table.Plan
	keys, err := d.survey(ctx, p)
	if err != nil {
		return err
	}
	if keys.distinct < keys.rows {
		if err := d.latest(ctx, p, keys); err != nil {
			return err
		}
	}
	c, err := d.pick(ctx, p, p.shards...)
	if err != nil {
		return err
	}
	if p.live == nil {
		return d.first(ctx, p, c)
	}
	live, err := d.fit(ctx, p)
	if err != nil || keys.rows == 0 {
		return err
	}
	if d.untouched(ctx, p) {
		if err := d.alone(ctx, p); err != nil {
			return err
		}
		return d.load(ctx, p, plan.Name, c, fieldsOf(plan, live), func(l *bq.LoadConfig) { l.WriteDisposition = bq.WriteAppend })
	}
	rw, why := d.rewritable(ctx, p, live)
	least := cost(d.client.Location, leastMerge).Price
	if rw != nil && rw.price <= least {
		done, err := d.rewrite(ctx, p, rw, live)
		if done || err != nil {
			return err
		}
		rw, why = nil, "see above"
	}
	delta, err := d.deliver(ctx, p, c, live)
	if err != nil {
		return err
	}
	q := d.client.Query(d.mergeSQL(p, delta, keys, live))
	q.Labels, q.Location = map[string]string{runLabel: label(p.run.ID), tableLabel: label(plan.Name)}, d.client.Location
	read, tooDear := d.affordable(ctx, plan, q)
	price := cost(d.client.Location, max(read, leastMerge)).Price
	switch {
	case rw != nil && rw.price < cost(d.client.Location, min(read, q.MaxBytesBilled)).Price:
		done, err := d.rewrite(ctx, p, rw, live)
		if err != nil {
			return err
		}
		if done {
			d.forgo(ctx, p, delta)
			return nil
		}
		why = "see above"
	case rw != nil:
		why = fmt.Sprintf("reading %d rows back would cost %s", rw.rows, rw.price)
	}
	if tooDear != nil {
		return tooDear
	}
	if err := d.alone(ctx, p); err != nil {
		return err
	}
	if err := d.runMerge(ctx, p, q, keys.distinct); err != nil {
		return err
	}
	p.notes = append(p.notes, fmt.Sprintf("merged by a MERGE that was billed %s at most for %s: %s", price, humanize.IBytes(uint64(max(read, leastMerge))), why))
	d.forgo(ctx, p, delta)
	return nil
}

// runMerge runs the MERGE of so many rows.
func (d *dest) runMerge(ctx context.Context, p *publication, q *bq.Query, rows int64) error {
	name := p.table.Plan.Name
	id, st, err := d.jobs(ctx, "merge into table "+name, name, p.job, func(id string) (*bq.Job, error) {
		q.JobID = id
		job, err := q.Run(ctx)
		if status(err) != 409 {
			return job, err
		}
		return d.attachAs(ctx, id, "the MERGE into table "+name, func(config bq.JobConfig) bool {
			c, ok := config.(*bq.QueryConfig)
			return ok && c.Labels[runLabel] == q.Labels[runLabel] && c.Labels[tableLabel] == q.Labels[tableLabel]
		})
	})
	if err != nil {
		return err
	}
	if stats, ok := st.Statistics.Details.(*bq.QueryStatistics); ok && stats.NumDMLAffectedRows != rows {
		return fault.New(fault.Verification, "bigquery.rows", "restore the table from its time travel, then run again",
			"table %s: job %s merged %d rows of %d", name, id, stats.NumDMLAffectedRows, rows)
	}
	return nil
}

// forgo removes the table that rows came in.
func (d *dest) forgo(ctx context.Context, p *publication, delta string) {
	if err := d.ds.Table(delta).Delete(ctx); err != nil && status(err) != 404 {
		p.notes = append(p.notes, fmt.Sprintf("table %s is left for BigQuery to remove within a day: %v", delta, err))
	}
}

// deliver loads the rows into a table of their own that goes away by itself, and returns its name.
func (d *dest) deliver(ctx context.Context, p *publication, c *cargo, live bq.Schema) (string, error) {
	name, fields := metaPrefix+"delta_"+strings.TrimPrefix(p.job, "kitamae_"), fieldsOf(p.table.Plan, live)
	var made time.Time
	err := d.again(ctx, func() error {
		err := d.ds.Table(name).Create(ctx, &bq.TableMetadata{
			Schema: fields, ExpirationTime: d.now().Add(deltaLife), Labels: map[string]string{runLabel: label(p.run.ID)},
			Description: "Rows on their way into table " + p.table.Plan.Name + "; it goes by itself.",
		})
		if err != nil && status(err) != 409 {
			return err
		}
		md, err := d.ds.Table(name).Metadata(ctx)
		if err == nil {
			made = md.CreationTime
		}
		return err
	})
	if err != nil {
		return "", classify(err, "make table "+name)
	}
	// The ID says which table of the name: one that has expired was filled by another job.
	return name, d.run(ctx, load{
		table: name, rows: c.rows, id: jobID(d.spec.Project, d.spec.Dataset, name, fmt.Sprint(made.UnixMilli()), c.digest),
		labels: map[string]string{runLabel: label(p.run.ID), tableLabel: label(p.table.Plan.Name)},
		config: func(l *bq.LoadConfig) {
			l.WriteDisposition, l.CreateDisposition, l.ColumnNameCharacterMap = bq.WriteTruncateData, bq.CreateNever, bq.V2ColumnNameCharacterMap
		},
		source: d.source(c, fields),
	})
}

// mergeSQL is the MERGE. Literal bounds of the key's columns let BigQuery leave partitions and blocks unread: a condition on the delta's own
// values would not. They are no more than what equal keys imply. The partition column bounds only where it is part of the
// key: the value of any other column may have changed since, and a row would be there twice.
func (d *dest) mergeSQL(p *publication, delta string, keys *keySurvey, live bq.Schema) string {
	plan := p.table.Plan
	var on, set, names, values []string
	for i, name := range plan.Key {
		on = append(on, fmt.Sprintf("T.%s = S.%[1]s", quote(name)))
		if least, most, ok := keys.bounds(i); ok {
			on = append(on, fmt.Sprintf("T.%s BETWEEN %s AND %s", quote(name), least, most))
		}
	}
	if field := plan.Layout.Partition; p.live.RequirePartitionFilter && !isKey(plan, field) && unitTypes[plan.Layout.Unit] != "" {
		from := "'1960-01-01'" // the whole table, said in the way that people who require a filter accept
		on = append(on, fmt.Sprintf("(T.%s >= %s OR T.%[1]s < %[2]s OR T.%[1]s IS NULL)", quote(field), standard(byName(live)[strings.ToLower(field)].Type)+" "+from))
	}
	for _, c := range plan.Columns {
		names, values = append(names, quote(c.Name)), append(values, "S."+quote(c.Name))
		if !isKey(plan, c.Name) {
			set = append(set, fmt.Sprintf("%s = S.%[1]s", quote(c.Name)))
		}
	}
	matched := ""
	if len(set) > 0 {
		matched = "\nWHEN MATCHED THEN UPDATE SET " + strings.Join(set, ", ")
	}
	return fmt.Sprintf("MERGE %s AS T USING %s AS S ON %s%s\nWHEN NOT MATCHED THEN INSERT (%s) VALUES (%s)",
		d.sqlTable(plan.Name), d.sqlTable(delta), strings.Join(on, " AND "), matched, strings.Join(names, ", "), strings.Join(values, ", "))
}

func isKey(plan connector.TablePlan, name string) bool {
	for _, k := range plan.Key {
		if strings.EqualFold(k, name) {
			return true
		}
	}
	return false
}

// affordable asks by a dry run, which is free, how many bytes the MERGE would be billed for, and makes BigQuery itself refuse more than
// the plan said. It returns them also where they are too many.
func (d *dest) affordable(ctx context.Context, plan connector.TablePlan, q *bq.Query) (int64, error) {
	if plan.Cost == nil {
		return 0, fault.New(fault.Internal, "bigquery.merge_plan", "", "table %s: the plan of a merge says nothing of its cost", plan.Name)
	}
	dry := *q
	dry.DryRun = true
	var job *bq.Job
	if err := d.again(ctx, func() (err error) { job, err = dry.Run(ctx); return err }); err != nil {
		return 0, classify(err, "dry run of the MERGE into table "+plan.Name)
	}
	q.MaxBytesBilled = max(plan.Cost.Bytes-plan.Verifying, leastMerge) // the rest is for verify: full
	bytes := job.LastStatus().Statistics.TotalBytesProcessed
	if bytes > q.MaxBytesBilled {
		c := cost(d.client.Location, bytes)
		return bytes, fault.New(fault.Config, "bigquery.merge_cost", "publish it with mode: replace for one run, which is free, or run more often",
			"table %s: so many rows are new that the MERGE would be billed %s for %s, and the plan said %s for %s at most", plan.Name,
			c.Price, humanize.IBytes(uint64(bytes)), plan.Cost.Price, humanize.IBytes(uint64(q.MaxBytesBilled)))
	}
	return bytes, nil
}

// leastMerge is what a MERGE is billed for at least: the least for each of its two tables.
const leastMerge = 2 * leastBilled

// mergeCost is the most that a MERGE into a table will be billed: the keys are read and, as any row may change, all columns are counted once more. Of
// a table in partitions it is less where the bounds leave some unread, or where small ones are rewritten; but which partitions the rows fall in is known once they
// were read, and an old row may always be among them, so that a plan that said less could stop a run halfway. The rows that come are taken for a tenth of those that are there, or a gibibyte.
func mergeCost(location string, plan connector.TablePlan, md *bq.TableMetadata) *connector.Cost {
	bytes := big.NewInt(md.NumBytes)
	keys := int64(0)
	for _, name := range plan.Key {
		at := column(&plan, name)
		if at < 0 {
			continue
		}
		switch plan.Columns[at].Native {
		case "INT64", "FLOAT64", "DATE", "TIME", "DATETIME", "TIMESTAMP":
			keys += 8 * int64(md.NumRows)
		case "NUMERIC":
			keys += 16 * int64(md.NumRows)
		default:
			keys = md.NumBytes
		}
	}
	bytes.Add(bytes, big.NewInt(min(keys, md.NumBytes)))
	bytes.Add(bytes, big.NewInt(max(min(md.NumBytes, 1<<30), md.NumBytes/10)))
	c := cost(location, max(bytes.Int64(), leastMerge))
	c.For = "MERGE reads the keys and rewrites rows, at most"
	return &c
}

// comparableKey refuses a merge by a column whose values BigQuery can't compare.
func comparableKey(p *connector.TablePlan) error {
	for _, name := range p.Key {
		if c := p.Columns[column(p, name)]; p.Mode == connector.Merge && (c.Native == "JSON" || c.Native == "GEOGRAPHY") {
			return fault.New(fault.Config, "bigquery.merge_key", "name other columns as key, or take it as text: columns: {types: {"+c.From+": text}}",
				"table %s can't be merged by %s: BigQuery does not compare values of %s", p.Name, c.Name, c.Native)
		}
	}
	return nil
}

// planMerge says what a MERGE into the live table will be billed at most, and why it may be more than it need be.
func (d *dest) planMerge(p *connector.TablePlan, md *bq.TableMetadata) {
	p.Cost = mergeCost(d.client.Location, *p, md)
	if field := p.Layout.Partition; unitTypes[p.Layout.Unit] != "" && !isKey(*p, field) {
		p.Notes = append(p.Notes, fmt.Sprintf("the MERGE reads all partitions, as %s is not part of the key and a row may have moved; if it never changes, key: [%s, %s] leaves most of them unread",
			field, strings.Join(p.Key, ", "), field))
	}
}

// mostEmpty bounds how many partitions are asked whether they are empty.
const mostEmpty = 31

// untouched says that no row there can have a key that comes, as the partition is part of the key and the partitions touched are
// empty: then the rows need no MERGE and are loaded for free. What can't be told is touched.
func (d *dest) untouched(ctx context.Context, p *publication) bool {
	plan := p.table.Plan
	if len(p.parts) == 0 || len(p.parts) > mostEmpty || !isKey(plan, plan.Layout.Partition) {
		return false
	}
	for number := range p.parts {
		if number == nullPartition || number == outsidePartition {
			return false
		}
		if empty, err := d.empty(ctx, plan.Name+"$"+partitionID(number, plan.Layout.Unit)); err != nil || !empty {
			return false
		}
	}
	return d.hidden(ctx, p.live, plan.Name) == ""
}
