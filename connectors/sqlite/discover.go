package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// surveyors bounds how many tables are surveyed at once.
const surveyors = 4

// Discover lists tables and views and surveys each whole: SQLite's columns have no types,
// only values have. All are surveyed in one state of the database.
func (s *source) Discover(ctx context.Context) ([]connector.Table, error) {
	if err := checkFile(s.path); err != nil {
		return nil, err
	}
	v, err := openView(ctx, s.path, min(surveyors, max(2, runtime.NumCPU())))
	if err != nil {
		return nil, err
	}
	defer v.close()
	list, err := v.control.relations()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var tables []connector.Table
	var leftOut []string
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(len(v.data))
	for i := range list {
		g.Go(func() error {
			c, err := v.take(gctx)
			if err != nil {
				return err
			}
			defer v.give(c)
			t, err := discover(gctx, c, &list[i])
			mu.Lock()
			defer mu.Unlock()
			switch {
			case unreadable(err):
				leftOut = append(leftOut, fmt.Sprintf("%s %s is left out: %v", list[i].kind, list[i].name, err))
			case err != nil:
				return fmt.Errorf("survey %s: %w", list[i].name, err)
			default:
				tables = append(tables, *t)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	sort.Slice(tables, func(i, j int) bool { return tables[i].Name < tables[j].Name })
	sort.Strings(leftOut)
	s.mu.Lock()
	s.leftOut = leftOut
	s.mu.Unlock()
	return tables, nil
}

// unreadable says that a view or virtual table can't be prepared by anybody but the
// application that made it: its module or a function is missing, or its tables are gone.
func unreadable(err error) bool { return fault.HasCode(err, "sqlite.statement") }

func discover(ctx context.Context, c *conn, r *relation) (*connector.Table, error) {
	if err := c.describe(r); err != nil {
		return nil, err
	}
	rows, cols, err := c.survey(ctx, r)
	if errors.Is(err, context.Canceled) {
		return nil, fault.Wrap(fault.Interrupted, "run.interrupted", "", err)
	}
	if err != nil {
		return nil, err
	}
	t := &connector.Table{Name: r.name, Rows: rows, View: r.kind == "view"}
	key := r.key
	if len(key) == 0 && r.kind == "table" {
		if key, err = c.uniqueKey(r); err != nil {
			return nil, err
		}
	}
	fit := len(key) > 0
	for i, col := range r.columns {
		inKey := slices.Contains(key, col.name)
		native := col.native
		if native == "" {
			native = "any"
		}
		out := connector.Column{Name: col.name, Native: native, Nullable: nullable(r, col) || cols[i].nulls > 0}
		resolve(&out, &cols[i], inKey)
		if inKey && (cols[i].nulls > 0 || cols[i].mixed()) {
			fit = false // null or merged values don't tell rows apart
		}
		t.Columns = append(t.Columns, out)
		t.Bytes += cols[i].bytes
	}
	switch {
	case fit:
		t.Key = key
	case len(key) > 0:
		t.Notes = append(t.Notes, "the primary key holds nulls or values of mixed types: treated as a table without a key")
	}
	if r.kind == "virtual" {
		t.Notes = append(t.Notes, "a virtual table")
	}
	return t, nil
}

// nullable is what the declaration says. A primary key is NOT NULL by itself only where it is the rowid or there is none.
func nullable(r *relation, c column) bool {
	rowidAlias := c.pk == 1 && len(r.key) == 1 && !r.withoutRowid && strings.EqualFold(c.native, "INTEGER")
	return !c.notNull && !rowidAlias && (!r.withoutRowid || c.pk == 0)
}
