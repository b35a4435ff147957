package e2e

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// arrived are the rows of a published table as a stock reader found them: by id, by column.
type arrived map[string]map[string]value

// readDuckDB reads a table of the published file.
func readDuckDB(t *testing.T, p *project, table string, columns []fixtureColumn) arrived {
	t.Helper()
	exprs := []string{"CAST(id AS VARCHAR)"}
	for _, c := range columns {
		e := ident(c.name)
		switch c.form { // what the driver would return as something less exact, or parsed
		case "num", "text", "bool", "time":
			e = "CAST(" + e + " AS VARCHAR)"
		}
		exprs = append(exprs, e)
	}
	rows, err := p.duckdb(t).Query("SELECT " + strings.Join(exprs, ", ") + " FROM " + ident(table))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := arrived{}
	for rows.Next() {
		cells, ptrs := make([]any, len(exprs)), make([]any, len(exprs))
		for i := range cells {
			ptrs[i] = &cells[i]
		}
		if err := rows.Scan(ptrs...); err != nil {
			t.Fatal(err)
		}
		out.add(t, fmt.Sprint(cells[0]), columns, func(k int, _ string) any { return cells[k+1] })
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// add takes one row in; cell is the value of the k-th column, or null.
func (a arrived) add(t *testing.T, id string, columns []fixtureColumn, cell func(k int, name string) any) {
	t.Helper()
	row := map[string]value{}
	for k, c := range columns {
		v, err := canon(c.form, cell(k, c.name))
		if err != nil {
			t.Errorf("row %s, column %s: %v", id, c.name, err)
			continue
		}
		row[c.name] = v
	}
	if _, twice := a[id]; twice {
		t.Errorf("row %s came twice", id)
	}
	a[id] = row
}

// readCSV reads by the standard library, which can't tell a null from an empty text: both are null here.
func readCSV(t *testing.T, paths []string, columns []fixtureColumn) arrived {
	t.Helper()
	out := arrived{}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		records, err := csv.NewReader(f).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		at := map[string]int{}
		for i, name := range records[0] {
			at[name] = i
		}
		for _, rec := range records[1:] {
			out.add(t, rec[at["id"]], columns, func(_ int, name string) any {
				i, ok := at[name]
				if !ok {
					t.Fatalf("%s has no column %s", path, name)
				}
				if rec[i] == "" {
					return nil
				}
				if list := []any{}; rec[i][0] == '[' && json.Unmarshal([]byte(rec[i]), &list) == nil && formOf(columns, name) {
					return numbers(t, rec[i])
				}
				return rec[i]
			})
		}
	}
	return out
}

func formOf(columns []fixtureColumn, name string) (list bool) {
	for _, c := range columns {
		if c.name == name {
			return strings.HasPrefix(c.form, "list ")
		}
	}
	return false
}

// numbers decodes a JSON array without making floats of its numbers.
func numbers(t *testing.T, text string) []any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var list []any
	if err := d.Decode(&list); err != nil {
		t.Fatal(err)
	}
	return list
}

func readNDJSON(t *testing.T, paths []string, columns []fixtureColumn) arrived {
	t.Helper()
	out := arrived{}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		d := json.NewDecoder(bufio.NewReader(f))
		d.UseNumber()
		for d.More() {
			var row map[string]any
			if err := d.Decode(&row); err != nil {
				t.Fatal(err)
			}
			out.add(t, fmt.Sprint(row["id"]), columns, func(k int, name string) any {
				v, ok := row[name]
				if !ok {
					t.Fatalf("%s: no member %s", path, name)
				}
				if s, isText := v.(string); isText && columns[k].form == "bytes" {
					raw, err := base64.StdEncoding.DecodeString(s)
					if err != nil {
						t.Errorf("column %s: %v", name, err)
					}
					return raw
				}
				return v
			})
		}
	}
	return out
}

func readArrow(t *testing.T, paths []string, columns []fixtureColumn) arrived {
	t.Helper()
	out := arrived{}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := ipc.NewFileReader(f)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for i := range r.NumRecords() {
			rec, err := r.RecordBatch(i)
			if err != nil {
				t.Fatal(err)
			}
			out.batch(t, rec, columns)
		}
	}
	return out
}

func readParquet(t *testing.T, paths []string, columns []fixtureColumn) arrived {
	t.Helper()
	out := arrived{}
	for _, path := range paths {
		f, err := file.OpenParquetFile(path, false)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{BatchSize: 1024}, memory.DefaultAllocator)
		if err != nil {
			t.Fatal(err)
		}
		table, err := r.ReadTable(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer table.Release()
		batches := array.NewTableReader(table, 1024)
		defer batches.Release()
		for batches.Next() {
			out.batch(t, batches.RecordBatch(), columns)
		}
	}
	return out
}

func (a arrived) batch(t *testing.T, rec arrow.RecordBatch, columns []fixtureColumn) {
	t.Helper()
	at := func(name string) arrow.Array {
		found := rec.Schema().FieldIndices(name)
		if len(found) != 1 {
			t.Fatalf("%d columns are named %s", len(found), name)
		}
		return rec.Column(found[0])
	}
	for i := range int(rec.NumRows()) {
		a.add(t, fmt.Sprint(arrowValue(at("id"), i, "num")), columns, func(k int, name string) any {
			return arrowValue(at(name), i, columns[k].form)
		})
	}
}

// arrowValue is one value as [canon] takes it, read through arrow-go's own accessors.
func arrowValue(arr arrow.Array, i int, form string) any {
	if arr.IsNull(i) {
		return nil
	}
	switch a := arr.(type) {
	case *array.String:
		return a.Value(i)
	case *array.Binary:
		return a.Value(i)
	case *array.Float32:
		return a.Value(i)
	case *array.Float64:
		return a.Value(i)
	case *array.Decimal128:
		return a.Value(i).ToString(a.DataType().(*arrow.Decimal128Type).Scale)
	case *array.Decimal256:
		return a.Value(i).ToString(a.DataType().(*arrow.Decimal256Type).Scale)
	case *array.Date32:
		return a.Value(i).ToTime()
	case *array.Timestamp:
		return a.Value(i).ToTime(a.DataType().(*arrow.TimestampType).Unit)
	case *array.Time64:
		return clockText(int64(a.Value(i)))
	case *array.Duration:
		return clockText(int64(a.Value(i)))
	case *array.MonthDayNanoInterval:
		v := a.Value(i)
		return intervalText(form, int64(v.Months), int64(v.Days), v.Nanoseconds/1000)
	case *array.List:
		from, to := a.ValueOffsets(i)
		list := []any{}
		for k := from; k < to; k++ {
			list = append(list, arrowValue(a.ListValues(), int(k), strings.TrimPrefix(form, "list ")))
		}
		return list
	case *array.Boolean:
		return strconv.FormatBool(a.Value(i))
	}
	return arr.ValueStr(i) // integers
}
