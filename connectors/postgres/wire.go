package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// wireBuffer holds what one read of the socket brings; larger rows make it grow for a while.
const wireBuffer = 256 << 10

// wire runs one statement on an idle session, straight on its socket (or TLS connection).
// pgx logs in and does all the rest; only the rows of a table are worth a loop of one's own.
type wire struct {
	conn  net.Conn
	buf   []byte
	r, w  int   // buf[r:w] has been received and not used
	total int64 // bytes received
}

var errProtocol = errors.New("the server sent a message that breaks the protocol")

// query sends sql, asking for every column in binary.
func (w *wire) query(sql string) error {
	var b []byte
	for _, m := range []pgproto3.FrontendMessage{
		&pgproto3.Parse{Query: sql},
		&pgproto3.Bind{ResultFormatCodes: []int16{pgproto3.BinaryFormat}},
		&pgproto3.Describe{ObjectType: 'P'},
		&pgproto3.Execute{},
		&pgproto3.Sync{},
	} {
		var err error
		if b, err = m.Encode(b); err != nil {
			return err
		}
	}
	_, err := w.conn.Write(b)
	return err
}

// next is the next message's type and body; the body is valid until the call after. When
// the body is longer than limit only its length is returned, for walk to look at.
func (w *wire) next(limit int) (kind byte, body []byte, long int, err error) {
	if w.w-w.r < 5 {
		if err := w.fill(5); err != nil {
			return 0, nil, 0, err
		}
	}
	kind = w.buf[w.r]
	n := int(int32(binary.BigEndian.Uint32(w.buf[w.r+1:])))
	if n < 4 {
		return 0, nil, 0, fmt.Errorf("%w: length %d", errProtocol, n)
	}
	if w.w-w.r < n+1 {
		if n > limit {
			return kind, nil, n - 4, nil
		}
		if err := w.fill(n + 1); err != nil {
			return 0, nil, 0, err
		}
	}
	body = w.buf[w.r+5 : w.r+1+n]
	w.r += n + 1
	return kind, body, 0, nil
}

// fill receives until need bytes wait. The buffer grows as they arrive, not as they are announced.
func (w *wire) fill(need int) error {
	if w.r == w.w && len(w.buf) != wireBuffer && need <= wireBuffer {
		w.buf = make([]byte, wireBuffer)
		w.r, w.w = 0, 0
	}
	if w.r > 0 && len(w.buf)-w.r < max(need, 4096) || w.r == w.w {
		w.w = copy(w.buf, w.buf[w.r:w.w])
		w.r = 0
	}
	for w.w-w.r < need {
		if w.w == len(w.buf) {
			grown := make([]byte, max(wireBuffer, min(need, 2*len(w.buf))))
			w.w = copy(grown, w.buf[w.r:w.w])
			w.r, w.buf = 0, grown
		}
		n, err := w.conn.Read(w.buf[w.w:])
		w.w += n
		w.total += int64(n)
		if err != nil && w.w-w.r < need {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// skip drops n bytes.
func (w *wire) skip(n int) error {
	for n > 0 {
		if w.r == w.w {
			if err := w.fill(1); err != nil {
				return err
			}
		}
		step := min(n, w.w-w.r)
		w.r += step
		n -= step
	}
	return nil
}

// walk looks for a value longer than limit in the row of size bytes that waits. It
// returns its column, or -1 when there is none and the row may be read whole. Otherwise
// the row is used up, and keep has seen the values it asked for.
func (w *wire) walk(size, limit int, keep func(column int, value []byte)) (column, length int, err error) {
	const header, keepMost = 7, 256
	if err := w.fill(header); err != nil {
		return 0, 0, err
	}
	columns := int(binary.BigEndian.Uint16(w.buf[w.r+5:]))
	at, column := header, -1
	for k := range columns {
		if at+4 > size+5 {
			return 0, 0, errProtocol
		}
		if err := w.fill(at + 4); err != nil {
			return 0, 0, err
		}
		n := max(0, int(int32(binary.BigEndian.Uint32(w.buf[w.r+at:]))))
		at += 4
		if at+n > size+5 {
			return 0, 0, errProtocol
		}
		if n > limit && column < 0 {
			column, length = k, n
		}
		if column >= 0 && n > keepMost { // the row won't be used: what is long need not be kept
			if err := w.drop(&at, n, &size); err != nil {
				return 0, 0, err
			}
			continue
		}
		if err := w.fill(at + n); err != nil {
			return 0, 0, err
		}
		if n <= keepMost {
			keep(k, w.buf[w.r+at:w.r+at+n])
		}
		at += n
	}
	if column < 0 {
		return -1, 0, nil
	}
	return column, length, w.skip(at)
}

// drop uses up what was walked over and n bytes more, and leaves the walk at the start of the rest.
func (w *wire) drop(at *int, n int, size *int) error {
	err := w.skip(*at + n)
	*size -= *at + n
	*at = 0
	return err
}

// announced decodes a RowDescription.
func announced(body []byte) ([]pgproto3.FieldDescription, error) {
	var m pgproto3.RowDescription
	if err := m.Decode(body); err != nil {
		return nil, err
	}
	return m.Fields, nil
}

// reported decodes an ErrorResponse.
func reported(body []byte) error {
	var m pgproto3.ErrorResponse
	if err := m.Decode(body); err != nil {
		return err
	}
	return pgconn.ErrorResponseToPgError(&m)
}
