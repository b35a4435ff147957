package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// publicSchema is the namespace whose tables a config names without a schema.
const publicSchema = "public"

// relation is one table or view as the catalog has it, with how each column is read.
type relation struct {
	relationRow
	columns  []columnRow
	hows     []how // of columns
	key      []string
	children []childRow // partitions that hold rows, of a partitioned table
}

// relationRow is one row of pg_class.
type relationRow struct {
	OID       uint32
	Schema    string
	Name      string
	Kind      string // relkind: r table, p partitioned, v view, m materialised view, f foreign table
	Rows      float64
	Bytes     int64 // with indexes
	TableSize int64 // without
	Comment   string
	Guarded   bool // row-level security hides rows from this user
	Heap      bool
	Readable  bool
	Parent    bool // of tables that inherit from it
}

// columnRow is one row of pg_attribute.
type columnRow struct {
	Table     uint32
	Name      string
	Type      uint32
	Mod       int32
	Dims      int32
	Native    string
	NotNull   bool
	Comment   string
	Generated bool
	Readable  bool
}

// childRow is one partition, at any depth, of a partitioned table.
type childRow struct {
	Root      uint32
	Schema    string
	Name      string
	Kind      string
	Rows      float64
	Bytes     int64
	TableSize int64
	Heap      bool
	Readable  bool
}

// Queries of the catalog. Names of system functions and tables are written out in full, as the search path is the user's.
const (
	typesSQL = `SELECT t.oid, t.typname, n.nspname, t.typtype::text, t.typbasetype, t.typtypmod, t.typelem, t.typcategory::text, t.typlen, t.typndims
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype <> 'c'`

	relationsSQL = `SELECT c.oid, n.nspname, c.relname, c.relkind::text,
  CASE WHEN c.relpages = 0 AND c.reltuples = 0 AND pg_catalog.pg_relation_size(c.oid) > 0 THEN -1 ELSE c.reltuples END::float8,
  CASE WHEN c.relkind IN ('r', 'm') THEN coalesce(pg_catalog.pg_total_relation_size(c.oid), 0) ELSE 0 END,
  CASE WHEN c.relkind IN ('r', 'm') THEN coalesce(pg_catalog.pg_table_size(c.oid), 0) ELSE 0 END,
  coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), ''),
  pg_catalog.row_security_active(c.oid), coalesce(a.amname = 'heap', false),
  pg_catalog.has_any_column_privilege(c.oid, 'SELECT') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE'),
  c.relkind = 'r' AND c.relhassubclass
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND n.nspname IN (%s)
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname`

	columnsSQL = `SELECT a.attrelid, a.attname, a.atttypid, a.atttypmod, a.attndims::int4, pg_catalog.format_type(a.atttypid, a.atttypmod),
  a.attnotnull AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n'
    AND NOT k.convalidated AND k.conkey = ARRAY[a.attnum]),
  coalesce(pg_catalog.col_description(a.attrelid, a.attnum), ''), a.attgenerated <> '',
  pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT')
FROM pg_catalog.pg_attribute a WHERE a.attrelid IN (%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum`

	keysSQL = `SELECT i.indrelid, ARRAY(SELECT a.attname::text FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) k
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k] ORDER BY k)
FROM pg_catalog.pg_index i WHERE i.indrelid IN (%s) AND i.indisunique AND i.indisvalid AND i.indimmediate
  AND i.indpred IS NULL AND i.indexprs IS NULL
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) k
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]
    WHERE NOT a.attnotnull OR EXISTS (SELECT 1 FROM pg_catalog.pg_constraint c WHERE c.conrelid = a.attrelid AND c.contype = 'n'
      AND NOT c.convalidated AND c.conkey = ARRAY[a.attnum]))
ORDER BY i.indrelid, i.indisprimary DESC, i.indnkeyatts, i.indexrelid`

	childrenSQL = `WITH RECURSIVE tree AS (
  SELECT i.inhparent AS root, i.inhrelid AS oid FROM pg_catalog.pg_inherits i WHERE i.inhparent IN (%s)
  UNION ALL SELECT t.root, i.inhrelid FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid)
SELECT t.root, n.nspname, c.relname, c.relkind::text, c.reltuples::float8,
  CASE WHEN c.relkind = 'r' THEN coalesce(pg_catalog.pg_total_relation_size(c.oid), 0) ELSE 0 END,
  CASE WHEN c.relkind = 'r' THEN coalesce(pg_catalog.pg_table_size(c.oid), 0) ELSE 0 END,
  coalesce(a.amname = 'heap', false),
  pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
FROM tree t JOIN pg_catalog.pg_class c ON c.oid = t.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam WHERE c.relkind <> 'p' ORDER BY t.root, n.nspname, c.relname`
)

// relations reads the catalog of the configured schemas.
func (c *conn) relations(ctx context.Context) ([]*relation, error) {
	rows, err := list[relationRow](ctx, c, "listing tables", fmt.Sprintf(relationsSQL, literals(c.srv.spec.Schemas)))
	if err != nil {
		return nil, err
	}
	cat, err := c.types(ctx)
	if err != nil {
		return nil, err
	}
	byOID, all := map[uint32]*relation{}, make([]*relation, len(rows))
	var oids, parents []uint32
	for i, row := range rows {
		all[i] = &relation{relationRow: row}
		byOID[row.OID] = all[i]
		oids = append(oids, row.OID)
		if row.Kind == "p" {
			parents = append(parents, row.OID)
		}
	}
	columns, err := list[columnRow](ctx, c, "listing columns", fmt.Sprintf(columnsSQL, literals(oids)))
	if err != nil {
		return nil, err
	}
	for _, col := range columns {
		r := byOID[col.Table]
		r.columns = append(r.columns, col)
		r.hows = append(r.hows, cat.resolve(col.Type, col.Mod, int(col.Dims)))
	}
	keys, err := list[struct {
		Table   uint32
		Columns []string
	}](ctx, c, "listing keys", fmt.Sprintf(keysSQL, literals(oids)))
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if r := byOID[k.Table]; r.key == nil {
			r.key = k.Columns
		}
	}
	children, err := list[childRow](ctx, c, "listing partitions", fmt.Sprintf(childrenSQL, literals(parents)))
	for _, child := range children {
		byOID[child.Root].adopt(child)
	}
	return all, err
}

// adopt adds a partition and its size to its root.
func (r *relation) adopt(child childRow) {
	r.children = append(r.children, child)
	r.Bytes += child.Bytes
	r.TableSize += child.TableSize
	if len(r.children) == 1 {
		r.Rows = 0
	}
	if child.Rows < 0 || r.Rows < 0 {
		r.Rows = -1
		return
	}
	r.Rows += child.Rows
}

// ref is how a config names the relation.
func (r *relation) ref() string {
	return connector.Table{Schema: foldPublic(r.Schema), Name: r.Name}.Ref()
}

// from is the relation in a FROM clause. Tables that inherit from another are listed by
// themselves, so each one gives only its own rows.
func (r *relation) from() string {
	if r.Kind == "r" {
		return "ONLY " + ident(r.Schema, r.Name)
	}
	return ident(r.Schema, r.Name)
}

func foldPublic(schema string) string {
	if schema == publicSchema {
		return ""
	}
	return schema
}

// table is the relation in the contract's words.
func (r *relation) table() connector.Table {
	t := connector.Table{
		Schema: foldPublic(r.Schema), Name: r.Name, Comment: r.Comment, Key: r.key,
		Rows: int64(r.Rows), Bytes: r.Bytes, View: r.Kind != "r" && r.Kind != "p", Notes: r.notes(),
	}
	if r.Kind == "v" || r.Kind == "f" {
		t.Rows, t.Bytes = -1, -1
	}
	for i, c := range r.columns {
		h := r.hows[i]
		col := connector.Column{
			Name: c.Name, Type: connector.Type{DataType: h.Type}, Kind: h.Kind, Native: c.Native,
			Nullable: !c.NotNull || h.becomesNull(), Comment: c.Comment,
		}
		if h.Note != "" {
			col.Notes = append(col.Notes, h.Note)
		}
		if c.Generated {
			col.Notes = append(col.Notes, "generated by the database")
		}
		if !c.Readable {
			col.Notes = append(col.Notes, "the user may not SELECT it")
		}
		t.Columns = append(t.Columns, col)
	}
	return t
}

func (r *relation) notes() []string {
	var notes []string
	switch r.Kind {
	case "p":
		notes = append(notes, fmt.Sprintf("partitioned: %d partitions are read as one table", len(r.children)))
	case "m":
		notes = append(notes, "materialised view: as of its last refresh")
	case "f":
		notes = append(notes, "foreign table: its rows come from elsewhere, outside the snapshot")
	}
	if r.Parent {
		notes = append(notes, "tables inherit from it: only its own rows are read here")
	}
	if r.Guarded {
		notes = append(notes, "row-level security is on: only rows this user may see are read")
	}
	if !r.Readable {
		notes = append(notes, "the user may not SELECT it")
	}
	return notes
}

// Discover lists the tables and views of the configured schemas.
func (s *source) Discover(ctx context.Context) ([]connector.Table, error) {
	var tables []connector.Table
	err := s.withControl(ctx, func(c *conn) error {
		if err := c.checkSchemas(ctx); err != nil {
			return err
		}
		all, err := c.relations(ctx)
		for _, r := range all {
			tables = append(tables, r.table())
		}
		return err
	})
	return tables, err
}

// checkSchemas finds misspelt schemas, which would otherwise be empty ones.
func (c *conn) checkSchemas(ctx context.Context) error {
	rows, err := list[struct{ Name string }](ctx, c, "listing schemas",
		`SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'`)
	if err != nil {
		return err
	}
	have := make([]string, len(rows))
	for i, row := range rows {
		have[i] = row.Name
	}
	for _, want := range c.srv.spec.Schemas {
		if !slices.Contains(have, want) {
			return fault.New(fault.Config, "postgres.schema",
				didYouMean(want, have, "check source.postgres.schemas; there are "+strings.Join(have, ", ")),
				"there is no schema %q in %s", want, place(c.srv.spec))
		}
	}
	return nil
}
