package duckdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/duck"
)

// Two ways lead to a file with the new tables and everything else that was there:
//
//   - into: the next file, which has the new tables, receives the kept tables, the views and
//     the history. Nothing that is replaced is ever copied.
//   - copy: a copy of the published file, block by block, receives the new tables. Whatever people made there
//     survives because nobody touches it: macros, types, sequences, indexes, constraints, schemas.
//
// The first is taken where everything to keep can be made again from its description, and is less than what is new.

// old is the name of the file that is copied from, in SQL.
const oldName = "_kitamae_old"

// light says whether the first way will do.
func (c *catalog) light(req connector.CommitRequest, stagedRows int64) bool {
	if !c.exists {
		return true
	}
	var kept int64
	for _, r := range c.kept(req) {
		kept += r.rows
	}
	for _, t := range req.Tables {
		if r := c.added(t); r != nil {
			kept += r.rows
		}
	}
	return len(c.others) == 0 && kept <= stagedRows
}

// kept are kitamae's tables that the request does not replace.
func (c *catalog) kept(req connector.CommitRequest) []*relation {
	replaced := map[string]bool{}
	for _, t := range req.Tables {
		replaced[fold(t.Plan.Name)] = true
	}
	var kept []*relation
	for key, r := range c.relations {
		if r.made && !r.view && !replaced[key] {
			kept = append(kept, r)
		}
	}
	slices.SortFunc(kept, func(a, b *relation) int { return strings.Compare(a.name, b.name) })
	return kept
}

// added is the table that a commit adds rows to, nil where it makes or replaces one.
func (c *catalog) added(t connector.CommitTable) *relation {
	if t.Plan.Mode != connector.Append {
		return nil
	}
	return c.relations[fold(t.Plan.Name)]
}

var errViewLost = errors.New("a view can't be made again")

func isViewLost(err error) bool { return errors.Is(err, errViewLost) }

// commitInto completes the next file in one transaction.
func (d *dest) commitInto(ctx context.Context, live *catalog, req connector.CommitRequest) error {
	w := d.work
	stmts := createMeta(w.db)
	if live.exists {
		if _, err := w.db.Exec(ctx, "ATTACH "+duck.Literal(d.path)+" AS "+oldName+" (READ_ONLY)"); err != nil {
			return err
		}
		defer func() { _, _ = w.db.Exec(context.WithoutCancel(ctx), "DETACH DATABASE IF EXISTS "+oldName) }()
		for _, r := range live.kept(req) {
			stmts = append(stmts, fmt.Sprintf("CREATE TABLE %s AS SELECT * FROM %s", table(w.db, r.name), duck.Idents(oldName, "main", r.name)))
		}
		more, err := carryTexts(ctx, w.db, live)
		if err != nil {
			return err
		}
		stmts = append(stmts, more...)
	}
	for i, t := range req.Tables {
		name := table(w.db, t.Plan.Name)
		if r := live.added(t); r != nil { // the rows that are there, then the new ones
			both := table(w.db, fmt.Sprintf("_kitamae_both_%d", i))
			stmts = append(stmts,
				fmt.Sprintf("CREATE TABLE %s AS SELECT * FROM %s UNION ALL BY NAME SELECT * EXCLUDE (%s) FROM %s", both, duck.Idents(oldName, "main", r.name), taskColumn, name),
				"DROP TABLE "+name, "ALTER TABLE "+both+" RENAME TO "+duck.Ident(t.Plan.Name))
			continue
		}
		stmts = append(stmts, "ALTER TABLE "+name+" DROP COLUMN "+taskColumn)
	}
	stmts = append(stmts, finish(w.db, req, live.stamp)...)
	stmts = append(stmts, "DROP TABLE "+metaTable(w.db, "staging"))
	if len(live.views) > 0 {
		order, err := d.viewOrder(ctx, live, req)
		if err != nil {
			return err
		}
		stmts = append(append(stmts, "USE "+duck.Idents(w.db.Name, "main")), order...)
	}
	if err := transaction(ctx, w.db, stmts); err != nil {
		return err
	}
	w.whole, w.previous = true, live.stamp.String()
	return nil
}

// viewOrder finds an order in which the views can be made, as one may need another: by trying
// on an engine that has the same tables without rows under the same names.
func (d *dest) viewOrder(ctx context.Context, live *catalog, req connector.CommitRequest) ([]string, error) {
	db, err := duck.Open(ctx, duck.Options{MemoryBytes: d.memory, Threads: 1})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	name := duck.CatalogName(d.path)
	stmts := []string{"ATTACH ':memory:' AS " + duck.Ident(name), "CREATE SCHEMA " + duck.Idents(name, metaSchema)}
	for _, t := range metaDDL {
		stmts = append(stmts, "CREATE TABLE "+duck.Idents(name, metaSchema, t.name)+" ("+t.columns+")")
	}
	for _, t := range req.Tables {
		var cols []string
		planned := map[string]bool{}
		for _, c := range t.Plan.Columns {
			cols = append(cols, duck.Ident(c.Name)+" "+c.Native)
			planned[fold(c.Name)] = true
		}
		if r := live.added(t); r != nil {
			for _, c := range r.columns {
				if !planned[fold(c.name)] {
					cols = append(cols, duck.Ident(c.name)+" "+c.typ)
				}
			}
		}
		stmts = append(stmts, "CREATE TABLE "+duck.Idents(name, "main", t.Plan.Name)+" ("+strings.Join(cols, ", ")+")")
	}
	for _, r := range live.kept(req) {
		var cols []string
		for _, c := range r.columns {
			cols = append(cols, duck.Ident(c.name)+" "+c.typ)
		}
		stmts = append(stmts, "CREATE TABLE "+duck.Idents(name, "main", r.name)+" ("+strings.Join(cols, ", ")+")")
	}
	if _, err := db.Exec(ctx, strings.Join(stmts, ";\n")); err != nil {
		return nil, err
	}
	var order []string
	for waiting := live.views; len(waiting) > 0; {
		var rest []string
		for _, sql := range waiting {
			sql = strings.TrimSuffix(sql, ";")
			if _, err := db.Exec(ctx, "USE "+duck.Idents(name, "main")+"; "+sql); err != nil {
				rest = append(rest, sql)
				continue
			}
			order = append(order, sql)
		}
		if len(rest) == len(waiting) {
			return nil, fmt.Errorf("%w: %s", errViewLost, rest[0])
		}
		waiting = rest
	}
	return order, nil
}

// carryTexts are the statements that carry comments of kept tables and the history of runs.
func carryTexts(ctx context.Context, db *duck.DB, live *catalog) ([]string, error) {
	rows, err := db.Texts(ctx, `SELECT table_name, '' AS column_name, comment FROM duckdb_tables()
			WHERE comment IS NOT NULL AND schema_name = 'main' AND database_name = '`+oldName+`'
		UNION ALL SELECT table_name, column_name, comment FROM duckdb_columns()
			WHERE comment IS NOT NULL AND schema_name = 'main' AND database_name = '`+oldName+`'`)
	if err != nil {
		return nil, err
	}
	var stmts []string
	replaced, err := db.Texts(ctx, "SELECT name FROM "+metaTable(db, "staging"))
	if err != nil {
		return nil, err
	}
	isReplaced := map[string]bool{}
	for _, r := range replaced {
		isReplaced[fold(r[0])] = true
	}
	for _, r := range rows {
		if rel := live.relations[fold(r[0])]; rel == nil || rel.view || isReplaced[fold(r[0])] {
			continue
		}
		on := "TABLE " + table(db, r[0])
		if r[1] != "" {
			on = "COLUMN " + table(db, r[0]) + "." + duck.Ident(r[1])
		}
		stmts = append(stmts, "COMMENT ON "+on+" IS "+duck.Literal(r[2]))
	}
	if !live.meta {
		return stmts, nil
	}
	for _, t := range metaDDL {
		stmts = append(stmts, fmt.Sprintf("INSERT INTO %s BY NAME SELECT * FROM %s", metaTable(db, t.name), duck.Idents(oldName, metaSchema, t.name)))
	}
	return stmts, nil
}

// commitCopy makes a copy of the published file and replaces the tables in it. The
// next file stays as it is until the copy is published.
func (d *dest) commitCopy(ctx context.Context, live *catalog, req connector.CommitRequest) error {
	if _, err := d.work.db.Exec(ctx, "CHECKPOINT "+duck.Ident(d.work.db.Name)); err != nil {
		return err
	}
	if err := d.work.db.Close(); err != nil {
		return err
	}
	d.work = nil // a second Commit joins it again
	for _, suffix := range []string{"", ".wal"} {
		if err := os.RemoveAll(d.fresh() + suffix); err != nil {
			return err
		}
	}
	if err := clone(d.path, d.fresh()); err != nil {
		return fmt.Errorf("copy %s: %w", d.path, err)
	}
	d.did("copied")
	db, err := duck.Open(ctx, duck.Options{Path: d.fresh(), Name: duck.CatalogName(d.path), MemoryBytes: d.memory, TempDir: d.next() + ".tmp"})
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.Exec(ctx, "ATTACH "+duck.Literal(d.next())+" AS "+oldName+" (READ_ONLY)"); err != nil {
		return err
	}
	stmts := createMeta(db)
	for _, t := range req.Tables {
		name := t.Plan.Name
		if r := live.added(t); r != nil {
			stmts = append(stmts, evolve(db, r, t.Plan)...)
			stmts = append(stmts, fmt.Sprintf("INSERT INTO %s BY NAME SELECT * EXCLUDE (%s) FROM %s", table(db, r.name), taskColumn, duck.Idents(oldName, "main", name)))
			continue
		}
		if r := live.relations[fold(name)]; r != nil {
			stmts = append(stmts, "DROP TABLE IF EXISTS "+table(db, r.name))
		}
		stmts = append(stmts, fmt.Sprintf("CREATE TABLE %s AS SELECT COLUMNS(lambda c: c <> '%s') FROM %s", table(db, name), taskColumn, duck.Idents(oldName, "main", name)))
	}
	if err := transaction(ctx, db, append(stmts, finish(db, req, live.stamp)...)); err != nil {
		return fmt.Errorf("replace tables beside other objects: %w", err)
	}
	d.did("replaced in copy")
	for _, t := range req.Tables {
		if live.added(t) != nil {
			continue // they are still there
		}
		if err := restoreIndexes(ctx, db, live.relations[fold(t.Plan.Name)], t.Plan.Name, req.Run.ID); err != nil {
			return err
		}
	}
	_, err = db.Exec(ctx, "DETACH "+oldName+"; CHECKPOINT "+duck.Ident(db.Name))
	return err
}

// evolve are the statements that give a table the columns of rows that are added to it.
func evolve(db *duck.DB, r *relation, plan connector.TablePlan) []string {
	var stmts []string
	for _, c := range plan.Columns {
		i := slices.IndexFunc(r.columns, func(was column) bool { return fold(was.name) == fold(c.Name) })
		switch {
		case i < 0:
			stmts = append(stmts, "ALTER TABLE "+table(db, r.name)+" ADD COLUMN "+duck.Ident(c.Name)+" "+c.Native)
		case widens(r.columns[i].typ, canonical(c.Native)):
			stmts = append(stmts, "ALTER TABLE "+table(db, r.name)+" ALTER COLUMN "+duck.Ident(c.Name)+" SET DATA TYPE "+c.Native)
		}
	}
	return stmts
}

// restoreIndexes makes people's indexes on a replaced table again. One that can't be made any more is
// noted with the table's evidence: an index is no reason to keep yesterday's rows.
func restoreIndexes(ctx context.Context, db *duck.DB, r *relation, name, run string) error {
	if r == nil {
		return nil
	}
	for _, ix := range r.indexes {
		_, err := db.Exec(ctx, "USE "+duck.Idents(db.Name, "main")+"; "+ix.sql)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return err
		}
		_, err = db.Exec(ctx, fmt.Sprintf(`UPDATE %s SET notes = list_append(notes, %s) WHERE run = %s AND "table" = %s`,
			metaTable(db, "tables"), duck.Literal("index "+ix.name+" is gone: "+err.Error()), duck.Literal(run), duck.Literal(name)))
		if err != nil {
			return err
		}
	}
	return nil
}
