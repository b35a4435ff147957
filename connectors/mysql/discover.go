package mysql

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// Discover reads the catalog of the configured database.
func (s *Source) Discover(ctx context.Context) ([]connector.Table, error) {
	tables, err := s.discoverTables(ctx)
	if err != nil {
		return nil, err
	}
	byName := map[string]*connector.Table{}
	for i := range tables {
		byName[tables[i].Name] = &tables[i]
	}
	if err := s.discoverColumns(ctx, byName); err != nil {
		return nil, err
	}
	if err := s.discoverKeys(ctx, byName); err != nil {
		return nil, err
	}
	kept := tables[:0]
	for _, t := range tables {
		if len(t.Columns) > 0 { // none: a broken view
			kept = append(kept, t)
		}
	}
	return kept, nil
}

func (s *Source) discoverTables(ctx context.Context) ([]connector.Table, error) {
	res, err := s.control(ctx, "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH, TABLE_COMMENT"+
		" FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME")
	if err != nil {
		return nil, s.catalogFault(ctx, err)
	}
	var tables []connector.Table
	for i := range res.Values {
		t := connector.Table{Rows: number(res, i, 3), Bytes: number(res, i, 4)}
		t.Name, _ = text(res, i, 0)
		kind, _ := text(res, i, 1)
		engine, _ := text(res, i, 2)
		t.Comment, _ = text(res, i, 5)
		switch kind {
		case "SEQUENCE", "TEMPORARY", "TEMPORARY SEQUENCE":
			continue
		case "VIEW", "SYSTEM VIEW":
			t.View, t.Comment, t.Rows, t.Bytes = true, "", -1, -1
		default:
			if !snapshotEngine(engine) {
				t.Notes = append(t.Notes, fmt.Sprintf("engine %s has no snapshots: the table is read as it is at that moment", engine))
			}
		}
		tables = append(tables, t)
	}
	return tables, nil
}

// snapshotEngine says whether an engine's tables are covered by a consistent snapshot.
func snapshotEngine(engine string) bool {
	switch strings.ToLower(engine) {
	case "innodb", "rocksdb":
		return true
	}
	return false
}

func (s *Source) discoverColumns(ctx context.Context, tables map[string]*connector.Table) error {
	checked, err := s.jsonColumns(ctx)
	if err != nil {
		return err
	}
	srids, err := s.declaredSRIDs(ctx)
	if err != nil {
		return err
	}
	res, err := s.control(ctx, "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_COMMENT, EXTRA"+
		" FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, ORDINAL_POSITION")
	if err != nil {
		return s.catalogFault(ctx, err)
	}
	for i := range res.Values {
		table, _ := text(res, i, 0)
		t := tables[table]
		if t == nil {
			continue
		}
		var c connector.Column
		c.Name, _ = text(res, i, 1)
		c.Native, _ = text(res, i, 2)
		nullable, _ := text(res, i, 3)
		c.Comment, _ = text(res, i, 4)
		extra, _ := text(res, i, 5)
		if srid := srids[[2]string{table, c.Name}]; srid != "" {
			c.Native += " SRID " + srid
		}
		n := parseNative(c.Native)
		c.Type.DataType, c.Kind = n.arrowType()
		c.Nullable = nullable == "YES" || n.dated()
		if n.base == "longtext" && checked[[2]string{table, c.Name}] {
			c.Kind = batch.KindJSON
		}
		if c.Kind == batch.KindUnknown {
			c.Notes = append(c.Notes, fmt.Sprintf("type %s is not known: read as the server's text", c.Native))
		}
		extra = strings.ToUpper(extra)
		if strings.Contains(extra, "GENERATED") && !strings.Contains(extra, "DEFAULT_GENERATED") {
			c.Notes = append(c.Notes, "generated column: the values as the server computes them")
		}
		if strings.Contains(extra, "INVISIBLE") {
			c.Notes = append(c.Notes, "invisible column: not part of SELECT * at the source")
		}
		t.Columns = append(t.Columns, c)
	}
	return nil
}

// jsonColumns finds MariaDB's JSON columns: LONGTEXT with the check the alias makes.
func (s *Source) jsonColumns(ctx context.Context) (map[[2]string]bool, error) {
	found := map[[2]string]bool{}
	if !s.ctl.mariadb() {
		return found, nil
	}
	res, err := s.control(ctx, "SELECT TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE()")
	if err != nil {
		return nil, s.catalogFault(ctx, err)
	}
	for i := range res.Values {
		table, _ := text(res, i, 0)
		clause, _ := text(res, i, 1)
		if inside, ok := strings.CutPrefix(clause, "json_valid(`"); ok && strings.HasSuffix(inside, "`)") {
			found[[2]string{table, strings.ReplaceAll(strings.TrimSuffix(inside, "`)"), "``", "`")}] = true
		}
	}
	return found, nil
}

// declaredSRIDs are the spatial reference systems that geometry columns are declared to be in, all their values then. MariaDB has
// none, nor has MySQL before 8.
func (s *Source) declaredSRIDs(ctx context.Context) (map[[2]string]string, error) {
	found := map[[2]string]string{}
	if s.ctl.mariadb() || strings.HasPrefix(s.ctl.my.GetServerVersion(), "5.") {
		return found, nil
	}
	res, err := s.control(ctx, "SELECT TABLE_NAME, COLUMN_NAME, CONCAT(SRS_ID) FROM information_schema.ST_GEOMETRY_COLUMNS"+
		" WHERE TABLE_SCHEMA = DATABASE() AND SRS_ID IS NOT NULL")
	if err != nil {
		return nil, s.catalogFault(ctx, err)
	}
	for i := range res.Values {
		table, _ := text(res, i, 0)
		column, _ := text(res, i, 1)
		found[[2]string{table, column}], _ = text(res, i, 2)
	}
	return found, nil
}

// discoverKeys sets each table's key: the primary key, or the unique index over the
// fewest columns that are never null.
func (s *Source) discoverKeys(ctx context.Context, tables map[string]*connector.Table) error {
	indexes, err := s.uniqueIndexes(ctx)
	if err != nil {
		return err
	}
	for name, t := range tables {
		if list := indexes[name]; len(list) > 0 {
			t.Key = list[0].columns
		}
	}
	return nil
}

// index is a unique index over whole columns that are never null.
type index struct {
	name    string
	columns []string
}

// uniqueIndexes lists each table's, the best key first.
func (s *Source) uniqueIndexes(ctx context.Context) (map[string][]index, error) {
	res, err := s.control(ctx, "SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME, NULLABLE, SUB_PART FROM information_schema.STATISTICS"+
		" WHERE TABLE_SCHEMA = DATABASE() AND NON_UNIQUE = 0 AND INDEX_TYPE = 'BTREE' ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX")
	if err != nil {
		return nil, s.catalogFault(ctx, err)
	}
	all, unfit := map[string][]index{}, map[[2]string]bool{}
	for i := range res.Values {
		table, _ := text(res, i, 0)
		name, _ := text(res, i, 1)
		column, plain := text(res, i, 2) // null: an expression
		nullable, _ := text(res, i, 3)
		_, prefix := text(res, i, 4)
		if nullable == "YES" || !plain || prefix {
			unfit[[2]string{table, name}] = true
		}
		list := all[table]
		if len(list) == 0 || list[len(list)-1].name != name {
			list = append(list, index{name: name})
		}
		list[len(list)-1].columns = append(list[len(list)-1].columns, column)
		all[table] = list
	}
	for table, list := range all {
		kept := list[:0]
		for _, ix := range list {
			if !unfit[[2]string{table, ix.name}] {
				kept = append(kept, ix)
			}
		}
		sort.SliceStable(kept, func(i, j int) bool {
			if (kept[i].name == "PRIMARY") != (kept[j].name == "PRIMARY") {
				return kept[i].name == "PRIMARY"
			}
			return len(kept[i].columns) < len(kept[j].columns)
		})
		all[table] = kept
	}
	return all, nil
}

func (s *Source) catalogFault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	catalog := fault.Wrap(fault.Source, "mysql.catalog", "", fmt.Errorf("read the catalog of %s: %w", place(s.spec), err))
	if lost(err) {
		return fault.Again(catalog)
	}
	return catalog
}
