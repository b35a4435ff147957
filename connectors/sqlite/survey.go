package sqlite

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"unicode/utf8"
)

// checkEvery is how many rows pass between two looks at the context.
const checkEvery = 1024

// survey reads all of r once and counts, per column, what it holds.
func (c *conn) survey(ctx context.Context, r *relation) (rows int64, cols []census, err error) {
	exprs := make([]string, len(r.columns))
	forms := make([]declared, len(r.columns))
	for i, col := range r.columns {
		exprs[i] = quote(col.name)
		forms[i] = parseDeclared(col.native)
		if strings.Contains(strings.ToUpper(col.native), "BLOB") {
			// Neither typeof nor octet_length loads a large value, and a zeroblob has a size without having bytes.
			exprs[i] = "CASE typeof(" + exprs[i] + ") WHEN 'blob' THEN zeroblob(octet_length(" + exprs[i] + ")) ELSE " + exprs[i] + " END"
		}
	}
	cols = make([]census, len(r.columns))
	defer c.interruptible(ctx)()
	s, err := c.prepare("SELECT " + strings.Join(exprs, ", ") + " FROM main." + quote(r.name))
	if err != nil {
		return 0, nil, err
	}
	defer s.close()
	for {
		more, err := s.next()
		if err != nil {
			return rows, nil, err
		}
		if !more {
			return rows, cols, nil
		}
		rows++
		if rows%checkEvery == 0 && ctx.Err() != nil {
			return rows, nil, ctx.Err()
		}
		for i := range cols {
			cols[i].add(s, i, forms[i])
		}
	}
}

// add counts column i of the current row.
func (c *census) add(s *stmt, i int, d declared) {
	fits := true
	switch class := s.class(i); class {
	case null:
		c.nulls++
		return
	case integer:
		c.integers++
		c.bytes += 8
		v := s.integer(i)
		if !exact(v) {
			c.inexact++
		}
		switch d.form {
		case booleanForm:
			fits = v == 0 || v == 1
		case decimalForm:
			_, fits = s.decimal(i, class, d)
		case dateForm, timestampForm:
			fits = false
		}
	case real:
		c.reals++
		c.bytes += 8
		v := s.real(i)
		switch d.form {
		case decimalForm:
			_, fits = decimalOf(v, d)
		case jsonForm:
			fits = !math.IsInf(v, 0)
		case booleanForm, dateForm, timestampForm:
			fits = false
		}
	case text:
		c.texts++
		v := s.text(i)
		c.bytes += int64(len(v))
		if !utf8.Valid(v) {
			c.invalid++
			fits = false
			break
		}
		fits = c.text(v, d)
	default:
		c.blobs++
		c.bytes += int64(s.size(i))
		fits = false
	}
	if !fits {
		c.misfits++
	}
}

// text says whether a text has the declared form.
func (c *census) text(v []byte, d declared) bool {
	switch d.form {
	case plainForm:
		return true
	case dateForm:
		_, ok := parseDate(v)
		return ok
	case timestampForm:
		t, ok := parseTimestamp(v)
		if !ok {
			return false
		}
		if t.zone != "" {
			c.zoned++
		}
		if c.first.shape == 0 {
			c.first = t
		} else if t.shape != c.first.shape || t.zone != c.first.zone {
			c.uneven = true
		}
		return true
	case jsonForm:
		return json.Valid(v)
	}
	return false
}
