package bigquery

import (
	"context"
	"slices"
	"strings"

	bq "cloud.google.com/go/bigquery"
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/connector"
)

// append adds the rows to those that are there, by one job whose ID stands in the state. A table that is not there is made
// by the same job, which fails should somebody else have filled one meanwhile.
func (d *dest) append(ctx context.Context, p *publication) error {
	c, err := d.pick(ctx, p)
	if err != nil {
		return err
	}
	if p.live == nil {
		return d.first(ctx, p, c)
	}
	live, err := d.fit(ctx, p)
	if err != nil {
		return err
	}
	return d.load(ctx, p, p.table.Plan.Name, c, fieldsOf(p.table.Plan, live), func(l *bq.LoadConfig) { l.WriteDisposition = bq.WriteAppend })
}

// first fills a table that is not there.
func (d *dest) first(ctx context.Context, p *publication, c *cargo) error {
	return d.load(ctx, p, p.table.Plan.Name, c, fieldsOf(p.table.Plan, nil), func(l *bq.LoadConfig) {
		l.WriteDisposition = bq.WriteEmpty
		laid(l, p.table.Plan, nil)
	})
}

// lossless are the changes of a column's type, made in place, after which every value is what it was.
var lossless = map[string][]string{"INT64": {"NUMERIC", "BIGNUMERIC"}, "NUMERIC": {"BIGNUMERIC"}}

func widens(from, to string) bool { return slices.Contains(lossless[from], to) }

// keepRows fits a plan whose mode keeps rows to the columns that are there.
func keepRows(p *connector.TablePlan, live bq.Schema) error {
	keepPlain(p, live)
	var there []connector.ThereColumn
	for _, f := range live {
		native := standard(f.Type)
		if f.Repeated {
			native = "ARRAY<" + native + ">"
		}
		there = append(there, connector.ThereColumn{Name: f.Name, Native: native})
	}
	if err := connector.KeepColumns(p, there, strings.EqualFold, widens); err != nil {
		return err
	}
	have := byName(live)
	for i, c := range p.Columns {
		if f := have[strings.ToLower(c.Name)]; f != nil && widens(c.Native, standard(f.Type)) {
			p.Columns[i] = asWide(c, standard(f.Type))
		}
	}
	return nil
}

// asWide is a column planned in the wider type that it has there.
func asWide(c connector.ColumnPlan, native string) connector.ColumnPlan {
	if c.Native == "INT64" {
		c.Type = connector.Type{DataType: &arrow.Decimal128Type{Precision: 20}}
		c.Note = strings.TrimPrefix(c.Note+"; ", "; ") + native + " as in the rows that are there"
	}
	c.Native = native
	return c
}

// fit gives a table that keeps its rows the plan's new columns, wider types and layout; columns that were required and can be null now
// are relaxed. All of it is free and loses nothing, so that it may stand without the rows it is for. It returns the table's schema.
func (d *dest) fit(ctx context.Context, p *publication) (bq.Schema, error) {
	plan := p.table.Plan
	if err := fitsThere(plan, p.live.Schema); err != nil {
		return nil, err
	}
	if err := d.rearrange(ctx, plan, p.live); err != nil {
		return nil, err
	}
	live, widened, changed := slices.Clone(p.live.Schema), map[string]string{}, false
	for _, c := range plan.Columns {
		at := slices.IndexFunc(live, func(f *bq.FieldSchema) bool { return strings.EqualFold(f.Name, c.Name) })
		if at < 0 {
			live, changed = append(live, fieldsOf(connector.TablePlan{Columns: []connector.ColumnPlan{c}}, nil)[0]), true
			live[len(live)-1].Required = false // the rows that are there have no value
			continue
		}
		if widens(standard(live[at].Type), c.Native) {
			widened[live[at].Name] = c.Native
		}
	}
	for i, f := range live {
		at := column(&plan, f.Name)
		if f.Required && (at < 0 || plan.Columns[at].Nullable) {
			relaxed := *f
			relaxed.Required = false
			live[i], changed = &relaxed, true
		}
	}
	if changed {
		err := d.again(ctx, func() error {
			_, err := d.ds.Table(plan.Name).Update(ctx, bq.TableMetadataToUpdate{Schema: live}, "")
			return err
		})
		if err != nil {
			return nil, classify(err, "add columns to table "+plan.Name)
		}
	}
	if err := d.widen(ctx, plan.Name, widened); err != nil {
		return nil, err
	}
	for i, f := range live {
		if to, ok := widened[f.Name]; ok {
			wide := *f
			wide.Type = apiType(to)
			live[i] = &wide
		}
	}
	return live, nil
}
