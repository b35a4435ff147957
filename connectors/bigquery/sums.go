package bigquery

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"

	bq "cloud.google.com/go/bigquery"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
)

// sums are the sums over a table's columns, computed here from Arrow batches and there by SQL, by code that shares nothing.
type sums struct {
	columns []*columnSums
}

// columnSums sums up one column: how many values are not null, and by type the least and the greatest, exact sums, lengths.
type columnSums struct {
	plan  connector.ColumnPlan
	exprs []string // SQL after COUNT, each of type STRING
	what  []string // what each is, for people
	count int64

	total       big.Int
	low, high   *big.Rat
	text        bool
	least, most []byte
	special     int64            // NaN, or true
	kinds       map[string]int64 // of JSON values
}

func sumsOf(plan connector.TablePlan) *sums {
	s := &sums{}
	for _, c := range plan.Columns {
		s.columns = append(s.columns, newColumnSums(c))
	}
	return s
}

func newColumnSums(c connector.ColumnPlan) *columnSums {
	name := quote(c.Name)
	s := &columnSums{plan: c, kinds: map[string]int64{}}
	add := func(what, expr string) {
		s.what, s.exprs = append(s.what, what), append(s.exprs, "CAST("+expr+" AS STRING)")
	}
	number := func(x string) {
		add("sum", "SUM(CAST("+x+" AS NUMERIC))")
		add("least", "MIN("+x+")")
		add("greatest", "MAX("+x+")")
	}
	switch c.Native {
	case "INT64", "NUMERIC":
		number(name)
	case "DATE":
		number("UNIX_DATE(" + name + ")")
	case "TIMESTAMP":
		number("UNIX_MICROS(" + name + ")")
	case "DATETIME":
		number("DATETIME_DIFF(" + name + ", DATETIME '1970-01-01 00:00:00', MICROSECOND)")
	case "TIME":
		number("TIME_DIFF(" + name + ", TIME '00:00:00', MICROSECOND)")
	case "BIGNUMERIC": // whose sum may be more than it holds
		add("least", "MIN("+name+")")
		add("greatest", "MAX("+name+")")
	case "FLOAT64":
		add("NaN", "COUNTIF(IS_NAN("+name+"))")
		add("least", "MIN(IF(IS_NAN("+name+"), NULL, "+name+"))")
		add("greatest", "MAX(IF(IS_NAN("+name+"), NULL, "+name+"))")
	case "BOOL":
		add("true", "COUNTIF("+name+")")
	case "JSON":
		for _, kind := range []string{"object", "array", "string", "number", "boolean"} {
			add(kind, "COUNTIF(JSON_TYPE("+name+") = '"+kind+"')")
		}
	case "STRING":
		s.text = true
		add("bytes", "SUM(BYTE_LENGTH("+name+"))")
		add("least", "MIN("+name+")")
		add("greatest", "MAX("+name+")")
	case "BYTES":
		s.text = true
		add("bytes", "SUM(BYTE_LENGTH("+name+"))")
		add("least", "TO_HEX(MIN("+name+"))")
		add("greatest", "TO_HEX(MAX("+name+"))")
	}
	return s
}

// sql is the query: one row, of texts.
func (s *sums) sql(table string) string {
	exprs := []string{"CAST(COUNT(*) AS STRING)"}
	for _, c := range s.columns {
		exprs = append(exprs, "CAST(COUNT("+quote(c.plan.Name)+") AS STRING)")
		exprs = append(exprs, c.exprs...)
	}
	for i := range exprs {
		exprs[i] += fmt.Sprintf(" AS s%d", i)
	}
	return "SELECT " + strings.Join(exprs, ", ") + " FROM " + table
}

func (s *sums) add(rec arrow.RecordBatch) {
	for k, c := range s.columns {
		col := rec.Column(k)
		c.count += int64(col.Len() - col.NullN())
		for i := range col.Len() {
			if !col.IsNull(i) {
				c.value(col, i)
			}
		}
	}
}

func (c *columnSums) value(col arrow.Array, i int) {
	switch a := col.(type) {
	case *array.String:
		switch c.plan.Native {
		case "JSON":
			c.kinds[jsonKind(a.Value(i))]++
		case "BIGNUMERIC":
			n, _ := new(big.Rat).SetString(a.Value(i)) // a decimal that was one before it became text
			c.bounds(n)
		default:
			c.bytes([]byte(a.Value(i)))
		}
	case *array.Binary:
		c.bytes(a.Value(i))
	case *array.Boolean:
		if a.Value(i) {
			c.special++
		}
	case *array.Float64:
		v := a.Value(i)
		switch {
		case math.IsNaN(v):
			c.special++
		case math.IsInf(v, 0): // no Rat is one
			c.bytes(batch.AppendText(nil, col, i))
		default:
			c.bounds(new(big.Rat).SetFloat64(v))
		}
	case *array.Decimal128:
		scale := a.DataType().(*arrow.Decimal128Type).Scale
		n := a.Value(i).BigInt()
		c.total.Add(&c.total, n)
		c.bounds(new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)))
	case *array.Date32:
		c.integer(int64(a.Value(i)))
	case *array.Time64:
		c.integer(int64(a.Value(i)))
	case *array.Timestamp:
		c.integer(int64(a.Value(i)))
	default: // whole numbers of all widths
		n, _ := new(big.Int).SetString(string(batch.AppendText(nil, col, i)), 10)
		c.total.Add(&c.total, n)
		c.bounds(new(big.Rat).SetInt(n))
	}
}

// jsonKind is what JSON_TYPE says of a JSON text. A null is not among the values that become JSON.
func jsonKind(text string) string {
	text = strings.TrimLeft(text, " \t\r\n")
	switch first := text[:min(len(text), 1)]; first {
	case "{":
		return "object"
	case "[":
		return "array"
	case `"`:
		return "string"
	case "t", "f":
		return "boolean"
	}
	return "number"
}

func (c *columnSums) integer(v int64) {
	n := big.NewInt(v)
	c.total.Add(&c.total, n)
	c.bounds(new(big.Rat).SetInt(n))
}

func (c *columnSums) bounds(v *big.Rat) {
	if c.low == nil || v.Cmp(c.low) < 0 {
		c.low = v
	}
	if c.high == nil || v.Cmp(c.high) > 0 {
		c.high = v
	}
}

func (c *columnSums) bytes(v []byte) {
	if !c.text { // an infinity
		if v[0] == '-' {
			c.least = []byte("-inf")
		} else {
			c.most = []byte("inf")
		}
		return
	}
	c.total.Add(&c.total, big.NewInt(int64(len(v))))
	if c.least == nil || bytes.Compare(v, c.least) < 0 {
		c.least = append(make([]byte, 0, len(v)), v...)
	}
	if c.most == nil || bytes.Compare(v, c.most) > 0 {
		c.most = append(make([]byte, 0, len(v)), v...)
	}
}

// want is one of the sums as SQL says it, nil for NULL.
func (c *columnSums) want(what string) any {
	switch {
	case what == "NaN" || what == "true":
		return big.NewRat(c.special, 1)
	case c.plan.Native == "JSON":
		return big.NewRat(c.kinds[what], 1)
	case c.count == 0:
		return nil
	case what == "bytes":
		return new(big.Rat).SetInt(&c.total)
	case what == "sum":
		scale := int64(0)
		if d, ok := c.plan.Type.DataType.(arrow.DecimalType); ok {
			scale = int64(d.GetScale())
		}
		return new(big.Rat).SetFrac(&c.total, new(big.Int).Exp(big.NewInt(10), big.NewInt(scale), nil))
	}
	bound, rat := c.least, c.low
	if what == "greatest" {
		bound, rat = c.most, c.high
	}
	switch {
	case c.plan.Native == "BYTES":
		return hex.EncodeToString(bound)
	case bound != nil:
		return string(bound)
	case rat == nil && c.least != nil: // a column of infinities of one sign
		return string(c.least)
	case rat == nil && c.most != nil:
		return string(c.most)
	case rat == nil: // NaN only
		return nil
	}
	return rat
}

// differences compares with the row that the query answered.
func (s *sums) differences(row []bq.Value) (diffs []string) {
	next := func() (v any) {
		if len(row) > 0 {
			v, row = row[0], row[1:]
		}
		return v
	}
	next() // the rows are counted by the load
	for _, c := range s.columns {
		wants := []any{big.NewRat(c.count, 1)}
		for _, what := range c.what {
			wants = append(wants, c.want(what))
		}
		for i, what := range slices.Concat([]string{"values"}, c.what) {
			if got := next(); !sameSum(got, wants[i], c.plan.Native == "FLOAT64") {
				diffs = append(diffs, fmt.Sprintf("column %s, %s: %v, want %v", c.plan.Name, what, got, shown(wants[i])))
			}
		}
	}
	return diffs
}

func shown(want any) any {
	if r, ok := want.(*big.Rat); ok {
		digits, _ := r.FloatPrec()
		return r.FloatString(min(digits, 38))
	}
	return want
}

func sameSum(got bq.Value, want any, float bool) bool {
	text, ok := got.(string)
	if !ok || want == nil {
		return got == nil && want == nil
	}
	r, ok := want.(*big.Rat)
	if !ok {
		return text == want
	}
	said, ok := new(big.Rat).SetString(text)
	if !ok {
		return false
	}
	if float { // as text it is the shortest that reads back the same
		a, _ := said.Float64()
		b, _ := r.Float64()
		return a == b
	}
	return said.Cmp(r) == 0
}
