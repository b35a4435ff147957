package bigquery_test

import (
	"strings"
	"testing"

	bq "cloud.google.com/go/bigquery"

	"github.com/kitamae/kitamae/connector"
)

// TestUnfit: one value of any task that JSON or GEOGRAPHY would change makes the column text or bytes, as it was, and says so; a later run whose
// values fit gives it its type.
func TestUnfit(t *testing.T) {
	for _, tc := range []struct {
		sample, bad, why string
		typ              bq.FieldType
	}{
		{"json", `{"n": 3.14159265358979323846}`, "a number of more digits", bq.StringFieldType},
		{"json", `null`, "a JSON null", bq.StringFieldType},
		{"geography", pointWKB(35, 139), "no longitude", bq.BytesFieldType},
	} {
		t.Run(tc.sample+" "+tc.why, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, nil)
			s := samples()[tc.sample]
			dest, req := p.staged1(t, "20261129T010000Z-unfit", "v", s, s.put, text(tc.bad))
			out, err := dest.Commit(t.Context(), req)
			if err != nil || !out[0].Published {
				t.Fatalf("commit = %+v, %v", out, err)
			}
			if said := strings.Join(out[0].Notes, "\n"); !strings.Contains(said, "column v is "+string(tc.typ)) || !strings.Contains(said, "row 1 of a task holds ") || !strings.Contains(said, tc.why) {
				t.Errorf("notes %q", said)
			}
			typ, got := p.said1(t, "v")
			v := got[int64(len(s.put))]
			if b, ok := v.([]byte); ok {
				v = string(b)
			}
			if typ != tc.typ || v != tc.bad {
				t.Errorf("%s %v, want %s %s", typ, v, tc.typ, tc.bad)
			}
			dest, req = p.staged1(t, "20261129T020000Z-fit", "v", s, s.put)
			if changes := strings.Join(req.Tables[0].Plan.Changes, "; "); !strings.Contains(changes, "column v: "+string(tc.typ)+" -> "+s.native) {
				t.Errorf("planned changes: %q", changes)
			}
			if out, err := dest.Commit(t.Context(), req); err != nil || !out[0].Published || len(out[0].Notes) > 0 {
				t.Fatalf("commit = %+v, %v", out, err)
			}
			if typ, _ := p.said1(t, "v"); string(typ) != s.native {
				t.Errorf("the column is %s once its values fit, want %s", typ, s.native)
			}
		})
	}
}

// TestUnfitAppended: rows are added to text as text, though they would fit; and to JSON only where they fit.
func TestUnfitAppended(t *testing.T) {
	const bad = `{"n": 3.14159265358979323846}`
	publish := func(t *testing.T, p *place, run, native string, values ...string) connector.Outcome {
		t.Helper()
		s := samples()["json"]
		s.native = native
		dest, req := p.stagedIn(t, connector.Append, run, "v", s, text(values...))
		out, err := dest.Commit(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return out[0]
	}
	t.Run("to text", func(t *testing.T) {
		p := newPlace(t, nil)
		if out := publish(t, p, "20261129T010000Z-a", "JSON", bad); !out.Published {
			t.Fatalf("%+v", out)
		}
		if out := publish(t, p, "20261129T020000Z-b", "STRING", `{"n": 1}`); !out.Published || len(out.Notes) > 0 {
			t.Fatalf("%+v", out)
		}
		p.wantCount(t, "v", 2)
	})
	t.Run("to JSON", func(t *testing.T) {
		p := newPlace(t, nil)
		if out := publish(t, p, "20261129T010000Z-a", "JSON", `{"n": 1}`); !out.Published {
			t.Fatalf("%+v", out)
		}
		if out := publish(t, p, "20261129T020000Z-b", "JSON", bad); out.Published || !strings.Contains(out.Why, "column v is JSON in them: STRING in place of JSON") {
			t.Errorf("%+v, want it held back", out)
		}
		if out := publish(t, p, "20261129T030000Z-c", "JSON", `{"n": 2}`); !out.Published {
			t.Fatalf("%+v", out)
		}
		p.wantCount(t, "v", 2)
	})
}
