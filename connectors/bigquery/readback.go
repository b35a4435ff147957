package bigquery

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"

	bq "cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	api "google.golang.org/api/bigquery/v2"
	"google.golang.org/api/iterator"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
)

// returning are the types whose values come back by tabledata.list to the last bit. Of FLOAT64 Google does not say how many digits it
// writes; JSON, GEOGRAPHY and others would come back as another text.
var returning = []string{"INT64", "BOOL", "STRING", "BYTES", "NUMERIC", "BIGNUMERIC", "DATE", "TIME", "DATETIME", "TIMESTAMP"}

// microsecond is the precision, in digits, of a TIMESTAMP whose schema does not say it.
const microsecond = 6

// unreadable says why a table's rows would not come back as they are and be loaded again as the plan's, "" where they do.
func unreadable(plan connector.TablePlan, live bq.Schema) string {
	if len(live) != len(plan.Columns) {
		return fmt.Sprintf("%d columns are there and %d come", len(live), len(plan.Columns))
	}
	have := byName(live)
	for _, c := range plan.Columns {
		f := have[strings.ToLower(c.Name)]
		switch {
		case f == nil || f.Repeated || standard(f.Type) != c.Native:
			return "column " + c.Name + " is another one there"
		case !slices.Contains(returning, c.Native) || f.TimestampPrecision > microsecond:
			return "values of " + c.Native + ", as in column " + c.Name + ", do not come back to the last bit"
		case f.PolicyTags != nil:
			return "column " + c.Name + " has policy tags"
		case f.Collation != "":
			return "column " + c.Name + " compares letters without their case"
		}
	}
	return ""
}

// hidden says why some of a table's rows may be hidden from this account, "" where they are not.
func (d *dest) hidden(ctx context.Context, md *bq.TableMetadata, name string) string {
	service, err := d.plain(ctx)
	var list *api.ListRowAccessPoliciesResponse
	if err == nil {
		err = d.again(ctx, func() error {
			list, err = service.RowAccessPolicies.List(d.spec.Project, d.spec.Dataset, name).Context(ctx).Do()
			return err
		})
	}
	switch {
	// The least grants do not let a run look. Then the number of rows that the metadata has tells, which knows no policies.
	case status(err) == http.StatusForbidden && md.NumRows > 0:
		return ""
	case err != nil:
		return fmt.Sprintf("whether row access policies hide rows can't be told: %v", err)
	case len(list.RowAccessPolicies) > 0:
		return "row access policies may hide rows"
	}
	return ""
}

// readBack reads all rows of a partition for free, in schema. A value that its column there can't hold ends it with [moved].
func (d *dest) readBack(ctx context.Context, into string, schema *arrow.Schema) batch.Stream {
	return d.built(schema, func(b *batch.Builder, flush func() bool) error {
		it := d.ds.Table(into).Read(ctx)
		var from []int // where each column's values stand in a row
		for {
			row, err := next(it)
			err = classify(err, "read "+into+" back")
			if errors.Is(err, iterator.Done) || status(err) == http.StatusNotFound { // a partition that is not there yet
				return nil
			}
			if err == nil && from == nil {
				from, err = standIn(it.Schema, schema)
			}
			if err == nil {
				err = putBack(b, schema, row, from)
			}
			if err != nil {
				return err
			}
			if b.Full() && !flush() {
				return nil
			}
		}
	})
}

// standIn finds the columns of schema in what is read.
func standIn(there bq.Schema, schema *arrow.Schema) ([]int, error) {
	from := make([]int, schema.NumFields())
	for i, f := range schema.Fields() {
		from[i] = slices.IndexFunc(there, func(old *bq.FieldSchema) bool { return strings.EqualFold(old.Name, f.Name) })
		if from[i] < 0 {
			return nil, moved{"column " + f.Name + " is not there any more"}
		}
	}
	return from, nil
}

// putBack appends a row.
func putBack(b *batch.Builder, schema *arrow.Schema, row []bq.Value, from []int) error {
	for i, f := range schema.Fields() {
		if !exactly(b.Columns[i], f.Type, row[from[i]]) {
			return moved{fmt.Sprintf("column %s has a value that does not come as %s", f.Name, f.Type)}
		}
	}
	return nil
}

// exactly appends a value to a column of an Arrow type; false where that type has no such value.
func exactly(c *batch.Column, t arrow.DataType, v bq.Value) bool {
	switch v := v.(type) {
	case nil:
		c.Null()
		return true
	case int64:
		return exactInteger(c, t, v)
	case *big.Rat:
		d, ok := t.(*arrow.Decimal128Type)
		if !ok {
			return false
		}
		scaled := new(big.Rat).Mul(v, new(big.Rat).SetInt(pow10(d.Scale)))
		if !scaled.IsInt() || scaled.Num().CmpAbs(pow10(d.Precision)) >= 0 {
			return false
		}
		n := decimal128.FromBigInt(scaled.Num())
		c.Decimal128(n.HighBits(), n.LowBits())
		return true
	}
	ok := false
	switch v.(type) {
	case bool:
		ok = t.ID() == arrow.BOOL
	case string:
		ok = t.ID() == arrow.STRING
	case []byte:
		ok = t.ID() == arrow.BINARY
	case civil.Date:
		ok = t.ID() == arrow.DATE32
	case civil.Time:
		ok = t.ID() == arrow.TIME64
	default: // civil.DateTime, time.Time
		ok = t.ID() == arrow.TIMESTAMP
	}
	if ok {
		put(c, &bq.FieldSchema{}, v)
	}
	return ok
}

func pow10(n int32) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// exactInteger appends a whole number to a column of whole numbers of any width.
func exactInteger(c *batch.Column, t arrow.DataType, v int64) bool {
	if !arrow.IsInteger(t.ID()) {
		return false
	}
	bits := t.(arrow.FixedWidthDataType).BitWidth()
	cut := v << (64 - bits) >> (64 - bits)
	if arrow.IsUnsignedInteger(t.ID()) {
		cut = int64(uint64(v) << (64 - bits) >> (64 - bits))
	}
	if cut != v || bits == 64 && arrow.IsUnsignedInteger(t.ID()) && v < 0 {
		return false
	}
	c.Word(bits/8, uint64(v))
	return true
}
