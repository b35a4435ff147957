package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// Where a request leaves a limit open.
const (
	defaultBatchBytes = 4 << 20
	maxMessage        = 1<<30 - 1 // PostgreSQL's own limit of a value
)

// Scan exports one snapshot over the asked tables, locks them against changes of their shape and divides them.
func (s *source) Scan(ctx context.Context, req connector.ScanRequest) (*connector.Scan, error) {
	chunked, err := s.portable(req.Portable)
	if err != nil {
		return nil, err
	}
	var scan *connector.Scan
	err = s.withControl(ctx, func(c *conn) error {
		s.letGo()
		if !c.alive() { // letting go may have cost the connection
			var err error
			if c, err = s.srv.connect(ctx); err != nil {
				return err
			}
			s.control = c
		}
		s.views++
		v := &view{
			id: s.views, src: s, owner: c, batchBytes: req.BatchBytes, maxValue: req.MaxValueBytes,
			slots: make(chan struct{}, max(1, req.Connections)), chunked: chunked, waiting: req.Waiting,
		}
		if v.batchBytes <= 0 {
			v.batchBytes = defaultBatchBytes
		}
		if v.maxValue <= 0 || v.maxValue > maxMessage {
			v.maxValue = maxMessage
		}
		var err error
		if scan, err = v.fix(ctx, req); err != nil {
			v.close()
			return err
		}
		s.viewMu.Lock()
		s.latest = v
		s.viewMu.Unlock()
		return nil
	})
	return scan, err
}

// fix takes the snapshot and looks at every table in it.
func (v *view) fix(ctx context.Context, req connector.ScanRequest) (*connector.Scan, error) {
	scan := &connector.Scan{Guarantee: connector.Database}
	if !v.chunked {
		if err := v.begin(ctx, req, scan); err != nil {
			return nil, err
		}
		position, err := v.position(ctx)
		if err != nil {
			return nil, err
		}
		scan.Position = position
	}
	all, err := v.owner.relations(ctx)
	if err != nil {
		return nil, err
	}
	for _, ts := range req.Tables {
		t, err := v.match(ctx, ts, all)
		if err != nil {
			return nil, err
		}
		if err := v.beyond(ctx, t); err != nil {
			return nil, err
		}
		v.tables = append(v.tables, t)
	}
	if v.chunked {
		return scan, v.layOut(ctx, req, scan)
	}
	if err := v.connectAll(ctx); err != nil {
		return nil, err
	}
	for i, t := range v.tables {
		st, err := v.divide(ctx, i, t, req.Connections)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t.ref(), err)
		}
		scan.Tables = append(scan.Tables, *st)
	}
	return scan, nil
}

// begin starts the owner's transaction: locks first, so that no table is altered or emptied
// between the snapshot and its reading, then the snapshot itself.
func (v *view) begin(ctx context.Context, req connector.ScanRequest, scan *connector.Scan) error {
	for _, ts := range req.Tables {
		if !ts.Table.View {
			schema := ts.Table.Schema
			if schema == "" {
				schema = publicSchema
			}
			v.locked = append(v.locked, ident(schema, ts.Table.Name))
		}
	}
	if err := v.lock(ctx, scan); err != nil {
		return err
	}
	err := v.owner.QueryRow(ctx, "SELECT pg_catalog.pg_export_snapshot()").Scan(&v.snapshot)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return v.owner.srv.explain(ctx, "exporting the snapshot", err)
	}
	// A server (or pooler) that refuses: everything is read through this one transaction.
	scan.Notes = append(scan.Notes, fmt.Sprintf("the server does not export snapshots (%s): all tables are read over one connection", pg.Message))
	if err := v.owner.exec(ctx, "ending the transaction", "ROLLBACK"); err != nil {
		return err
	}
	return v.alone(ctx, scan)
}

// lock begins the transaction and locks the tables. Who may read only some columns can't lock; a note says so.
func (v *view) lock(ctx context.Context, scan *connector.Scan) error {
	if err := v.owner.exec(ctx, "beginning the transaction", beginSQL); err != nil || len(v.locked) == 0 {
		return err
	}
	_, err := v.owner.PgConn().Exec(ctx, savepoint+"; "+lockSQL(v.locked)+"; RELEASE "+savepoint).ReadAll()
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &pg) && pg.Code == "42501":
		v.locked = nil
		scan.Notes = append(scan.Notes, "the tables could not be locked against TRUNCATE and ALTER while they are read: "+pg.Message)
	case errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000" || pg.Code == "42809"):
		v.locked = nil // a table is gone: match says which
	default:
		return v.owner.srv.explain(ctx, "locking the tables against changes of their shape", err)
	}
	return v.owner.exec(ctx, "going back to the savepoint", "ROLLBACK TO "+savepoint+"; RELEASE "+savepoint)
}

// alone makes the owner the view's only connection.
func (v *view) alone(ctx context.Context, scan *connector.Scan) error {
	v.snapshot, v.slots = "", make(chan struct{}, 1)
	if err := v.lock(ctx, scan); err != nil {
		return err
	}
	return v.owner.exec(ctx, "taking the snapshot", "SELECT 1")
}

// position names the snapshot and, where the server says it, the WAL position it was taken at.
func (v *view) position(ctx context.Context) (string, error) {
	if err := v.owner.exec(ctx, "setting a savepoint", savepoint); err != nil {
		return "", err
	}
	var lsn string
	err := v.owner.QueryRow(ctx, `SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
ELSE pg_catalog.pg_current_wal_lsn() END::text`).Scan(&lsn)
	name := "snapshot " + v.snapshot
	if v.snapshot == "" {
		name = "one transaction"
	}
	if err == nil {
		return name + " at LSN " + lsn, nil
	}
	return name, v.owner.exec(ctx, "going back to the savepoint", "ROLLBACK TO "+savepoint)
}

// connectAll opens the data connections at once, so that all hold the locks from the start.
func (v *view) connectAll(ctx context.Context) error {
	if v.snapshot == "" {
		v.idle = []*conn{v.owner}
		return nil
	}
	for range cap(v.slots) {
		c, err := v.src.srv.connect(ctx)
		if err != nil {
			return err
		}
		v.idle = append(v.idle, c) // close ends it, should a later step fail
		if err := v.enter(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// match finds the asked table in the catalog and how to read each asked column now.
func (v *view) match(ctx context.Context, ts connector.TableScan, all []*relation) (*scanned, error) {
	var refs []string
	for _, r := range all {
		if r.ref() != ts.Table.Ref() {
			refs = append(refs, r.ref())
			continue
		}
		t := &scanned{relation: r, scan: ts, key: ts.Key}
		if len(t.key) == 0 {
			t.key = r.key
		}
		return t, v.columns(ctx, t)
	}
	return nil, fault.New(fault.Source, "postgres.table", didYouMean(ts.Table.Ref(), refs, "check `tables` and source.postgres.schemas"),
		"there is no table %s in %s", ts.Table.Ref(), place(v.src.srv.spec))
}

// columns resolves the asked columns and the key.
func (v *view) columns(ctx context.Context, t *scanned) error {
	if !t.Readable {
		return v.src.srv.explainServer("reading "+t.ref(), &pgconn.PgError{Code: "42501", Message: "permission denied for table " + t.ref()})
	}
	if len(t.scan.Columns) == 0 {
		return fault.New(fault.Config, "postgres.no_columns", "leave at least one column in", "table %s: no column is left to read", t.ref())
	}
	fields := make([]arrow.Field, 0, len(t.scan.Columns))
	for _, col := range t.scan.Columns {
		i := slices.IndexFunc(t.relation.columns, func(c columnRow) bool { return c.Name == col.Name })
		if i < 0 {
			return t.altered("column %s is gone", col.Name)
		}
		row := t.relation.columns[i]
		if row.Native != col.Native {
			return t.altered("column %s was %s and now is %s", col.Name, col.Native, row.Native)
		}
		if !row.Readable {
			return v.src.srv.explainServer("reading "+t.ref(), &pgconn.PgError{Code: "42501", Message: "permission denied for column " + col.Name})
		}
		if row.NotNull != !col.Nullable && !col.Nullable {
			return t.altered("column %s may now hold nulls", col.Name)
		}
		h, err := t.hows[i].wanted(col)
		if err != nil {
			return fmt.Errorf("table %s: %w", t.ref(), err)
		}
		t.names, t.read = append(t.names, col.Name), append(t.read, h)
		fields = append(fields, col.Field())
	}
	t.schema = arrow.NewSchema(fields, nil)
	for _, k := range t.key {
		if !slices.ContainsFunc(t.relation.columns, func(c columnRow) bool { return c.Name == k }) {
			return fault.New(fault.Config, "postgres.key", "check the table's `key`", "table %s has no column %s", t.ref(), k)
		}
		if i := slices.Index(t.names, k); i >= 0 {
			t.keyAt = append(t.keyAt, i)
		}
	}
	if t.scan.Where == "" {
		return nil
	}
	err := v.owner.exec(ctx, "trying the condition", "SELECT 1 FROM "+t.from()+t.filter("")+" LIMIT 0")
	if err != nil && !strings.Contains(err.Error(), "SQLSTATE") {
		return err
	}
	return fault.Wrap(fault.Config, "postgres.where", "check the table's `where`: it is a condition in PostgreSQL's SQL", err)
}

func (t *scanned) altered(format string, args ...any) error {
	return fault.New(fault.Source, "postgres.table_changed", "run again; somebody altered the table meanwhile",
		"table %s: "+format, append([]any{t.ref()}, args...)...)
}

// divide makes the table's partitions.
func (v *view) divide(ctx context.Context, index int, t *scanned, connections int) (*connector.ScannedTable, error) {
	parts, rows, err := v.split(ctx, t, max(1, connections))
	if err != nil {
		return nil, err
	}
	return v.scannedTable(index, t, parts, rows)
}

// scannedTable ties the partitions to the view.
func (v *view) scannedTable(index int, t *scanned, parts []partition, rows int64) (*connector.ScannedTable, error) {
	st := &connector.ScannedTable{Rows: rows, Reached: t.reached}
	if len(t.relation.children) > 0 || t.Guarded {
		st.Notes = t.notes()
	}
	for i := range parts {
		parts[i].Table = index
		if !v.chunked { // else no view ends that they could belong to
			parts[i].View = v.id
		}
		raw, err := json.Marshal(parts[i])
		if err != nil {
			return nil, err
		}
		st.Partitions = append(st.Partitions, raw)
	}
	t.parts = parts
	return st, nil
}
