package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/kitamae/kitamae/connector"
)

// metaSchema is the schema of kitamae's own tables:
//
//	runs     every run that published
//	tables   the evidence of every table of every run; state is published, or stale for a table that vanished at
//	         the source and was kept; total is how many rows the table had afterwards, reached where its cursor stands
//	columns  the data dictionary of what is there now
//	stages   what runs have staged and not published
//	leases   who runs, where the state is a folder: see [register]
//
// and, while a run lives, of what it has staged.
const metaSchema = "_kitamae"

var metaDDL = []struct{ name, columns string }{
	{"runs", `id text, "schema" text, started timestamptz, published timestamptz, version text, source text, PRIMARY KEY (id, "schema")`},
	{"tables", `number bigint GENERATED ALWAYS AS IDENTITY, run text, "schema" text, "table" text, state text, mode text, source text, "rows" bigint, total bigint,
		bytes bigint, source_rows bigint, guarantee text, "position" text, read_from timestamptz, read_to timestamptz, level text, sampled bigint, notes text[], reached text`},
	{"columns", `"schema" text, "table" text, "column" text, number integer, type text, source_column text, source_type text, kind text, comment text, note text`},
	{"stages", `id text PRIMARY KEY, run text, "table" text, made timestamptz`},
	{"leases", `"schema" text, name text, value text, version text, PRIMARY KEY ("schema", name)`},
}

func metaTable(name string) string { return ident(metaSchema, name) }

// metaKey is the lock that makes those who create or commit wait for one another: "if not exists" alone does not.
const metaKey = "7160274312066510"

// metaLock takes it until the transaction ends.
const metaLock = "SELECT pg_advisory_xact_lock(" + metaKey + ")"

func metaNames() (names []string) {
	for _, t := range metaDDL {
		names = append(names, t.name)
	}
	return names
}

// grantMeta lets user write the metadata that another user has made.
func grantMeta(user string) string {
	return "GRANT USAGE, CREATE ON SCHEMA " + ident(metaSchema) + " TO " + ident(user) + "; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + ident(metaSchema) + " TO " + ident(user)
}

// createMeta makes what is missing of the metadata. "if not exists" would ask for the right to make schemas also where the schema is there.
func (d *dest) createMeta(ctx context.Context, c *conn) error {
	schema, tables := false, 0
	err := c.value(ctx, "looking for the metadata", "SELECT to_regnamespace("+literal(metaSchema)+") IS NOT NULL, count(*) FROM pg_catalog.pg_class WHERE relnamespace = to_regnamespace("+
		literal(metaSchema)+") AND relname IN ("+literals(metaNames())+")", &schema, &tables)
	if err != nil || tables == len(metaDDL) {
		return err
	}
	stmts := []string{"BEGIN", metaLock}
	if !schema {
		stmts = append(stmts, "CREATE SCHEMA IF NOT EXISTS "+ident(metaSchema))
	}
	for _, t := range metaDDL {
		stmts = append(stmts, "CREATE TABLE IF NOT EXISTS "+metaTable(t.name)+" ("+t.columns+")")
	}
	return d.exec(ctx, c, "creating the metadata", strings.Join(append(stmts, "COMMIT"), "; "))
}

// record are the statements that write a run's line, its evidence and its data dictionary.
func (d *dest) record(run connector.RunRecord, tables []*publishing) []string {
	schema := literal(d.schema)
	stmts := []string{insert("runs", text0(run.ID), schema, moment(run.Started), "clock_timestamp()", text0(run.Version), text0(run.Source))}
	for _, p := range tables {
		t := p.table
		name, e := literal(t.Plan.Name), t.Evidence
		total := fmt.Sprint(p.rows)
		if p.adds() {
			total = fmt.Sprintf("(SELECT count(*) FROM %s)", d.table(t.Plan.Name))
		}
		stmts = append(stmts, fmt.Sprintf(`INSERT INTO %s (run, "schema", "table", state, mode, source, "rows", total, bytes, source_rows, guarantee, "position",
			read_from, read_to, level, sampled, notes, reached) VALUES (%s)`, metaTable("tables"), strings.Join([]string{
			text0(run.ID), schema, name, "'published'", text0(string(t.Plan.Mode)), text0(e.Source), fmt.Sprint(e.Rows), total, fmt.Sprint(e.Bytes),
			known(e.SourceRows), text0(string(e.Guarantee)), text0(e.Position), moment(e.ReadFrom), moment(e.ReadTo), text0(e.Level), fmt.Sprint(e.Sampled),
			textArray(append(e.Notes, p.notes...)), text0(t.Reached)}, ", ")),
			fmt.Sprintf(`DELETE FROM %s WHERE "schema" = %s AND "table" = %s`, metaTable("columns"), schema, name))
		for i, c := range t.Plan.Columns {
			stmts = append(stmts, insert("columns", schema, name, literal(c.Name), fmt.Sprint(i+1), text0(c.Native), text0(c.From), text0(c.Source),
				text0(c.Kind), text0(c.Comment), text0(c.Note)))
		}
	}
	for _, name := range run.Stale {
		stmts = append(stmts, fmt.Sprintf(`INSERT INTO %[1]s (run, "schema", "table", state, mode, source, "rows", total, bytes, source_rows, guarantee, "position", read_from, read_to, level, sampled, notes, reached)
			SELECT %[2]s, "schema", "table", 'stale', mode, source, "rows", total, bytes, source_rows, guarantee, "position", read_from, read_to, level, sampled, notes, reached
			FROM %[1]s WHERE "schema" = %[3]s AND "table" = %[4]s ORDER BY number DESC LIMIT 1`, metaTable("tables"), text0(run.ID), schema, literal(name)))
	}
	return stmts
}

func insert(name string, values ...string) string {
	return "INSERT INTO " + metaTable(name) + " VALUES (" + strings.Join(values, ", ") + ")"
}

// text0 is a text, or NULL for an empty one.
func text0(s string) string {
	if s == "" {
		return "NULL"
	}
	return literal(strings.ReplaceAll(s, "\x00", ""))
}

func textArray(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = literal(strings.ReplaceAll(s, "\x00", ""))
	}
	return "ARRAY[" + strings.Join(quoted, ", ") + "]::text[]"
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "NULL"
	}
	return "timestamptz '" + t.UTC().Format("2006-01-02 15:04:05.999999") + "+00'"
}

// known is n, or NULL for -1.
func known(n int64) string {
	if n < 0 {
		return "NULL"
	}
	return fmt.Sprint(n)
}
