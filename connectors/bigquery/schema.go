package bigquery

import (
	"fmt"
	"slices"
	"strings"

	bq "cloud.google.com/go/bigquery"

	"github.com/kitamae/kitamae/connector"
)

// difference is what has to happen to a live table's columns for a plan to fit.
type difference struct {
	added   []string          // ride in the load job
	widened map[string]string // name -> new type: free DDL before the load
	relaxed []string          // no longer required: free DDL before the load
	gone    []string          // dropped after the load
	rewrite []string          // changes that no DDL can make: the table is written with a schema of its own
}

// wider are the changes of type that BigQuery makes in place.
var wider = map[bq.FieldType][]bq.FieldType{
	bq.IntegerFieldType: {bq.NumericFieldType, bq.BigNumericFieldType, bq.FloatFieldType},
	bq.NumericFieldType: {bq.BigNumericFieldType, bq.FloatFieldType},
}

func compare(plan connector.TablePlan, live bq.Schema) difference {
	d := difference{widened: map[string]string{}}
	have := byName(live)
	for _, c := range plan.Columns {
		old := have[strings.ToLower(c.Name)]
		delete(have, strings.ToLower(c.Name))
		switch typ := apiType(c.Native); {
		case old == nil:
			d.added = append(d.added, c.Name)
		case old.Repeated || old.Type == bq.RecordFieldType:
			d.rewrite = append(d.rewrite, c.Name)
		case old.Type == typ:
			if old.Required && c.Nullable {
				d.relaxed = append(d.relaxed, old.Name)
			}
		case slices.Contains(wider[old.Type], typ):
			d.widened[old.Name] = c.Native
		default:
			d.rewrite = append(d.rewrite, c.Name)
		}
	}
	for _, f := range live {
		if have[strings.ToLower(f.Name)] == nil {
			continue
		}
		d.gone = append(d.gone, f.Name)
		if f.Required { // the rows come without it
			d.relaxed = append(d.relaxed, f.Name)
		}
	}
	return d
}

// changes are the lines a plan shows.
func changes(plan connector.TablePlan, live bq.Schema) []string {
	have := byName(live)
	var lines []string
	for _, c := range plan.Columns {
		old := have[strings.ToLower(c.Name)]
		delete(have, strings.ToLower(c.Name))
		if old == nil {
			lines = append(lines, fmt.Sprintf("column %s: new", c.Name))
		} else if was := standard(old.Type); was != c.Native || old.Repeated {
			lines = append(lines, fmt.Sprintf("column %s: %s -> %s", c.Name, was, c.Native))
		}
	}
	for _, f := range live {
		if have[strings.ToLower(f.Name)] != nil {
			lines = append(lines, fmt.Sprintf("column %s: gone", f.Name))
		}
	}
	return lines
}
