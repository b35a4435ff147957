package bigquery

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	bq "cloud.google.com/go/bigquery"
	"golang.org/x/sync/errgroup"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

const (
	runLabel   = "kitamae_run"
	tableLabel = "kitamae_table"
)

var notLabel = regexp.MustCompile(`[^a-z0-9_-]+`)

// label is text as a label's value may be.
func label(text string) string {
	text = notLabel.ReplaceAllString(strings.ToLower(text), "_")
	return text[:min(len(text), 63)]
}

// atOnce is how many tables are loaded at the same time: all of a run change within a short while.
const atOnce = 8

// Commit publishes table by table, several at a time: BigQuery has no transaction over load jobs. A table whose load fails is kept
// as it was, and the others go on.
func (d *dest) Commit(ctx context.Context, req connector.CommitRequest) ([]connector.Outcome, error) {
	if _, err := d.dataset(ctx); err != nil {
		return nil, err
	}
	intents, err := d.intend(ctx, req)
	if err != nil {
		return nil, err
	}
	outcomes := make([]connector.Outcome, len(req.Tables))
	req.Tables = slices.Clone(req.Tables)
	for i := range req.Tables {
		if outcomes[i].Notes, err = settleTypes(&req.Tables[i]); err != nil {
			return nil, err
		}
	}
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, t := range req.Tables {
		g.Go(func() error {
			notes, err := d.publish(ctx, req.Run, t, &intents[i])
			if err != nil && ctx.Err() != nil {
				return err
			}
			outcomes[i].Published, outcomes[i].Notes = err == nil, append(outcomes[i].Notes, notes...)
			if err != nil {
				outcomes[i].Why = err.Error()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := d.settle(ctx, req, intents, outcomes); err != nil {
		return nil, err
	}
	return outcomes, d.record(ctx, req, outcomes)
}

// publish changes one table, unless this run has done so already. Its notes are for the report.
func (d *dest) publish(ctx context.Context, run connector.RunRecord, t connector.CommitTable, in *intended) ([]string, error) {
	if in.err != nil {
		return nil, in.err
	}
	p := &publication{run: run, table: t, job: in.job}
	err := d.again(ctx, func() (err error) { p.live, err = d.table(ctx, t.Plan.Name); return err })
	if err != nil {
		return nil, err
	}
	if p.live != nil && p.live.Labels[runLabel] == label(run.ID) {
		in.made = p.live.CreationTime.UnixMilli()
		return nil, nil
	}
	done := in.done
	if in.found {
		if done, err = d.came(ctx, intent{Job: in.job, Run: run.ID, At: run.Started}, false); err != nil {
			return nil, err
		}
	}
	if !done {
		if err := d.fill(ctx, p); err != nil {
			return p.notes, err
		}
	}
	in.made, err = d.describe(ctx, run, t.Plan)
	return p.notes, err
}

// publication is one table's way from the spool into BigQuery.
type publication struct {
	run   connector.RunRecord
	table connector.CommitTable
	live  *bq.TableMetadata // as it is before, nil for none
	// job is the ID, without the attempt, that the one job which changes the table has to have; "" where it may be any.
	job    string
	stage  *stage
	shards []shard
	parts  map[int64]int64 // rows by partition, nil for a table that has none
	mu     sync.Mutex      // around packed
	packed []*cargo
	whole  *cargo   // all that is staged, once it is packed
	notes  []string // for the report
}

// fill brings the staged rows into the table, as its mode says.
func (d *dest) fill(ctx context.Context, p *publication) (err error) {
	plan := p.table.Plan
	if p.stage, err = parseStage(p.table.Stage); err != nil {
		return err
	}
	if p.shards, err = p.stage.shards(p.table.Receipts); err != nil {
		return err
	}
	if _, err := os.Stat(p.stage.Dir); err != nil { // a table without rows has no receipts to be missed
		return fault.Wrap(fault.Destination, "bigquery.stage_gone", "run again", err)
	}
	if p.parts, err = d.partitions(ctx, p.stage, p.shards); err != nil {
		return err
	}
	if err := tooMany(plan, p.parts); err != nil {
		return err
	}
	if plan.Verifying > 0 {
		err = d.compareCopy(ctx, p)
	}
	switch {
	case err != nil:
	case plan.Mode == connector.Append:
		err = d.append(ctx, p)
	case plan.Mode == connector.Merge:
		err = d.merge(ctx, p)
	case plan.Mode == connector.Overwrite:
		err = d.overwrite(ctx, p)
	default:
		err = d.replace(ctx, p)
	}
	if left := d.letGo(ctx, p); left != nil {
		p.notes = append(p.notes, "what waited in the bucket is still there: "+left.Error())
	}
	return err
}

// pick makes files ready to be loaded, by default all that are staged.
func (d *dest) pick(ctx context.Context, p *publication, files ...shard) (*cargo, error) {
	whole := len(files) == 0
	if whole && p.whole != nil {
		return p.whole, nil
	}
	if whole {
		files = p.shards
	}
	c, err := d.pack(ctx, p.stage, p.table.Plan, files)
	if c != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.packed = append(p.packed, c)
	}
	if whole && err == nil {
		p.whole = c
	}
	return c, err
}

// letGo removes what waited in the bucket for a publication.
func (d *dest) letGo(ctx context.Context, p *publication) error {
	for _, c := range p.packed {
		if len(c.uris) > 0 { // one folder has them all
			return d.unpack(ctx, p.stage, c)
		}
	}
	return nil
}

// replace puts the rows in place of the table's by one job.
func (d *dest) replace(ctx context.Context, p *publication) error {
	plan, live := p.table.Plan, p.live
	c, err := d.pick(ctx, p)
	if err != nil {
		return err
	}
	var schema bq.Schema
	disposition, options := bq.WriteTruncate, []string(nil)
	var diff difference
	if live != nil {
		schema, diff = live.Schema, compare(plan, live.Schema)
		if err := d.rearrange(ctx, plan, live); err != nil {
			return err
		}
		if len(diff.rewrite) == 0 {
			disposition = bq.WriteTruncateData
			if len(diff.added) > 0 {
				options = []string{"ALLOW_FIELD_ADDITION"}
			}
			if err := d.widen(ctx, plan.Name, diff.widened); err != nil {
				return err
			}
			if err := d.relax(ctx, plan.Name, diff.relaxed); err != nil {
				return err
			}
		}
	}
	err = d.load(ctx, p, plan.Name, c, fieldsOf(plan, schema), func(l *bq.LoadConfig) {
		l.WriteDisposition, l.SchemaUpdateOptions = disposition, options
		if disposition == bq.WriteTruncate {
			laid(l, plan, live)
		}
	})
	if err != nil || disposition == bq.WriteTruncate {
		return err
	}
	return d.drop(ctx, plan.Name, diff.gone)
}

// load loads a cargo into a table, or into a partition of it, as how says, by a job that has the publication's ID, or else
// one that hashes what it does.
func (d *dest) load(ctx context.Context, p *publication, into string, c *cargo, fields bq.Schema, how func(l *bq.LoadConfig)) error {
	id := p.job
	if id == "" {
		id = jobID(d.spec.Project, d.spec.Dataset, p.run.ID, into, c.digest)
	}
	return d.run(ctx, load{
		table: into, rows: c.rows, id: id,
		labels: map[string]string{runLabel: label(p.run.ID), tableLabel: label(p.table.Plan.Name)},
		config: func(l *bq.LoadConfig) {
			l.CreateDisposition, l.ColumnNameCharacterMap = bq.CreateIfNeeded, bq.V2ColumnNameCharacterMap
			how(l)
		},
		source: d.source(c, fields),
	})
}
