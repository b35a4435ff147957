package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// Each task has a table of its own in the schema _kitamae: written again, it is made anew, and reading it back
// touches nobody else's rows. It is unlogged, as its rows are written to the log when they are published; a server
// that crashes empties it, which a commit notices by its rows.

// prefix begins the names of the table's stages in all epochs, id those of one.
func (d *dest) prefix(t connector.StageRequest) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(t.Run + "\x00" + d.schema + "\x00" + t.Plan.Name))
	return fmt.Sprintf("s_%016x_", h.Sum64())
}

func (d *dest) id(t connector.StageRequest) string { return fmt.Sprintf("%s%d", d.prefix(t), t.Epoch) }

// taskTable is the table of a task's rows in SQL.
func (d *dest) taskTable(t connector.StageRequest, task int) string {
	return ident(metaSchema, fmt.Sprintf("%s_%d", d.id(t), task))
}

// Stage notes that the stage is in use, and removes those of other epochs.
func (d *dest) Stage(ctx context.Context, req connector.StageRequest) (connector.Stage, error) {
	stage, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	err = d.with(ctx, func(c *conn) error {
		if err := d.createMeta(ctx, c); err != nil {
			return err
		}
		known, err := list[struct{ ID string }](ctx, c, "looking for stages",
			"SELECT id FROM "+metaTable("stages")+" WHERE id LIKE "+literal(like(d.prefix(req))+"%"))
		if err != nil {
			return err
		}
		for _, k := range known {
			if k.ID != d.id(req) {
				if err := d.dropStage(ctx, c, k.ID); err != nil {
					return err
				}
			}
		}
		return d.exec(ctx, c, "staging "+req.Plan.Name, fmt.Sprintf(`INSERT INTO %s VALUES (%s, %s, %s, now()) ON CONFLICT DO NOTHING`,
			metaTable("stages"), literal(d.id(req)), literal(req.Run), literal(req.Plan.Name)))
	})
	return stage, err
}

// overtakenSQL ends this user's other sessions that hold any of some tables of a schema.
const overtakenSQL = `SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.usename = current_user AND a.pid <> pg_backend_pid() AND a.pid IN (
  SELECT l.pid FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
  WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND c.relnamespace = to_regnamespace(%s) AND c.relname IN (%s))`

// like escapes a text for LIKE.
func like(s string) string { return strings.NewReplacer(`\`, `\\`, `_`, `\_`, `%`, `\%`).Replace(s) }

func (d *dest) exec(ctx context.Context, c *conn, doing, sql string) error {
	_, err := c.PgConn().Exec(ctx, sql).ReadAll()
	return d.explain(ctx, doing, err)
}

// dropStage removes a stage's tables, a hundred in a transaction: each needs a lock. Whoever still writes or reads there has been overtaken:
// its session is ended, as it may sleep.
func (d *dest) dropStage(ctx context.Context, c *conn, id string) error {
	tables, err := list[struct{ Name string }](ctx, c, "looking for staged tables",
		"SELECT relname::text FROM pg_catalog.pg_class WHERE relnamespace = to_regnamespace("+literal(metaSchema)+") AND relkind = 'r' AND relname LIKE "+literal(like(id+"_")+"%"))
	if err != nil {
		return err
	}
	for some := range slices.Chunk(tables, 100) {
		var names, quoted []string
		for _, t := range some {
			names, quoted = append(names, ident(metaSchema, t.Name)), append(quoted, literal(t.Name))
		}
		if err := d.exec(ctx, c, "ending sessions that were overtaken", fmt.Sprintf(overtakenSQL, literal(metaSchema), strings.Join(quoted, ", "))); err != nil {
			return err
		}
		if err := d.exec(ctx, c, "removing what was staged", "DROP TABLE IF EXISTS "+strings.Join(names, ", ")); err != nil {
			return err
		}
	}
	return d.exec(ctx, c, "removing what was staged", "DELETE FROM "+metaTable("stages")+" WHERE id = "+literal(id))
}

// Write copies one task's rows into its table, made anew, in one transaction.
func (d *dest) Write(ctx context.Context, s connector.Stage, task int, rows batch.Stream) (connector.Receipt, error) {
	t, err := connector.ParseStage(s)
	if err != nil {
		return connector.Receipt{}, err
	}
	e := &rowEncoder{table: t.Plan.Name}
	var cols []string
	for i, c := range t.Plan.Columns {
		e.names = append(e.names, c.Name)
		e.targets = append(e.targets, targetFor(c.Type.DataType, c.Kind))
		cols = append(cols, fmt.Sprintf("c%d %s", i+1, c.Native))
	}
	table := d.taskTable(t, task)
	err = d.with(ctx, func(c *conn) error {
		live := false
		if err := c.value(ctx, "looking for the stage", "SELECT EXISTS (SELECT FROM "+metaTable("stages")+" WHERE id = "+literal(d.id(t))+")", &live); err != nil {
			return err
		}
		if !live {
			return fault.New(fault.Destination, "postgres.stage_lost", "run again", "the staged table %s is gone", t.Plan.Name)
		}
		err := d.exec(ctx, c, "staging "+t.Plan.Name, "BEGIN; DROP TABLE IF EXISTS "+table+
			"; CREATE UNLOGGED TABLE "+table+" ("+strings.Join(cols, ", ")+") WITH (autovacuum_enabled = off)")
		if err != nil {
			return err
		}
		in := newCopyReader(rows, e)
		_, err = c.PgConn().CopyFrom(ctx, in, "COPY "+table+" FROM STDIN WITH (FORMAT binary, FREEZE)")
		if failed := in.close(); failed != nil {
			return failed // the server only repeats it
		}
		if err == nil {
			_, err = c.PgConn().Exec(ctx, "COMMIT").ReadAll()
		}
		return d.explain(ctx, "writing "+t.Plan.Name, err)
	})
	return connector.Receipt{Task: task, Epoch: t.Epoch, Rows: e.rows, Bytes: e.size}, err
}

// copyReader is a stream of batches as the bytes of a binary COPY.
type copyReader struct {
	mu   sync.Mutex // held while reading: pgx reads in a goroutine that a cancelled COPY doesn't wait for
	next func() (arrow.RecordBatch, error, bool)
	stop func()
	enc  *rowEncoder
	buf  []byte
	at   int
	done bool
	err  error // of the stream or of a value
}

func newCopyReader(rows batch.Stream, e *rowEncoder) *copyReader {
	r := &copyReader{enc: e, buf: []byte(copyHeader)}
	r.next, r.stop = iter.Pull2(rows)
	return r
}

// Read pulls the next batch once the one before is read.
func (r *copyReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.at == len(r.buf) {
		if r.err != nil {
			return 0, r.err
		}
		if r.done {
			return 0, io.EOF
		}
		r.enc.size += int64(r.at)
		r.buf, r.at = r.buf[:0], 0
		rec, err, ok := r.next()
		switch {
		case !ok:
			r.buf, r.done = append(r.buf, copyTrailer...), true
		case err != nil:
			r.err = err
		default:
			r.buf, r.err = r.enc.batch(r.buf, rec)
		}
		if r.err != nil {
			r.buf = r.buf[:0]
		}
	}
	n := copy(p, r.buf[r.at:])
	r.at += n
	return n, nil
}

// close waits for a Read under way, lets the stream go and returns what went wrong in it. Reads after it find the end.
func (r *copyReader) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop()
	r.buf, r.at, r.done = nil, 0, true
	return r.err
}

// ReadStaged reads the receipts' tables back.
func (d *dest) ReadStaged(ctx context.Context, s connector.Stage, receipts []connector.Receipt, names []string) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		t, err := connector.ParseStage(s)
		if err != nil {
			yield(nil, err)
			return
		}
		q := answer{table: t.Plan.Name}
		var exprs []string
		for i, c := range t.Plan.Columns {
			if len(names) == 0 || slices.Contains(names, c.Name) {
				exprs = append(exprs, fmt.Sprintf("c%d", i+1))
				q.add(t.Plan.Schema().Field(i), targetFor(c.Type.DataType, c.Kind).how)
			}
		}
		if len(names) > 0 {
			order := make([]string, len(names))
			sorted := answer{table: q.table}
			for i, name := range names {
				k := slices.Index(q.names, name)
				if k < 0 {
					yield(nil, fault.New(fault.Internal, "postgres.column", "", "table %s has no column %s", t.Plan.Name, name))
					return
				}
				order[i] = exprs[k]
				sorted.add(q.fields[k], q.hows[k])
			}
			exprs, q = order, sorted
		}
		err = d.with(ctx, func(c *conn) error {
			for _, r := range receipts {
				sql := "SELECT " + strings.Join(exprs, ", ") + " FROM " + d.taskTable(t, r.Task)
				if more, err := q.read(ctx, d, c, sql, yield); err != nil || !more {
					return err
				}
			}
			return nil
		})
		if err != nil {
			yield(nil, err)
		}
	}
}

// Abort removes the stage's tables.
func (d *dest) Abort(ctx context.Context, s connector.Stage) error {
	t, err := connector.ParseStage(s)
	if err != nil {
		return err
	}
	return d.with(context.WithoutCancel(ctx), func(c *conn) error {
		there := false
		if err := c.value(ctx, "looking for stages", "SELECT to_regclass("+literal(metaTable("stages"))+") IS NOT NULL", &there); err != nil || !there {
			return err
		}
		return d.dropStage(ctx, c, d.id(t))
	})
}
