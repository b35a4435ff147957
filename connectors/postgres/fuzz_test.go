package postgres

import (
	"bytes"
	"encoding/binary"
	"math"
	"net"
	"net/url"
	"testing"
	"time"
)

// fed is a connection whose other side already said everything.
type fed struct {
	net.Conn
	said *bytes.Reader
}

func (f fed) Read(b []byte) (int, error)      { return f.said.Read(b) }
func (f fed) Write(b []byte) (int, error)     { return len(b), nil }
func (f fed) SetReadDeadline(time.Time) error { return nil }

func message(kind byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4)), body...)
}

// FuzzWire reads whatever a hostile server may send in answer to a query, message by message, long rows column by
// column: it ends in an error or at the end, never in a panic, and takes no memory for what is only announced.
func FuzzWire(f *testing.F) {
	row := message('D', whole())
	f.Add(append(append(message('1', nil), row...), message('Z', []byte{'I'})...), 64)
	f.Add(row[:len(row)-3], 1<<20)
	f.Add(message('E', []byte("SERROR\x00C42P01\x00Mgone\x00\x00")), 8)
	f.Add(message('T', []byte{0, 1, 'a', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 23, 0, 4, 255, 255, 255, 255, 0, 1}), 8)
	f.Add([]byte{'D', 0x7f, 0xff, 0xff, 0xff, 0, 2, 0x7f, 0, 0, 0}, 16)
	f.Fuzz(func(t *testing.T, stream []byte, limit int) {
		w := &wire{conn: fed{said: bytes.NewReader(stream)}}
		limit = max(1, limit)
		for {
			kind, body, long, err := w.next(limit)
			if err == nil && long > 0 {
				column, length, walkErr := w.walk(long, limit, func(int, []byte) {})
				if walkErr == nil && column < 0 && length != 0 {
					t.Errorf("no column of %d bytes", length)
				}
				if walkErr == nil && column < 0 {
					_, _, _, walkErr = w.next(math.MaxInt) // as flow does: the next call must use the row up
				}
				err = walkErr
			}
			if err != nil {
				break
			}
			switch kind {
			case 'E':
				_ = reported(body)
			case 'T':
				_, _ = announced(body)
			}
		}
		if len(w.buf) > 2*wireBuffer+2*len(stream) {
			t.Errorf("a buffer of %d bytes for a stream of %d", len(w.buf), len(stream))
		}
	})
}

// FuzzURL makes specs out of whatever people type.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"postgres://u:p@h:5432/db?sslmode=disable", "postgresql://u@[::1]/db", "postgres:///db?host=/run", "postgres://u:p%40@h:99999/db", "postgres://h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		spec, err := fromURL(u)
		if err != nil {
			return
		}
		if s := spec.(*Spec); s.Database == "" || s.Host == "" || s.Port < 1 || s.Port > 65535 {
			t.Errorf("%q became %+v", text, s)
		}
	})
}
