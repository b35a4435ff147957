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

// TestPutBack: the schema that a table is written anew with has what people gave its columns: policy tags, and descriptions where the source has none.
func TestPutBack(t *testing.T) {
	tags := &bq.PolicyTagList{Names: []string{"projects/acme/locations/us/taxonomies/1/policyTags/2"}}
	plan := connector.TablePlan{Columns: []connector.ColumnPlan{{Name: "born", Native: "DATE"}, {Name: "name", Native: "STRING", Comment: "the source's"}}}
	live := bq.Schema{
		{Name: "Born", Type: bq.StringFieldType, Description: "by hand", PolicyTags: tags},
		{Name: "name", Type: bq.StringFieldType, Description: "by hand", PolicyTags: tags},
	}
	if diff := compare(plan, live); len(diff.rewrite) != 1 {
		t.Fatalf("%+v", diff)
	}
	for i, want := range []string{"by hand", "the source's"} {
		if f := fieldsOf(plan, live)[i]; f.PolicyTags != tags || f.Description != want || f.Name != live[i].Name {
			t.Errorf("%s, described %q, with tags %v; want %s, %q, %v", f.Name, f.Description, f.PolicyTags, live[i].Name, want, tags)
		}
	}
}
