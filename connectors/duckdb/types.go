package duckdb

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/duck"
	"github.com/kitamae/kitamae/fault"
)

// The mapping. Every type of the contract has a DuckDB type of the same values, except:
//
//   - decimals of more than 38 digits become VARCHAR (a list of them VARCHAR[]);
//   - MySQL's TIME, a duration of up to 838 hours, becomes INTERVAL, exact to the microsecond;
//   - JSON keeps the source's text, byte for byte, also where DuckDB would not parse it.

// taskColumn says in the staged table which task wrote a row. It is gone before publishing.
const taskColumn = "_kitamae_task"

// columns plans the columns of a table.
func columns(schema *arrow.Schema) ([]connector.ColumnPlan, error) {
	plans := make([]connector.ColumnPlan, schema.NumFields())
	taken := map[string]bool{taskColumn: true}
	for i, f := range schema.Fields() {
		p := connector.ColumnPlan{
			From: f.Name, Name: connector.FreeName(f.Name, taken, fold), Type: connector.Type{DataType: f.Type}, Kind: batch.Meta(f, batch.KindKey),
			Nullable: f.Nullable, Comment: batch.Meta(f, batch.CommentKey), Source: batch.Meta(f, batch.NativeKey),
		}
		if t, kind, note := standIn(f.Type, p.Kind); note != "" {
			p.Type.DataType, p.Kind, p.Note = t, kind, note
		}
		native, ok := duck.SQLType(p.Type.DataType, p.Kind)
		if !ok {
			return nil, fault.New(fault.Internal, "duckdb.type", "set the column's type to text", "column %s: DuckDB can't hold %s", f.Name, p.Type)
		}
		p.Native = native
		if p.Name != f.Name {
			p.Note = strings.TrimSuffix(fmt.Sprintf("named %s, as DuckDB folds case and keeps some names to itself; %s", p.Name, p.Note), "; ")
		}
		plans[i] = p
	}
	return plans, nil
}

// fold is what DuckDB compares names by: ASCII letters in lower case.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}

// standIn is the type and kind that DuckDB holds values of type t as, and a note where a reader
// should know about it.
func standIn(t arrow.DataType, kind string) (arrow.DataType, string, string) {
	switch t := t.(type) {
	case *arrow.DurationType:
		return t, kind, "INTERVAL: DuckDB's TIME ends at 24 hours"
	case *arrow.ListType:
		if elem, _, note := standIn(t.Elem(), ""); note != "" {
			return arrow.ListOf(elem), kind, "a list of " + note
		}
		if _, ok := duck.SQLType(t, kind); !ok {
			return arrow.BinaryTypes.String, batch.KindJSON, "JSON text: DuckDB has no such list"
		}
	case arrow.DecimalType:
		if _, ok := duck.SQLType(t, kind); !ok {
			return arrow.BinaryTypes.String, batch.KindDecimal, "text: DuckDB's DECIMAL ends at 38 digits"
		}
	}
	return t, kind, ""
}

// streamSchema is the plan's schema as DuckDB is shown it: JSON text by its name, so that
// it becomes JSON without being parsed, which some valid texts would not survive.
func streamSchema(plan connector.TablePlan) *arrow.Schema {
	schema := plan.Schema()
	fields := schema.Fields()
	for i, c := range plan.Columns {
		if c.Native == "JSON" {
			fields[i].Metadata = arrow.NewMetadata([]string{"ARROW:extension:name"}, []string{"arrow.json"})
		}
	}
	return arrow.NewSchema(fields, nil)
}
