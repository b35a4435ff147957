package bigquery

import (
	"slices"
	"testing"

	bq "cloud.google.com/go/bigquery"

	"github.com/kitamae/kitamae/connector"
)

// TestRequiredColumns: nothing is made required; what somebody made so stays so where the source has no nulls, and is relaxed, not
// rewritten, where it has some or the column is gone.
func TestRequiredColumns(t *testing.T) {
	plan := connector.TablePlan{Columns: []connector.ColumnPlan{{Name: "id", Native: "INT64"}, {Name: "name", Native: "STRING", Nullable: true}, {Name: "more", Native: "DATE"}}}
	live := bq.Schema{{Name: "id", Type: bq.IntegerFieldType, Required: true}, {Name: "Name", Type: bq.StringFieldType, Required: true}, {Name: "gone", Type: bq.DateFieldType, Required: true}}
	diff := compare(plan, live)
	if !slices.Equal(diff.relaxed, []string{"Name", "gone"}) || len(diff.rewrite) > 0 || !slices.Equal(diff.gone, []string{"gone"}) {
		t.Errorf("%+v", diff)
	}
	for i, want := range []bool{true, false, false} {
		if f := fieldsOf(plan, live)[i]; f.Required != want {
			t.Errorf("%s is required: %v", f.Name, f.Required)
		}
		if f := fieldsOf(plan, nil)[i]; f.Required {
			t.Errorf("a new table requires %s", f.Name)
		}
	}
}
