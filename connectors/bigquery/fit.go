package bigquery

import (
	"fmt"
	"strings"

	bq "cloud.google.com/go/bigquery"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// fit looks, while a task's rows are spooled, for values that BigQuery's JSON or GEOGRAPHY would change. One is enough for the whole
// column to be loaded as the text or the bytes it is.
type fit struct {
	plan connector.TablePlan
	rows int64
	json jsonFit
	wkt  []byte
	// found says of a column, by its number, what does not fit, and where.
	found map[int]string
}

func newFit(plan connector.TablePlan) *fit { return &fit{plan: plan, found: map[int]string{}} }

// watch passes rows on.
func (f *fit) watch(rows batch.Stream) batch.Stream {
	if !byText(f.plan) {
		return rows
	}
	return func(yield func(arrow.RecordBatch, error) bool) {
		for rec, err := range rows {
			if err == nil {
				f.look(rec)
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

func (f *fit) look(rec arrow.RecordBatch) {
	for k, c := range f.plan.Columns {
		if f.found[k] != "" {
			continue
		}
		unfit := f.check(c, rec.Column(k))
		if unfit == nil {
			continue
		}
		for i := range int(rec.NumRows()) {
			if rec.Column(k).IsNull(i) {
				continue
			}
			if why := unfit(i); why != "" {
				f.found[k] = fmt.Sprintf("row %d of a task holds %s", f.rows+int64(i)+1, why)
				break
			}
		}
	}
	f.rows += rec.NumRows()
}

func (f *fit) check(c connector.ColumnPlan, arr arrow.Array) func(i int) (why string) {
	switch a := arr.(type) {
	case *array.String:
		if apiType(c.Native) == bq.JSONFieldType {
			return func(i int) string {
				v := a.Value(i)
				return f.json.unfit([]byte(v))
			}
		}
	case *array.Binary:
		if apiType(c.Native) == bq.GeographyFieldType {
			return func(i int) (why string) {
				f.wkt, why = appendWKT(f.wkt[:0], a.Value(i))
				return why
			}
		}
	}
	return nil
}

// settleTypes is [settled] for the receipts of a table that is to be published.
func (d *dest) settleTypes(t *connector.CommitTable) (notes []string, err error) {
	st, err := d.parseStage(t.Stage)
	if err != nil {
		return nil, err
	}
	shards, err := st.shards(t.Receipts)
	if err != nil {
		return nil, err
	}
	t.Plan, notes = settled(t.Plan, shards)
	return notes, nil
}

// settled is the plan as it can be loaded: with the types that all staged values fit. Its notes say which columns are other than planned.
func settled(plan connector.TablePlan, shards []shard) (connector.TablePlan, []string) {
	var notes []string
	columns := append([]connector.ColumnPlan(nil), plan.Columns...)
	for _, s := range shards {
		for k := range columns {
			why, c := s.Unfit[k], &columns[k]
			if why == "" {
				continue
			}
			planned := c.Native
			if c.Native = plainTypes[planned]; c.Native == "" { // another task has settled it
				c.Native = planned
				continue
			}
			c.Note = fmt.Sprintf("%s in place of %s, which would change values: %s", c.Native, planned, why)
			notes = append(notes, fmt.Sprintf("column %s is %s", c.Name, c.Note))
		}
	}
	plan.Columns = columns
	return plan, notes
}

// plainTypes are the types that hold what JSON and GEOGRAPHY would change.
var plainTypes = map[string]string{"JSON": "STRING", "GEOGRAPHY": "BYTES"}

// keepPlain plans columns as text or bytes where the rows that stay have them so, since one of their values did not fit.
func keepPlain(p *connector.TablePlan, live bq.Schema) {
	have := byName(live)
	for i, c := range p.Columns {
		f := have[strings.ToLower(c.Name)]
		if f != nil && !f.Repeated && plainTypes[c.Native] == standard(f.Type) {
			p.Columns[i].Native, p.Columns[i].Note = standard(f.Type), standard(f.Type)+" as in the rows that are there"
		}
	}
}

// fitsThere refuses rows that do not fit the types of those that are there and stay.
func fitsThere(plan connector.TablePlan, live bq.Schema) error {
	have := byName(live)
	for _, c := range plan.Columns {
		if f := have[strings.ToLower(c.Name)]; f != nil && plainTypes[standard(f.Type)] == c.Native {
			return fault.New(fault.Destination, "bigquery.unfit_value",
				fmt.Sprintf("publish the table anew as text: mode: replace, columns: {types: {%s: text}}", c.From),
				"table %s keeps its rows, and column %s is %s in them: %s", plan.Name, c.Name, f.Type, c.Note)
		}
	}
	return nil
}
