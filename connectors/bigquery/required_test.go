package bigquery_test

import (
	"strconv"
	"strings"
	"testing"

	bq "cloud.google.com/go/bigquery"
)

// TestRequired: columns that somebody made required stay so where the source has no nulls; the others are relaxed in place, so that the table
// is not written anew.
func TestRequired(t *testing.T) {
	p := newPlace(t, nil)
	tab := p.client.Dataset(p.spec.Dataset).Table("people")
	must := func(name string, typ bq.FieldType) *bq.FieldSchema {
		return &bq.FieldSchema{Name: name, Type: typ, Required: true}
	}
	err := tab.Create(t.Context(), &bq.TableMetadata{Schema: bq.Schema{must("id", bq.IntegerFieldType), must("name", bq.StringFieldType), must("gone", bq.DateFieldType)}, Labels: map[string]string{"kept": "yes"}})
	if err != nil {
		t.Fatal(err)
	}
	dest, req := p.staged(t, "20261129T010000Z-required", 40, "people")
	if notes := req.Tables[0].Plan.Notes; len(notes) > 0 {
		t.Errorf("the plan says %q", notes)
	}
	if out, err := dest.Commit(t.Context(), req); err != nil || !out[0].Published {
		t.Fatalf("commit = %+v, %v", out, err)
	}
	p.wantRows(t, "people", 40)
	md, err := tab.Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range md.Schema {
		got = append(got, f.Name+" "+strconv.FormatBool(f.Required))
	}
	if strings.Join(got, " ") != "id false name false" || md.Labels["kept"] != "yes" { // the emulator forgets what is required when it loads
		t.Errorf("columns required: %v, labels %v", got, md.Labels)
	}
}
