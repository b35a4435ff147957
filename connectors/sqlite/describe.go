package sqlite

import (
	"slices"
	"strconv"
	"strings"
)

// relation is a table or view as the schema describes it.
type relation struct {
	name         string
	kind         string // "table", "view" or "virtual"
	withoutRowid bool
	columns      []column
	key          []string // the primary key's columns, in its order
	rowid        string   // how to ask for the rowid; "" where there is none to ask for
}

type column struct {
	name    string
	native  string // the declared type, "" for none
	notNull bool
	pk      int // place in the primary key from 1, else 0
}

// relations lists what main holds, by name: SQLite's own tables and the shadow tables of
// virtual ones are left out.
func (c *conn) relations() ([]relation, error) {
	s, err := c.prepare(`SELECT name, type, wr FROM pragma_table_list
		WHERE schema = 'main' AND type <> 'shadow' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer s.close()
	var list []relation
	for {
		more, err := s.next()
		if err != nil || !more {
			return list, err
		}
		list = append(list, relation{name: string(s.text(0)), kind: string(s.text(1)), withoutRowid: s.integer(2) != 0})
	}
}

// describe reads the columns of r and its key. Hidden columns (of virtual tables) are left out, generated ones are not.
func (c *conn) describe(r *relation) error {
	s, err := c.prepare(`SELECT name, type, "notnull", pk FROM pragma_table_xinfo(` + literal(r.name) + `) WHERE hidden <> 1 ORDER BY cid`)
	if err != nil {
		return err
	}
	defer s.close()
	r.columns, r.key = nil, nil
	for {
		more, err := s.next()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		r.columns = append(r.columns, column{
			name: string(s.text(0)), native: string(s.text(1)), notNull: s.integer(2) != 0, pk: int(s.integer(3)),
		})
	}
	var key []column
	for _, col := range r.columns {
		if col.pk > 0 {
			key = append(key, col)
		}
	}
	slices.SortFunc(key, func(a, b column) int { return a.pk - b.pk })
	for _, col := range key {
		r.key = append(r.key, col.name)
	}
	if r.kind == "table" && !r.withoutRowid {
		r.rowid = rowidName(r.columns)
	}
	return nil
}

// rowidName is a name for the rowid that no column has taken.
func rowidName(columns []column) string {
	for _, name := range []string{"rowid", "_rowid_", "oid"} {
		taken := slices.ContainsFunc(columns, func(c column) bool { return strings.EqualFold(c.name, name) })
		if !taken {
			return name
		}
	}
	for _, c := range columns {
		if c.pk == 1 && strings.EqualFold(c.native, "INTEGER") && !slices.ContainsFunc(columns, func(o column) bool { return o.pk == 2 }) {
			return quote(c.name)
		}
	}
	return ""
}

// uniqueKey is the columns of a unique index over columns that are never null, for a table without a primary key.
func (c *conn) uniqueKey(r *relation) ([]string, error) {
	s, err := c.prepare(`SELECT i.name, x.cid, x.name FROM pragma_index_list(` + literal(r.name) + `) i, pragma_index_xinfo(i.name) x
		WHERE i."unique" AND NOT i.partial AND x.key ORDER BY i.seq, x.seqno`)
	if err != nil {
		return nil, err
	}
	defer s.close()
	var order []string
	indexes := map[string][]string{}
	unfit := map[string]bool{}
	for {
		more, err := s.next()
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		index, name := string(s.text(0)), string(s.text(2))
		if _, seen := indexes[index]; !seen {
			order = append(order, index)
		}
		indexes[index] = append(indexes[index], name)
		never := slices.ContainsFunc(r.columns, func(col column) bool { return col.name == name && col.notNull })
		if s.integer(1) < 0 || !never { // an expression, or a column that may be null
			unfit[index] = true
		}
	}
	for _, index := range order {
		if !unfit[index] {
			return indexes[index], nil
		}
	}
	return nil, nil
}

// quote makes an identifier.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal makes a text literal.
func literal(s string) string { return `'` + strings.ReplaceAll(s, `'`, `''`) + `'` }

// valueLiteral writes column i of the current row as an SQL literal. Where it stands
// as a boundary, both neighbours use the very same one.
func (s *stmt) valueLiteral(i int) string {
	switch s.class(i) {
	case integer:
		return strconv.FormatInt(s.integer(i), 10)
	case real:
		return string(appendReal(nil, s.real(i)))
	case text:
		v := string(s.text(i))
		if !strings.ContainsRune(v, 0) {
			return literal(v)
		}
		return "CAST(" + string(appendBlob(nil, []byte(v))) + " AS TEXT)"
	case blob:
		return string(appendBlob(nil, s.blob(i)))
	}
	return "NULL"
}
