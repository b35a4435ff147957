package bigquery

import (
	"context"
	"errors"
	"fmt"
	"strings"

	bq "cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// planTable compares with the live table. It asks for metadata only, which is free.
func (d *dest) planTable(ctx context.Context, req connector.PlanRequest) (*connector.TablePlan, error) {
	if err := d.bucketFits(ctx); err != nil {
		return nil, err
	}
	name, err := d.liveName(ctx, tableName(req.Name))
	if err != nil {
		return nil, err
	}
	p := &connector.TablePlan{Name: name, Comment: req.Comment, Mode: req.Mode, Columns: columns(req.Schema), Rows: -1}
	p.Cost = &connector.Cost{} // loads are free
	if c, ok := plannedColumn(p, req.Cursor); ok {
		p.Cursor = c.Name
	}
	for _, k := range req.Key {
		for _, c := range p.Columns {
			if c.From == k {
				p.Key = append(p.Key, c.Name)
			}
		}
	}
	if err := comparableKey(p); err != nil {
		return nil, err
	}
	if name != req.Name {
		p.Notes = append(p.Notes, fmt.Sprintf("named %s: BigQuery can't hold the name, or has a table whose name differs only by case", name))
	}
	md, err := d.table(ctx, name)
	if err != nil {
		return nil, err
	}
	if md == nil {
		err := arrange(p, req.Layout, nil)
		d.noteLife(p, nil)
		return p, err
	}
	p.Exists, p.Rows, p.Changes = true, int64(md.NumRows), changes(*p, md.Schema)
	p.Reached, err = d.stands(ctx, name, md)
	if err != nil && !(req.Mode == connector.Replace && fault.HasCode(err, codeIntentOld)) { // a table that is published anew goes on from nowhere
		return nil, err
	}
	if req.Mode != connector.Replace {
		if err := keepRows(p, md.Schema); err != nil {
			return nil, err
		}
		if err := arrange(p, req.Layout, md); err != nil {
			return nil, err
		}
		if req.Mode == connector.Merge {
			d.planMerge(p, md)
		}
		d.noteLife(p, md)
		return p, nil
	}
	if err := arrange(p, req.Layout, md); err != nil {
		return nil, err
	}
	if diff := compare(*p, md.Schema); len(diff.rewrite) > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%s can't be altered in place: the table is written with a new schema, descriptions and policy tags put back; row access policies are not",
			strings.Join(diff.rewrite, ", ")))
	}
	d.noteLife(p, md)
	return p, nil
}

// noteLife notes what a table loses by itself.
func (d *dest) noteLife(p *connector.TablePlan, live *bq.TableMetadata) {
	if note := d.life.note(p, live); note != "" {
		p.Notes = append(p.Notes, note)
	}
}

// table is what BigQuery says of a table, nil where there is none.
func (d *dest) table(ctx context.Context, name string) (*bq.TableMetadata, error) {
	ds, err := d.dataset(ctx)
	if err != nil {
		return nil, err
	}
	md, err := ds.Table(name).Metadata(ctx)
	if status(err) == 404 {
		return nil, nil
	}
	return md, classify(err, "look at table "+name)
}

// liveName is the name of the table that is there and differs from name by case at most, else name.
func (d *dest) liveName(ctx context.Context, name string) (string, error) {
	ds, err := d.dataset(ctx)
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names == nil {
		names := map[string]string{}
		for it := ds.Tables(ctx); ; {
			t, err := it.Next()
			if errors.Is(err, iterator.Done) {
				break
			}
			if err != nil {
				return "", classify(err, "list the tables of "+place(d.spec))
			}
			names[strings.ToLower(t.TableID)] = t.TableID
		}
		d.names = names
	}
	if live, ok := d.names[strings.ToLower(name)]; ok {
		return live, nil
	}
	return name, nil
}
