package mysql

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// frame makes packets of a payload, numbered from *seq on.
func frame(seq *byte, payload []byte) (out []byte) {
	for {
		n := min(len(payload), maxPayload)
		out = append(append(out, byte(n), byte(n>>8), byte(n>>16), *seq), payload[:n]...)
		*seq++
		payload = payload[n:]
		if n < maxPayload {
			return out
		}
	}
}

// TestPackets cuts payloads of all awkward sizes out of a stream that comes in small reads.
func TestPackets(t *testing.T) {
	seq := byte(1)
	var stream []byte
	sizes := []int{1, 5, bufferBytes - 4, bufferBytes, bufferBytes + 1, maxPayload - 1, maxPayload, maxPayload + 1, 7, 2*maxPayload + 3, 9}
	for k, n := range sizes {
		stream = append(stream, frame(&seq, bytes.Repeat([]byte{byte(k + 1)}, n))...)
	}
	var p packets
	p.start(&dribble{stream, 70_001})
	for k, n := range sizes {
		got, err := p.next()
		if err != nil || len(got) != n || len(bytes.Trim(got, string(rune(k+1)))) != 0 {
			t.Fatalf("payload %d: %d bytes, %v; want %d", k, len(got), err, n)
		}
	}
	if _, err := p.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("at the end: %v", err)
	}
}

// dribble reads at most n bytes at a time.
type dribble struct {
	rest []byte
	n    int
}

func (d *dribble) Read(p []byte) (int, error) {
	if len(d.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), d.n)], d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

func TestErrorInTheMiddleOfRows(t *testing.T) {
	seq := byte(1)
	stream := append(frame(&seq, []byte{0, 0, 1}), frame(&seq, []byte("\xff\x25\x05#70100interrupted"))...)
	st := &statement{c: &conn{}}
	st.c.in.start(bytes.NewReader(stream))
	if _, err := st.row(); err != nil {
		t.Fatal(err)
	}
	_, err := st.row()
	var my *mysql.MyError
	if !errors.As(err, &my) || my.Code != erInterrupted || my.Message != "interrupted" || !st.ended || st.c.broken {
		t.Errorf("got %v, ended %v, broken %v", err, st.ended, st.c.broken)
	}
}

// FuzzPackets feeds the packet loop anything a hostile server might send: errors, never a
// panic and never much more memory than arrived.
func FuzzPackets(f *testing.F) {
	seq := byte(1)
	f.Add(frame(&seq, lineitemRow()))
	f.Add([]byte{0xff, 0xff, 0xff, 1, 0})
	seq = 1
	f.Add(frame(&seq, []byte("\x03def\x00\x01t\x01t\x01c\x01c\x0c\x2d\x00\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00")))
	f.Fuzz(func(t *testing.T, stream []byte) {
		var p packets
		p.start(bytes.NewReader(stream))
		for {
			payload, err := p.next()
			if err != nil {
				break
			}
			_, _ = parseColumn(payload)
			_ = serverError(payload)
		}
		p.start(bytes.NewReader(stream))
		_, _ = p.definitions(1)
	})
}
