package run

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
)

// Preview is the first rows of a table as they would arrive.
type Preview struct {
	Table  PlannedTable
	Schema *arrow.Schema
	Rows   []arrow.RecordBatch // the caller releases them
}

// Preview reads up to n rows of the table named by its Ref or its name at the destination.
func (s *Session) Preview(ctx context.Context, table string, n int64) (*Preview, error) {
	p, err := s.Plan(ctx)
	if err != nil {
		return nil, err
	}
	at, err := p.find(table)
	if err != nil {
		return nil, err
	}
	scan, err := s.src.Scan(ctx, s.scanRequest(p, []int{at}))
	if err != nil {
		return nil, fmt.Errorf("scan: %w", s.hide(err))
	}
	t := p.Tables[at]
	out := &Preview{Table: t, Schema: t.Target.Schema()}
	for _, part := range scan.Tables[0].Partitions {
		if n <= 0 {
			break
		}
		reading, err := s.src.Read(ctx, part)
		if err != nil {
			return out, fmt.Errorf("read %s: %w", t.Scan.Table.Ref(), s.hide(err))
		}
		for rec, err := range batch.Convert(reading.Rows, out.Schema) {
			if err != nil {
				return out, fmt.Errorf("read %s: %w", t.Scan.Table.Ref(), s.hide(err))
			}
			rows := min(n, rec.NumRows())
			out.Rows = append(out.Rows, rec.NewSlice(0, rows))
			if n -= rows; n <= 0 {
				break
			}
		}
	}
	return out, nil
}

// find looks a table up by either of its names.
func (p *Plan) find(name string) (int, error) {
	var names []string
	for i, t := range p.Tables {
		if name == t.Scan.Table.Ref() || name == t.Target.Name {
			return i, nil
		}
		names = append(names, t.Scan.Table.Ref())
	}
	hint := "see `kitamae plan` for the tables this config selects"
	if near := job.Nearest(name, names); near != "" {
		hint = "did you mean " + near + "?"
	}
	return 0, fault.New(fault.Config, "plan.no_table", hint, "no table %q in this config", name)
}
