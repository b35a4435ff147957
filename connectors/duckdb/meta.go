package duckdb

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/duck"
)

// metaSchema is the schema of kitamae's own tables in the published file:
//
//	runs     every run that published: when, from where, by which version; previous tells the file it took over from
//	tables   the evidence of every table of every run; state is published, or stale for a table
//	         that vanished at the source and was kept; reached is where the source's cursor stands
//	columns  the data dictionary of what is there now
//
// In the next file a fourth, staging, says whose it is.
const metaSchema = "_kitamae"

var metaDDL = []struct{ name, columns string }{
	{"runs", `id VARCHAR, started TIMESTAMPTZ, published TIMESTAMPTZ, version VARCHAR, source VARCHAR, previous VARCHAR`},
	{"tables", `run VARCHAR, "table" VARCHAR, state VARCHAR, source VARCHAR, "rows" BIGINT, bytes BIGINT, source_rows BIGINT,
		guarantee VARCHAR, position VARCHAR, read_from TIMESTAMPTZ, read_to TIMESTAMPTZ, level VARCHAR, sampled BIGINT, notes VARCHAR[], mode VARCHAR, reached VARCHAR`},
	{"columns", `"table" VARCHAR, "column" VARCHAR, number INTEGER, type VARCHAR, source_column VARCHAR, source_type VARCHAR, kind VARCHAR, comment VARCHAR, note VARCHAR`},
}

// metaTable is a metadata table's full name in SQL.
func metaTable(db *duck.DB, name string) string { return duck.Idents(db.Name, metaSchema, name) }

// publishedIn says whether the run is among the file's runs, and which file it took over
// from. A file without metadata has no runs.
func publishedIn(ctx context.Context, db *duck.DB, run string) (previous string, ok bool) {
	rows, err := db.Texts(ctx, "SELECT previous FROM "+metaTable(db, "runs")+" WHERE id = "+duck.Literal(run))
	if err != nil || len(rows) == 0 {
		return "", false
	}
	return rows[0][0], true
}

// createMeta are the statements that make what is missing of the metadata tables.
func createMeta(db *duck.DB) []string {
	stmts := []string{"CREATE SCHEMA IF NOT EXISTS " + duck.Idents(db.Name, metaSchema)}
	for _, t := range metaDDL {
		stmts = append(stmts, "CREATE TABLE IF NOT EXISTS "+metaTable(db, t.name)+" ("+t.columns+")")
	}
	for _, later := range []string{"mode", "reached"} { // of a file that an older kitamae made
		stmts = append(stmts, "ALTER TABLE "+metaTable(db, "tables")+" ADD COLUMN IF NOT EXISTS "+later+" VARCHAR")
	}
	return stmts
}

// record are the statements that write a run's line, its evidence and its data dictionary. None of it
// goes back on history.
func record(db *duck.DB, req connector.CommitRequest, was stamp) []string {
	run := req.Run
	stmts := []string{insert(db, "runs", text(run.ID), moment(run.Started), moment(time.Now()), text(run.Version), text(run.Source), text(was.String()))}
	for _, t := range req.Tables {
		e := t.Evidence
		stmts = append(stmts, insert(db, "tables", text(run.ID), text(t.Plan.Name), "'published'", text(e.Source),
			fmt.Sprint(e.Rows), fmt.Sprint(e.Bytes), known(e.SourceRows), text(string(e.Guarantee)), text(e.Position),
			moment(e.ReadFrom), moment(e.ReadTo), text(e.Level), fmt.Sprint(e.Sampled), texts(e.Notes), text(string(t.Plan.Mode)), text(t.Reached)))
		stmts = append(stmts, "DELETE FROM "+metaTable(db, "columns")+` WHERE lower("table") = lower(`+duck.Literal(t.Plan.Name)+")")
		var rows []string
		for i, c := range t.Plan.Columns {
			rows = append(rows, strings.Join([]string{text(t.Plan.Name), text(c.Name), fmt.Sprint(i + 1), text(c.Native),
				text(c.From), text(c.Source), text(c.Kind), text(c.Comment), text(c.Note)}, ", "))
		}
		stmts = append(stmts, insert(db, "columns", strings.Join(rows, "), (")))
	}
	for _, name := range run.Stale {
		stmts = append(stmts, fmt.Sprintf(`INSERT INTO %[1]s BY NAME SELECT * REPLACE (%[2]s AS run, 'stale' AS state) FROM %[1]s
			WHERE lower("table") = lower(%[3]s) QUALIFY row_number() OVER (ORDER BY rowid DESC) = 1`,
			metaTable(db, "tables"), text(run.ID), duck.Literal(name)))
	}
	return stmts
}

func insert(db *duck.DB, name string, values ...string) string {
	return "INSERT INTO " + metaTable(db, name) + " VALUES (" + strings.Join(values, ", ") + ")"
}

// comments are the statements that comment a table and its columns.
func comments(db *duck.DB, plan connector.TablePlan) []string {
	name := table(db, plan.Name)
	var stmts []string
	if plan.Comment != "" {
		stmts = append(stmts, "COMMENT ON TABLE "+name+" IS "+duck.Literal(plan.Comment))
	}
	for _, c := range plan.Columns {
		if c.Comment != "" {
			stmts = append(stmts, "COMMENT ON COLUMN "+name+"."+duck.Ident(c.Name)+" IS "+duck.Literal(c.Comment))
		}
	}
	return stmts
}

func text(s string) string {
	if s == "" {
		return "NULL"
	}
	return duck.Literal(s)
}

func texts(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = duck.Literal(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]::VARCHAR[]"
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "NULL"
	}
	return "TIMESTAMPTZ '" + t.UTC().Format("2006-01-02 15:04:05.999999") + "+00'"
}

// known is n, or NULL for -1.
func known(n int64) string {
	if n < 0 {
		return "NULL"
	}
	return fmt.Sprint(n)
}
