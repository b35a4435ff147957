package bigquery

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// texts is a staged table of all types, of which two rows are worth a look and one has nothing but nulls.
func texts(t *testing.T) (*dest, *stage, []shard) {
	t.Helper()
	square := wkb(binary.LittleEndian, kind(7), 2, kind(3), 1, 5, 0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 2.0, 1e-7, 0.0, 0.0, kind(1), 139.6917, 35.689487)
	field := func(name string, typ arrow.DataType, kind, native string) arrow.Field {
		return batch.Field(name, typ, true, kind, native, "")
	}
	us := arrow.Microsecond
	schema := arrow.NewSchema([]arrow.Field{
		field("i", arrow.PrimitiveTypes.Int64, "", ""), field("small", arrow.PrimitiveTypes.Uint16, "", ""),
		field("n", &arrow.Decimal128Type{Precision: 38, Scale: 9}, "", ""), field("f", arrow.PrimitiveTypes.Float64, "", ""),
		field("b", arrow.FixedWidthTypes.Boolean, "", ""), field("s", arrow.BinaryTypes.String, "", ""), field("x", arrow.BinaryTypes.Binary, "", ""),
		field("d", arrow.FixedWidthTypes.Date32, "", ""), field("t", &arrow.Time64Type{Unit: us}, "", ""),
		field("dt", &arrow.TimestampType{Unit: us}, "", ""), field("ts", &arrow.TimestampType{Unit: us, TimeZone: "UTC"}, "", ""),
		field("j", arrow.BinaryTypes.String, batch.KindJSON, "json"), field("g", arrow.BinaryTypes.Binary, batch.KindGeometry, "geography"),
	}, nil)
	plan := connector.TablePlan{Name: "t", Columns: columns(schema)}
	rows := fmt.Sprintf(`[
		{"i": -9223372036854775808, "small": 65535, "n": "-99999999999999999999999999999.000000001", "f": -0.0, "b": true, "s": "a \"q\" \\ \u2028 \t 名😀", "x": "AAH/",
		 "d": "0001-01-01", "t": "23:59:59.999999", "dt": -62135596799999999, "ts": 253402300799999999, "j": "{\"a\": [1, 2.50, \"名\\n\"],\n\"b\": null}", "g": %q},
		{"i": 9007199254740993, "small": 0, "n": "0", "f": "NaN", "b": false, "s": "", "x": "", "d": "9999-12-31", "t": "00:00:00", "dt": -1, "ts": 0, "j": "\"1\"", "g": %q}, {}]`, base64.StdEncoding.EncodeToString(square), base64.StdEncoding.EncodeToString(wkb(binary.BigEndian, kind(1), -180.0, 0.30000000000000004)))
	rec, _, err := array.RecordFromJSON(memory.DefaultAllocator, plan.Schema(), strings.NewReader(rows))
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	d := newDest(Spec{Project: "p", Dataset: "d"}, connector.Env{Dir: t.TempDir()})
	t.Cleanup(func() { _ = d.Close() })
	raw, err := d.Stage(t.Context(), connector.StageRequest{Run: "r", Epoch: 1, Plan: plan})
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.Write(t.Context(), raw, 0, batch.Of(rec))
	if err != nil {
		t.Fatal(err)
	}
	st, err := d.parseStage(raw)
	if err != nil {
		t.Fatal(err)
	}
	shards, err := st.shards([]connector.Receipt{r})
	if err != nil {
		t.Fatal(err)
	}
	if len(shards[0].Unfit) > 0 {
		t.Fatalf("not all is loaded as what it is: %v", shards[0].Unfit)
	}
	return d, st, shards
}

// TestTextIsVerified: NDJSON that has any value other than the rows that were verified is not loaded.
func TestTextIsVerified(t *testing.T) {
	d, st, shards := texts(t)
	c, err := d.pack(t.Context(), st, st.Plan, shards)
	if err != nil {
		t.Fatal(err)
	}
	twice := append(c.files, c.files...)
	for what, files := range map[string][]shard{"no rows": nil, "rows after the last": twice} {
		if err := d.compareText(t.Context(), st, st.Plan, shards, files); !fault.HasCode(err, "bigquery.text") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, tc := range []struct{ column, wrong string }{
		{"i", `"-9223372036854775807"`}, {"i", "-9223372036854775808.0"}, {"small", "65534"}, {"n", `"-99999999999999999999999999999.000000002"`}, {"f", "0"}, {"f", "null"}, {"b", "false"},
		{"s", `"a \"q\" \\ \u2028 \t 名"`}, {"s", `""`}, {"x", `"AAH+"`}, {"x", `"\\x0001ff"`}, {"d", `"0001-01-02"`}, {"t", `"23:59:59.999998"`}, {"t", `"23:59:59"`},
		{"dt", `"0001-01-01T00:00:00.000002"`}, {"ts", `"9999-12-31T23:59:59.999999+09:00"`}, {"j", `{"a": [1, 2.5, "名\n"], "b": null}`}, {"j", `{"a": [1, 2.50, "名\n"]}`}, {"j", "null"},
		{"g", `"GEOMETRYCOLLECTION(POLYGON((0 0, 2 1e-07, 2 2, 0 2, 0 0)), POINT(139.6917 35.689488))"`}, {"g", `"GEOMETRYCOLLECTION(POLYGON((0 0, 2 1e-07, 2 2, 0 2, 0 0)))"`},
		{"g", `"POINT(139.6917 35.689487)"`}, {"i", `"1", "more": 2`}, {"i", `"`},
	} {
		t.Run(tc.column+" "+tc.wrong, func(t *testing.T) {
			d.text = func(c connector.ColumnPlan, arr arrow.Array) func([]byte, int) []byte {
				right := asBigQuery(c, arr)
				if c.Name != tc.column {
					return right
				}
				return func(dst []byte, i int) []byte {
					if i == 0 {
						return append(dst, tc.wrong...)
					}
					if right == nil {
						return append(dst, "null"...)
					}
					return right(dst, i)
				}
			}
			_, err := d.pack(t.Context(), st, st.Plan, shards)
			if !fault.HasCode(err, "bigquery.text") || fault.ExitCode(err) != 5 || !strings.Contains(err.Error(), "table t: ") || !strings.Contains(err.Error(), "row 1 has ") {
				t.Errorf("%v; want it told from what was verified", err)
			}
			if structure := strings.Contains(tc.wrong, "more") || tc.wrong == `"`; err != nil && !structure && !strings.HasSuffix(err.Error(), "another value in column "+tc.column) {
				t.Errorf("%v; want column %s named", err, tc.column)
			}
		})
	}
}
