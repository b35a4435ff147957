package bigquery

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	bq "cloud.google.com/go/bigquery"
	"golang.org/x/sync/errgroup"

	"github.com/kitamae/kitamae/connector"
)

// Labels of jobs and tables; of tables only, when their run began, in milliseconds since 1970.
const (
	runLabel     = "kitamae_run"
	tableLabel   = "kitamae_table"
	startedLabel = "kitamae_started"
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
		if outcomes[i].Notes, err = d.settleTypes(&req.Tables[i]); err != nil {
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

// publish changes one table, unless this run has done so already or a later one has. Its notes are for the report.
func (d *dest) publish(ctx context.Context, run connector.RunRecord, t connector.CommitTable, in *intended) ([]string, error) {
	if in.err != nil {
		return nil, in.err
	}
	p := &publication{run: run, table: t, job: in.job, found: in.found}
	var err error
	if p.stage, err = d.parseStage(t.Stage); err != nil {
		return nil, err
	}
	err = d.bring(ctx, p, in)
	if left := d.letGo(ctx, p.stage, err == nil); left != nil {
		p.notes = append(p.notes, "what waited for the load is still there: "+left.Error())
	}
	return p.notes, err
}

// bring takes a publication to its end, from wherever an earlier commit of the same run left it.
func (d *dest) bring(ctx context.Context, p *publication, in *intended) (err error) {
	err = d.again(ctx, func() (err error) { p.live, err = d.table(ctx, p.table.Plan.Name); return err })
	if err != nil {
		return err
	}
	if p.live != nil && p.live.Labels[runLabel] == label(p.run.ID) {
		in.made = p.live.CreationTime.UnixMilli()
		return nil
	}
	done := in.done
	switch job := (intent{Job: in.job, Run: p.run.ID, At: p.run.Started}); {
	case in.found:
		done, err = d.came(ctx, job, false)
	case in.job == "" && later(p.live, p.run):
		job.Job = d.loadID(p, p.table.Plan.Name)
		came, err := d.came(ctx, job, false)
		if err != nil || came { // else clocks differ, or its job will be refused
			return err
		}
	}
	if err != nil {
		return err
	}
	if !done {
		if err := d.fill(ctx, p); err != nil {
			return err
		}
	}
	in.made, err = d.describe(ctx, p)
	return err
}

// later says that the table was published by a run that began after this one. A process that was paused in its commit, and taken for dead,
// finds it so: its own job is there already, from whoever finished the commit, or the job's ID is taken.
func later(live *bq.TableMetadata, run connector.RunRecord) bool {
	if live == nil {
		return false
	}
	at, err := strconv.ParseInt(live.Labels[startedLabel], 10, 64)
	return err == nil && at > run.Started.UnixMilli()
}

// overtaken says that a later run has published the table since this one looked at it first: it must not be touched any more.
func (p *publication) overtaken(live *bq.TableMetadata) bool {
	return later(live, p.run) && (p.live == nil || live.Labels[runLabel] != p.live.Labels[runLabel])
}

// publication is one table's way from the spool into BigQuery.
type publication struct {
	run   connector.RunRecord
	table connector.CommitTable
	live  *bq.TableMetadata // as it is before, nil for none
	// job is the ID, without the attempt, that the one job which changes the table has to have; "" where it may be any.
	job    string
	found  bool // an earlier commit of the same run may have begun
	stage  *stage
	shards []shard
	parts  map[int64]int64 // rows by partition, nil for a table that has none
	whole  *cargo          // all that is staged, once it is packed
	notes  []string        // for the report
}

// fill brings the staged rows into the table, as its mode says.
func (d *dest) fill(ctx context.Context, p *publication) (err error) {
	plan := p.table.Plan
	if p.shards, err = p.stage.shards(p.table.Receipts); err != nil {
		return err
	}
	if err := d.present(ctx, p.stage, p.shards); err != nil {
		return err
	}
	if p.parts, err = d.partitions(ctx, p.stage, p.shards); err != nil {
		return err
	}
	if err := tooMany(plan, p.parts); err != nil {
		return err
	}
	if err := d.crowded(ctx, p); err != nil {
		return err
	}
	if plan.Verifying > 0 {
		if err := d.compareCopy(ctx, p); err != nil {
			return err
		}
	}
	switch plan.Mode {
	case connector.Append:
		return d.append(ctx, p)
	case connector.Merge:
		return d.merge(ctx, p)
	case connector.Overwrite:
		return d.overwrite(ctx, p)
	}
	return d.replace(ctx, p)
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
	if whole && err == nil {
		p.whole = c
	}
	return c, err
}

// letGo removes what waited for a table's load, once it is published. Of one that is not, it removes what was uploaded for the load where
// the spool still has it; a shared stage is in the bucket alone, for whoever takes the commit up. Its error is a line for the report
// and no more: a later run, or the bucket's lifecycle rule, removes what is left.
func (d *dest) letGo(ctx context.Context, st *stage, published bool) error {
	ctx = context.WithoutCancel(ctx)
	if published {
		return d.discard(ctx, st)
	}
	if st.marked() && !st.Shared {
		return d.removeObjects(ctx, d.tableFolder(st), everything)
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
	if err != nil || disposition == bq.WriteTruncate || len(diff.gone) == 0 {
		return err
	}
	if live, err = d.table(ctx, plan.Name); err != nil || p.overtaken(live) {
		return err
	}
	return d.drop(ctx, plan.Name, diff.gone)
}

// load loads a cargo into a table, or into a partition of it, as how says, by a job that has the publication's ID, or else one that hashes what it does.
func (d *dest) load(ctx context.Context, p *publication, into string, c *cargo, fields bq.Schema, how func(l *bq.LoadConfig)) error {
	return d.loadAs(ctx, p, cmp.Or(p.job, d.loadID(p, into)), into, c, fields, how)
}

// loadAs loads by a job of that ID.
func (d *dest) loadAs(ctx context.Context, p *publication, id, into string, c *cargo, fields bq.Schema, how func(l *bq.LoadConfig)) error {
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

// loadID is the ID, without the attempt, of the job that loads a publication's rows into a table, or into a partition of it. It follows from the receipts: who has lost
// the rows can still see to it that the job never comes.
func (d *dest) loadID(p *publication, into string) string {
	return jobID(d.spec.Project, d.spec.Dataset, p.run.ID, into, contentOf(p.table))
}
