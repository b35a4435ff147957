package bigquery_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"github.com/apache/arrow-go/v18/arrow"
	"google.golang.org/api/iterator"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/connectors/bigquery"
	"github.com/kitamae/kitamae/internal/servertest"
)

// sample is one column's values, null first.
type sample struct {
	field  arrow.Field
	native string // planned
	put    []func(c *batch.Column)
	want   []string // as BigQuery's API says them
}

func text(values ...string) (put []func(c *batch.Column)) {
	for _, v := range values {
		put = append(put, func(c *batch.Column) { c.Value([]byte(v)) })
	}
	return put
}

func bits(values ...uint64) (put []func(c *batch.Column)) {
	for _, v := range values {
		put = append(put, func(c *batch.Column) { c.Uint64(v) })
	}
	return put
}

func days(values ...int32) (put []func(c *batch.Column)) {
	for _, v := range values {
		put = append(put, func(c *batch.Column) { c.Uint32(uint32(v)) })
	}
	return put
}

func pointWKB(x, y float64) string {
	b := binary.LittleEndian.AppendUint32([]byte{1}, 1)
	return string(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, math.Float64bits(x)), math.Float64bits(y)))
}

func field(t arrow.DataType, kind, native string) arrow.Field {
	return batch.Field("v", t, true, kind, native, "")
}

// decimal256 puts a decimal without its point, not negative.
func decimal256(digits string) func(*batch.Column) {
	n, _ := new(big.Int).SetString(digits, 10)
	raw := n.FillBytes(make([]byte, 32))
	var words [4]uint64
	for i := range words {
		words[i] = binary.BigEndian.Uint64(raw[24-8*i:])
	}
	return func(c *batch.Column) { c.Decimal256(words) }
}

// samples are the types that a table with JSON or GEOGRAPHY brings as NDJSON, and those that only such a table has.
func samples() map[string]sample {
	micros := func(tz string) arrow.DataType { return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: tz} }
	infinities := bits(math.Float64bits(math.Inf(1)), math.Float64bits(math.Inf(-1)), math.Float64bits(math.NaN()), math.Float64bits(0.1))
	least := int64(math.MinInt64)
	return map[string]sample{
		"int64":  {field(arrow.PrimitiveTypes.Int64, "", "bigint"), "INT64", bits(uint64(least), math.MaxInt64, 1<<53+1), []string{"-9223372036854775808", "9223372036854775807", "9007199254740993"}},
		"uint64": {field(arrow.PrimitiveTypes.Uint64, "", "bigint unsigned"), "NUMERIC", bits(math.MaxUint64, 0), []string{"18446744073709551615", "0"}},
		"float":  {field(arrow.PrimitiveTypes.Float64, "", "double"), "FLOAT64", infinities, []string{"Infinity", "-Infinity", "NaN", "0.1"}},
		"bool":   {field(arrow.FixedWidthTypes.Boolean, "", "bit(1)"), "BOOL", []func(*batch.Column){func(c *batch.Column) { c.Bool(true) }, func(c *batch.Column) { c.Bool(false) }}, []string{"true", "false"}},
		"text":   {field(arrow.BinaryTypes.String, "", "text"), "STRING", text("", "日本\n\"\\\t", "null", "\u2028"), []string{"", "日本\n\"\\\t", "null", "\u2028"}},
		"bytes":  {field(arrow.BinaryTypes.Binary, "", "blob"), "BYTES", text("", "\x00\xff\n"), []string{"", base64.StdEncoding.EncodeToString([]byte("\x00\xff\n"))}},
		"numeric": {
			field(&arrow.Decimal128Type{Precision: 38, Scale: 9}, "", "decimal(38,9)"), "NUMERIC",
			[]func(*batch.Column){func(c *batch.Column) { c.Decimal128(-1, math.MaxUint64) }, func(c *batch.Column) { c.Decimal128(1<<40, 1) }}, []string{"-0.000000001", "20282409603651670423947.251286017"},
		},
		"bignumeric": { // of more digits than Parquet files carry
			field(&arrow.Decimal256Type{Precision: 65, Scale: 30}, "", "decimal(65,30)"), "BIGNUMERIC",
			[]func(*batch.Column){decimal256("15" + strings.Repeat("0", 29)), decimal256(strings.Repeat("3", 65))},
			[]string{"1.5" + strings.Repeat("0", 29), strings.Repeat("3", 35) + "." + strings.Repeat("3", 30)},
		},
		"date":      {field(arrow.FixedWidthTypes.Date32, "", "date"), "DATE", days(0, 2_932_896, -719_162), []string{"1970-01-01", "9999-12-31", "0001-01-01"}},
		"time":      {field(arrow.FixedWidthTypes.Time64us, "", "time"), "TIME", bits(0, 86_399_999_999), []string{"00:00:00", "23:59:59.999999"}},
		"datetime":  {field(micros(""), "", "datetime(6)"), "DATETIME", bits(1, 253_402_300_799_999_999), []string{"1970-01-01T00:00:00.000001", "9999-12-31T23:59:59.999999"}},
		"timestamp": {field(micros("UTC"), "", "timestamp(6)"), "TIMESTAMP", bits(1, 1_700_000_000_123_456), []string{"1", "1700000000123456"}},
		"geometry":  {field(arrow.BinaryTypes.Binary, batch.KindGeometry, "point"), "BYTES", text(pointWKB(200, 1)), []string{base64.StdEncoding.EncodeToString([]byte(pointWKB(200, 1)))}},
		"geography": {
			field(arrow.BinaryTypes.Binary, batch.KindGeometry, "point SRID 4326"), "GEOGRAPHY",
			text(pointWKB(139.69170000000003, 35.689487), pointWKB(-180, -90)), []string{"POINT(139.69170000000003 35.689487)", "POINT(-180 -90)"},
		},
		"json": {
			field(arrow.BinaryTypes.String, batch.KindJSON, "json"), "JSON",
			text(`{"b": [1, 2.5, null, "x\ny"], "a": {"日本": true}}`, "[\n1\r\n]", `"text"`, `12345678901234567890`, `1.5`, `false`, `"null"`, `{}`, `""`),
			[]string{`{"b": [1, 2.5, null, "x\ny"], "a": {"日本": true}}`, `[1]`, `"text"`, `12345678901234567890`, `1.5`, `false`, `"null"`, `{}`, `""`},
		},
	}
}

// staged1 stages one table of a column v beside its row's number, and a JSON column that makes all come as text.
func (p *place) staged1(t *testing.T, run, name string, s sample, tasks ...[]func(c *batch.Column)) (connector.Destination, connector.CommitRequest) {
	t.Helper()
	return p.stagedIn(t, connector.Replace, run, name, s, tasks...)
}

func (p *place) stagedIn(t *testing.T, mode connector.Mode, run, name string, s sample, tasks ...[]func(c *batch.Column)) (connector.Destination, connector.CommitRequest) {
	t.Helper()
	dest, err := bigquery.Connector.Dest.Open(t.Context(), &p.spec, p.env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dest.Close() })
	schema := arrow.NewSchema([]arrow.Field{batch.Field("n", arrow.PrimitiveTypes.Int64, false, "", "bigint", ""), s.field, batch.Field("j", arrow.BinaryTypes.String, true, batch.KindJSON, "json", "")}, nil)
	plan, err := dest.PlanTable(t.Context(), connector.PlanRequest{Name: name, Schema: schema, Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	if plan.Columns[1].Native != s.native || plan.Columns[2].Native != "JSON" {
		t.Errorf("planned as %s and %s, want %s and JSON", plan.Columns[1].Native, plan.Columns[2].Native, s.native)
	}
	stage, err := dest.Stage(t.Context(), connector.StageRequest{Run: run, Epoch: 1, Plan: *plan})
	if err != nil {
		t.Fatal(err)
	}
	req := connector.CommitRequest{Run: connector.RunRecord{ID: run}, Tables: []connector.CommitTable{{Stage: stage, Plan: *plan}}}
	n := 0
	for task, puts := range tasks {
		b, err := batch.NewBuilder(schema, &batch.Pool{}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Release()
		for _, put := range puts {
			b.Columns[0].Uint64(uint64(n))
			put(b.Columns[1])
			b.Columns[2].Value(fmt.Appendf(nil, `{"row":%d}`, n))
			n++
		}
		rec, err := b.Batch()
		if err != nil {
			t.Fatal(err)
		}
		defer rec.Release()
		stream := batch.Of(rec)
		r, err := dest.Write(t.Context(), stage, task, batch.Convert(stream, plan.Schema()))
		if err != nil {
			t.Fatal(err)
		}
		req.Tables[0].Receipts = append(req.Tables[0].Receipts, r)
	}
	return dest, req
}

// said1 is the column v by the row's number, and its type, as BigQuery's API says them.
func (p *place) said1(t *testing.T, table string) (typ bq.FieldType, values map[int64]bq.Value) {
	t.Helper()
	tab := p.client.Dataset(p.spec.Dataset).Table(table)
	md, err := tab.Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	values = map[int64]bq.Value{}
	for it := tab.Read(t.Context()); ; {
		row := map[string]bq.Value{}
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return md.Schema[1].Type, values
		}
		if err != nil {
			t.Fatal(err)
		}
		values[row["n"].(int64)] = row["v"]
		if want := fmt.Sprintf(`{"row":%d}`, row["n"]); row["j"] != want {
			t.Errorf("JSON of row %d is %v", row["n"], row["j"])
		}
	}
}

// plainly is a value as the samples say it.
func plainly(t *testing.T, v bq.Value, s sample) string {
	switch s.native {
	case "TIMESTAMP":
		return fmt.Sprint(v.(time.Time).UnixMicro())
	case "BYTES":
		return base64.StdEncoding.EncodeToString(v.([]byte))
	case "JSON":
		return v.(string)
	case "GEOGRAPHY":
		return strings.ReplaceAll(v.(string), "POINT (", "POINT(")
	case "NUMERIC":
		return strings.TrimSuffix(textOf(t, v, &arrow.Decimal128Type{Precision: 38, Scale: 9}), ".000000000")
	}
	return textOf(t, v, arrow.BinaryTypes.String)
}

// TestTypesAsText brings every type that a table with a JSON column may have, value by value, by NDJSON, directly and through the bucket.
func TestTypesAsText(t *testing.T) {
	address := servertest.GCS(t)
	for name, s := range samples() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, nil)
			p.throughBucket(t, address)
			puts := append([]func(c *batch.Column){func(c *batch.Column) { c.Null() }}, s.put...)
			dest, req := p.staged1(t, "20261129T010000Z-types", "v", s, puts[:2], puts[2:])
			if len(name)%2 == 0 {
				bigquery.SetDirect(dest, 0)
			}
			out, err := dest.Commit(t.Context(), req)
			if err != nil || !out[0].Published || len(out[0].Notes) > 0 {
				t.Fatalf("commit = %+v, %v", out, err)
			}
			typ, got := p.said1(t, "v")
			if string(typ) != map[string]string{"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "BIGNUMERIC": "STRING" /* the front */}[s.native] && string(typ) != s.native {
				t.Errorf("the column is %s, want %s", typ, s.native)
			}
			if len(got) != len(puts) || got[0] != nil {
				t.Errorf("%d rows, the first is %v; want %d and null", len(got), got[0], len(puts))
			}
			for i, want := range s.want {
				v := got[int64(i+1)]
				if v == nil {
					t.Errorf("value %d is null, want %s", i, want)
					continue
				}
				said := plainly(t, v, s)
				same := said == want
				if s.native == "JSON" {
					var a, b any
					same = json.Unmarshal([]byte(said), &a) == nil && json.Unmarshal([]byte(want), &b) == nil && reflect.DeepEqual(a, b)
				}
				if !same {
					t.Errorf("value %d is %s, want %s", i, said, want)
				}
			}
		})
	}
}
