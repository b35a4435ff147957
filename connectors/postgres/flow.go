package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/kitamae/kitamae/batch"
)

// largeRow is from how many bytes on a row makes the batch measure itself at once.
const largeRow = 64 << 10

// flow is one statement's answer being turned into batches.
type flow struct {
	*reading
	conn *conn
	wire *wire
	b    *batch.Builder
	dec  *decoder

	idle bool // the answer is wholly read: the session can be used again
	// stopped: the reader wants no more
	stopped bool
	broken  bool // the socket or the protocol failed: the session can't be used again
}

// errStopped says that whoever pulls wants no more.
var errStopped = errors.New("stopped")

// run reads the answer message by message. It returns nil when the reader stopped pulling.
func (f *flow) run(ctx context.Context, yield func(arrow.RecordBatch, error) bool) error {
	// After a write that took long (15 ms) a goroutine of pgx's still waits for what comes next on the socket, and would take
	// the beginning of this answer.
	err := f.conn.PgConn().SyncConn(ctx)
	if err != nil {
		f.broken = true
		return f.conn.explain(ctx, "reading "+f.table.ref(), err)
	}
	if f.b, err = batch.NewBuilder(f.table.schema, f.view.src.pool, f.view.batchBytes); err != nil {
		f.idle = true
		return err
	}
	defer f.b.Release()
	f.dec = newDecoder(f.table.ref(), f.table.names, f.table.read, f.b)
	f.dec.key, f.dec.max, f.dec.encoded = f.table.keyAt, f.view.maxValue, f.conn.encoded
	f.conn.began = time.Now()
	if err := f.wire.query(f.table.query(f.part)); err != nil {
		f.broken = true
		return err
	}
	err = f.answer(ctx, yield)
	if errors.Is(err, errStopped) {
		err, f.stopped = nil, true
	}
	f.result.Changed, f.result.Bytes = f.dec.results(), f.wire.total
	return f.conn.explain(ctx, "reading "+f.table.ref(), err) // before another statement begins
}

// answer handles messages up to the one that says the session is idle again.
func (f *flow) answer(ctx context.Context, yield func(arrow.RecordBatch, error) bool) error {
	var failed error
	for {
		kind, body, long, err := f.wire.next(max(f.view.maxValue, 4*wireBuffer))
		if err == nil && long > 0 {
			if err = f.longRow(kind, long); err == nil {
				kind, body, _, err = f.wire.next(math.MaxInt)
			}
		}
		if err != nil {
			f.broken = !f.recoverable(err)
			return err
		}
		switch kind {
		case 'D':
			if err := f.dec.row(body); err != nil {
				return err
			}
			if f.b.Full() || (len(body) > largeRow && f.b.Large()) {
				if err := f.flush(yield); err != nil {
					return err
				}
			}
		case 'T':
			if err := f.check(ctx, body); err != nil {
				return err
			}
		case 'E':
			failed = reported(body)
			var pg *pgconn.PgError
			if errors.As(failed, &pg) && pg.Severity == "FATAL" {
				f.broken = true
				return failed
			}
		case 'Z':
			f.idle = f.wire.r == f.wire.w
			f.broken = !f.idle
			if failed != nil {
				f.conn.failed = true
				return failed
			}
			return f.flush(yield)
		case '1', '2', 'C', 'S', 'N', 'A': // parsed, bound, complete, and what a server may say at any time
		default:
			f.broken = true
			return fmt.Errorf("%w: type %q", errProtocol, kind)
		}
	}
}

// longRow looks into a row that is longer than one value may be. It returns nil when its values are
// short enough and the row may be read.
func (f *flow) longRow(kind byte, size int) error {
	if kind != 'D' {
		return fmt.Errorf("%w: %d bytes of type %q", errProtocol, size, kind)
	}
	var key []string
	column, length, err := f.wire.walk(size, f.dec.max, func(k int, v []byte) {
		for _, i := range f.dec.key {
			if i == k {
				key = append(key, f.dec.show(k, v))
			}
		}
	})
	if err != nil || column < 0 {
		return err
	}
	if column >= len(f.dec.fields) {
		return errProtocol
	}
	return f.dec.tooLargeAt(column, length, key)
}

// recoverable says that err is about the rows, not about the connection.
func (f *flow) recoverable(err error) bool { return isFault(err) }

// check compares what the server announces with what the scan found: every column in
// binary and of the type it had. It then makes sure that the snapshot's owner still
// lives, which keeps the table from being rewritten under the snapshot.
func (f *flow) check(ctx context.Context, body []byte) error {
	fields, err := announced(body)
	if err != nil {
		f.broken = true
		return err
	}
	if len(fields) != len(f.table.read) {
		return f.dec.changed("%d columns were announced, want %d", len(fields), len(f.table.read))
	}
	for i, h := range f.table.read {
		switch {
		case fields[i].Format != pgproto3.BinaryFormat:
			f.broken = true
			return f.dec.broken("column %s comes in text", f.table.names[i])
		case h.OID != 0 && fields[i].DataTypeOID != h.OID:
			return f.dec.changed("column %s now has the type with OID %d, it had %d", f.table.names[i], fields[i].DataTypeOID, h.OID)
		}
	}
	return f.view.ownerLives(ctx)
}

// flush yields the rows that wait.
func (f *flow) flush(yield func(arrow.RecordBatch, error) bool) error {
	if f.b.Rows() == 0 {
		return nil
	}
	rec, err := f.b.Batch()
	if err != nil {
		return err
	}
	defer rec.Release()
	if !yield(rec, nil) {
		return errStopped
	}
	return nil
}

// abandon leaves an answer in the middle and keeps the session: the server is told to
// stop, what it has sent already is dropped. Where that takes too long the session ends.
func (f *flow) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	deadline, _ := ctx.Deadline()
	socket := f.wire.conn
	if f.conn.PgConn().CancelRequest(ctx) != nil || socket.SetReadDeadline(deadline) != nil || !f.drain() {
		f.conn.stop()
		return
	}
	f.conn.failed = true
	if socket.SetReadDeadline(time.Time{}) != nil {
		f.conn.stop()
	}
}

// drain drops messages up to the one that says the session is idle again.
func (f *flow) drain() bool {
	for {
		if f.wire.fill(5) != nil {
			return false
		}
		kind := f.wire.buf[f.wire.r]
		n := int(int32(binary.BigEndian.Uint32(f.wire.buf[f.wire.r+1:])))
		if n < 4 || f.wire.skip(n+1) != nil {
			return false
		}
		if kind == 'Z' {
			return f.wire.r == f.wire.w
		}
	}
}
