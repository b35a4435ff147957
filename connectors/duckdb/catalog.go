package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"github.com/kitamae/kitamae/duck"
)

// catalog is what a published file holds, looked at once.
type catalog struct {
	exists bool
	stamp  stamp
	// relations are the tables and views of schema main, by folded name.
	relations map[string]*relation
	views     []string // CREATE VIEW statements, in no order
	// others are objects that only a copy of the file carries over: for people, as "index users_email".
	others []string
	runs   map[string]bool // published run IDs
	meta   bool            // it has kitamae's metadata
}

type relation struct {
	name    string
	view    bool
	made    bool // by kitamae
	rows    int64
	reached string // where the source's cursor stands
	columns []column
	indexes []index
}

type column struct{ name, typ string }

type index struct{ name, sql string }

// stamp tells whether a file is still the one that was looked at.
type stamp struct {
	size    int64
	changed time.Time
	info    os.FileInfo
}

func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	return stamp{size: info.Size(), changed: info.ModTime(), info: info}, nil
}

// String is "" for a file that was not there.
func (s stamp) String() string {
	if s.info == nil {
		return ""
	}
	return fmt.Sprintf("%d bytes of %s", s.size, s.changed.UTC().Format(time.RFC3339Nano))
}

func (s stamp) same(t stamp) bool {
	return s.size == t.size && s.changed.Equal(t.changed) && os.SameFile(s.info, t.info)
}

// look reads the published file's catalog, or returns the one it read before when the file is unchanged.
// The file is not held open.
func (d *dest) look(ctx context.Context) (*catalog, error) {
	now, err := stampOf(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return &catalog{}, nil
	}
	if err != nil {
		return nil, d.classify(err)
	}
	d.seenMu.Lock()
	defer d.seenMu.Unlock()
	if d.seen != nil && d.seen.stamp.same(now) && !exists(d.path+".wal") {
		return d.seen, nil
	}
	db, err := d.await(ctx, duck.Options{Path: d.path, ReadOnly: true, MemoryBytes: d.memory, Threads: 1})
	if err != nil {
		return nil, d.classify(err)
	}
	defer db.Close()
	c := &catalog{exists: true, stamp: now, relations: map[string]*relation{}, runs: map[string]bool{}}
	for _, read := range []func(context.Context, *duck.DB) error{c.readMeta, c.readTables, c.readViews, c.readOthers} {
		if err := read(ctx, db); err != nil {
			return nil, d.classify(fmt.Errorf("look into %s: %w", d.path, err))
		}
	}
	d.seen = c
	return c, nil
}

func (c *catalog) readMeta(ctx context.Context, db *duck.DB) error {
	have, err := db.Texts(ctx, "SELECT table_name FROM duckdb_tables() WHERE database_name = "+duck.Literal(db.Name)+
		" AND schema_name = "+duck.Literal(metaSchema)+" AND table_name IN ('runs', 'tables', 'columns')")
	if err != nil || len(have) < 3 {
		return err
	}
	c.meta = true
	runs, err := db.Texts(ctx, "SELECT id FROM "+metaTable(db, "runs"))
	for _, r := range runs {
		c.runs[r[0]] = true
	}
	return err
}

func (c *catalog) readTables(ctx context.Context, db *duck.DB) error {
	mine, reached := map[string]bool{}, map[string]string{}
	if c.meta {
		latest := "''" // a file of a kitamae that knew no cursors
		have, err := db.Texts(ctx, "SELECT column_name FROM duckdb_columns() WHERE database_name = "+duck.Literal(db.Name)+
			" AND schema_name = "+duck.Literal(metaSchema)+" AND table_name = 'tables' AND column_name = 'reached'")
		if err != nil {
			return err
		}
		if len(have) > 0 {
			latest = "coalesce(arg_max(coalesce(reached, ''), rowid), '')"
		}
		names, err := db.Texts(ctx, `SELECT "table", `+latest+` FROM `+metaTable(db, "tables")+` GROUP BY "table"`)
		if err != nil {
			return err
		}
		for _, n := range names {
			mine[fold(n[0])], reached[fold(n[0])] = true, n[1]
		}
	}
	tables, err := db.Texts(ctx, `SELECT schema_name, table_name, estimated_size::VARCHAR,
		(check_constraint_count + index_count > 0 OR has_primary_key OR len(map_keys(tags)) > 0
			OR EXISTS (SELECT 1 FROM duckdb_columns() c WHERE c.table_oid = t.table_oid AND c.database_oid = t.database_oid
				AND (c.column_default IS NOT NULL OR NOT c.is_nullable)))::VARCHAR
		FROM duckdb_tables() t WHERE NOT internal AND database_name = `+duck.Literal(db.Name))
	if err != nil {
		return err
	}
	for _, t := range tables {
		schema, name, changed := t[0], t[1], t[3] == "true"
		if schema == metaSchema && c.meta && (name == "runs" || name == "tables" || name == "columns") {
			continue
		}
		if schema != "main" {
			c.others = append(c.others, "table "+schema+"."+name)
			continue
		}
		r := &relation{name: name, made: mine[fold(name)], reached: reached[fold(name)]}
		r.rows, _ = strconv.ParseInt(t[2], 10, 64)
		c.relations[fold(name)] = r
		if !r.made || changed {
			c.others = append(c.others, "table "+name)
		}
	}
	cols, err := db.Texts(ctx, `SELECT table_name, column_name, data_type FROM duckdb_columns()
		WHERE schema_name = 'main' AND database_name = `+duck.Literal(db.Name)+` ORDER BY table_name, column_index`)
	for _, col := range cols {
		if r := c.relations[fold(col[0])]; r != nil {
			r.columns = append(r.columns, column{name: col[1], typ: col[2]})
		}
	}
	return err
}

// readViews finds views; one with a comment or tags, or outside main, is left to a copy of the file.
func (c *catalog) readViews(ctx context.Context, db *duck.DB) error {
	views, err := db.Texts(ctx, `SELECT schema_name, view_name, sql, (comment IS NULL AND len(map_keys(tags)) = 0
			AND NOT EXISTS (SELECT 1 FROM duckdb_columns() c WHERE c.table_oid = v.view_oid AND c.database_oid = v.database_oid AND c.comment IS NOT NULL))::VARCHAR
		FROM duckdb_views() v WHERE NOT internal AND database_name = `+duck.Literal(db.Name))
	for _, v := range views {
		if v[0] == "main" {
			c.relations[fold(v[1])] = &relation{name: v[1], view: true}
		}
		if v[0] == "main" && v[3] == "true" {
			c.views = append(c.views, v[2])
		} else {
			c.others = append(c.others, "view "+v[0]+"."+v[1])
		}
	}
	return err
}

// readOthers finds what can't be made again from its description with certainty.
func (c *catalog) readOthers(ctx context.Context, db *duck.DB) error {
	in := "database_name = " + duck.Literal(db.Name)
	others, err := db.Texts(ctx, `
		SELECT 'schema', schema_name FROM duckdb_schemas() WHERE `+in+` AND schema_name NOT IN ('main', 'information_schema', 'pg_catalog', `+duck.Literal(metaSchema)+`)
		UNION ALL SELECT 'sequence', sequence_name FROM duckdb_sequences() WHERE `+in+`
		UNION ALL SELECT 'type', type_name FROM duckdb_types() WHERE NOT internal AND `+in+`
		UNION ALL SELECT 'function', function_name FROM duckdb_functions() WHERE NOT internal AND `+in+`
		UNION ALL SELECT 'index', index_name FROM duckdb_indexes() WHERE `+in)
	if err != nil {
		return err
	}
	for _, o := range others {
		c.others = append(c.others, o[0]+" "+o[1])
	}
	indexes, err := db.Texts(ctx, `SELECT table_name, index_name, sql FROM duckdb_indexes() WHERE schema_name = 'main' AND sql IS NOT NULL AND `+in)
	for _, ix := range indexes {
		if r := c.relations[fold(ix[0])]; r != nil {
			r.indexes = append(r.indexes, index{name: ix[1], sql: ix[2]})
		}
	}
	return err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
