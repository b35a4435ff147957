package bigquery

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	bq "cloud.google.com/go/bigquery"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// widen gives columns their wider types by free DDL; the rows there stay as they are.
func (d *dest) widen(ctx context.Context, table string, columns map[string]string) error {
	for name, typ := range columns {
		if err := d.ddl(ctx, fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s SET DATA TYPE %s", d.sqlTable(table), quote(name), typ)); err != nil {
			return err
		}
	}
	return nil
}

// relax lets columns be null that somebody made required and the source does not, or has no more.
func (d *dest) relax(ctx context.Context, table string, columns []string) error {
	for _, name := range columns {
		if err := d.ddl(ctx, fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL", d.sqlTable(table), quote(name))); err != nil {
			return err
		}
	}
	return nil
}

// drop removes columns that the source has no more, once the rows without them are there.
func (d *dest) drop(ctx context.Context, table string, gone []string) error {
	if len(gone) == 0 {
		return nil
	}
	for _, name := range gone {
		if err := d.ddl(ctx, fmt.Sprintf("ALTER TABLE %s DROP COLUMN IF EXISTS %s", d.sqlTable(table), quote(name))); err != nil {
			return err
		}
	}
	return nil
}

func (d *dest) sqlTable(name string) string { return quote(d.spec.Project, d.spec.Dataset, name) }

// ddl runs a statement that bills nothing.
func (d *dest) ddl(ctx context.Context, sql string) error {
	return classify(d.again(ctx, func() error {
		job, err := d.client.Query(sql).Run(ctx)
		if err != nil {
			return err
		}
		st, err := job.Wait(ctx)
		if err != nil {
			return err
		}
		return st.Err()
	}), sql)
}

// describe sets comments and labels where they differ, last: the run's label says that the table is published. A later run's stay. It returns
// when the table was made, in milliseconds since 1970.
func (d *dest) describe(ctx context.Context, p *publication) (made int64, err error) {
	for n := 1; ; n++ {
		err = d.again(ctx, func() (err error) { made, err = d.describeOnce(ctx, p); return err })
		if status(err) != http.StatusPreconditionFailed || n == mostTries { // else somebody changed it in between: look again
			return made, classify(err, "describe table "+p.table.Plan.Name)
		}
		if err := d.wait(ctx, n); err != nil {
			return 0, err
		}
	}
}

func (d *dest) describeOnce(ctx context.Context, p *publication) (made int64, err error) {
	plan := p.table.Plan
	md, err := d.table(ctx, plan.Name)
	if err != nil {
		return 0, err
	}
	if md == nil {
		return 0, fault.New(fault.Destination, "bigquery.table_gone", "let nothing else drop it meanwhile", "table %s vanished after its load", plan.Name)
	}
	made = md.CreationTime.UnixMilli()
	if p.overtaken(md) {
		return made, nil
	}
	var up bq.TableMetadataToUpdate
	up.SetLabel(runLabel, label(p.run.ID))
	up.SetLabel(tableLabel, label(plan.Name))
	up.SetLabel(startedLabel, strconv.FormatInt(p.run.Started.UnixMilli(), 10))
	if plan.Comment != "" {
		up.Description = plan.Comment
	}
	up.Schema = described(plan, md.Schema)
	_, err = d.ds.Table(plan.Name).Update(ctx, up, md.ETag)
	return made, err
}

// described is the live schema with the plan's descriptions, nil where nothing would change.
func described(plan connector.TablePlan, live bq.Schema) bq.Schema {
	have, changed := byName(live), false
	for _, c := range plan.Columns {
		f := have[strings.ToLower(c.Name)]
		if f != nil && c.Comment != "" && f.Description != cut(c.Comment) {
			f.Description, changed = cut(c.Comment), true
		}
	}
	if !changed {
		return nil
	}
	return live
}
