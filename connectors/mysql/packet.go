package mysql

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/kitamae/kitamae/fault"
)

// bufferBytes is how much one read from the socket may bring. Larger than what a busy
// server sends at once saves nothing more.
const bufferBytes = 256 << 10

// maxPayload is a packet's largest payload; one as large as that continues in the next packet.
const maxPayload = 1<<24 - 1

// errMalformed is wrapped by every complaint about bytes that break the protocol.
var errMalformed = errors.New("malformed packet")

// packets cuts the server's answers into payloads. It reads nothing beyond the current
// answer's end that a later one could miss, since the server only speaks when asked.
type packets struct {
	r       io.Reader
	buf     []byte
	at, end int // buf[at:end] is read and not yet handed out
	seq     byte
	bytes   int64 // payloads handed out
	// big holds payloads that outgrow buf.
	big []byte
	// inspect, when set, looks at the part of a large payload that has arrived, before more memory is spent on it.
	inspect func(part []byte) error
}

// start begins a new answer: sequence numbers restart behind the command's 0.
func (p *packets) start(r io.Reader) {
	if p.buf == nil {
		p.buf = make([]byte, bufferBytes)
	}
	p.r, p.at, p.end, p.seq, p.bytes = r, 0, 0, 1, 0
}

// fill makes at least n bytes wait in buf, n at most len(buf).
func (p *packets) fill(n int) error {
	if p.at+n > len(p.buf) {
		p.end = copy(p.buf, p.buf[p.at:p.end])
		p.at = 0
	}
	for p.end-p.at < n {
		got, err := p.r.Read(p.buf[p.end:])
		p.end += got
		if err != nil && p.end-p.at < n {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// header takes the next packet's header and returns its payload's length.
func (p *packets) header() (int, error) {
	if p.end-p.at < 4 {
		if err := p.fill(4); err != nil {
			return 0, err
		}
	}
	h := binary.LittleEndian.Uint32(p.buf[p.at:])
	if byte(h>>24) != p.seq {
		return 0, fmt.Errorf("%w: number %d, expected %d", errMalformed, byte(h>>24), p.seq)
	}
	p.seq++
	p.at += 4
	return int(h & maxPayload), nil
}

// next returns the next payload, never empty. It stays valid until the call after.
func (p *packets) next() ([]byte, error) {
	n, err := p.header()
	if err != nil {
		return nil, err
	}
	if n > len(p.buf) || n == maxPayload {
		return p.large(n)
	}
	if n == 0 {
		return nil, fmt.Errorf("%w: empty", errMalformed)
	}
	if p.end-p.at < n {
		if err := p.fill(n); err != nil {
			return nil, err
		}
	}
	payload := p.buf[p.at : p.at+n : p.at+n]
	p.at += n
	p.bytes += int64(n)
	return payload, nil
}

// largeStep is how much of a large payload is read between two looks at it.
const largeStep = 4 << 20

// large collects a payload of n bytes and its continuations in a buffer of its own. The
// buffer grows with what has arrived, never with what a header claims. What inspect
// refuses is read to its end and thrown away: the next packet can be read.
func (p *packets) large(n int) ([]byte, error) {
	p.big = p.big[:0]
	if cap(p.big) > 2*largeStep {
		p.big = nil
	}
	var refused error
	for {
		for left := n; left > 0; {
			if refused != nil {
				p.big = p.big[:0]
			}
			step := min(left, largeStep)
			have := len(p.big)
			p.big = append(p.big, make([]byte, step)...)
			taken := copy(p.big[have:], p.buf[p.at:p.end])
			p.at += taken
			if _, err := io.ReadFull(p.r, p.big[have+taken:]); err != nil {
				if err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				return nil, err
			}
			left -= step
			if p.inspect != nil && refused == nil {
				refused = p.inspect(p.big)
			}
		}
		if n < maxPayload && refused != nil {
			return nil, refused
		}
		if n < maxPayload {
			p.bytes += int64(len(p.big))
			return p.big, nil
		}
		var err error
		if n, err = p.header(); err != nil {
			return nil, err
		}
	}
}

// serverError reads an ERR payload.
func serverError(p []byte) error {
	if len(p) < 9 || p[3] != '#' {
		if len(p) < 3 {
			return fmt.Errorf("%w: error of %d bytes", errMalformed, len(p))
		}
		return &mysql.MyError{Code: binary.LittleEndian.Uint16(p[1:]), State: "HY000", Message: string(p[3:])}
	}
	return &mysql.MyError{Code: binary.LittleEndian.Uint16(p[1:]), State: string(p[4:9]), Message: string(p[9:])}
}

// The first bytes of payloads.
const (
	headOK  = 0x00
	headEOF = 0xfe
	headErr = 0xff
)

// isEnd recognises the packet that ends definitions and rows. In the binary protocol a
// row starts with 0x00, so that length tells nothing apart but a definition's catalog name.
func isEnd(p []byte) bool { return p[0] == headEOF && len(p) < 9 }

// wireColumn is what the server says about one column of an answer.
type wireColumn struct {
	name     string
	code     byte // a MYSQL_TYPE
	unsigned bool
	charset  uint16 // a collation's number; 63 is binary
}

// parseColumn reads a column definition.
func parseColumn(p []byte) (c wireColumn, err error) {
	for i := range 6 { // catalog, schema, table, original table, name, original name
		var s []byte
		if s, p, err = takeString(p); err != nil {
			return c, err
		}
		if i == 4 {
			c.name = string(s)
		}
	}
	fixed, _, err := takeString(p)
	if err != nil || len(fixed) < 10 {
		return c, fmt.Errorf("%w: column definition", errMalformed)
	}
	c.charset = binary.LittleEndian.Uint16(fixed)
	c.code = fixed[6]
	c.unsigned = binary.LittleEndian.Uint16(fixed[7:])&mysql.UNSIGNED_FLAG != 0
	return c, nil
}

// takeString cuts a length-encoded string off p. A null is malformed here.
func takeString(p []byte) (s, rest []byte, err error) {
	if len(p) == 0 {
		return nil, nil, fmt.Errorf("%w: cut short", errMalformed)
	}
	n, size := lengthOf(p)
	if size == 0 || n > uint64(len(p)-size) {
		return nil, nil, fmt.Errorf("%w: length %d in %d bytes", errMalformed, n, len(p))
	}
	return p[size : size+int(n)], p[size+int(n):], nil
}

// lengthOf reads a length-encoded integer at the start of p and says how many bytes it
// took, 0 when it is cut short or none. p is not empty.
func lengthOf(p []byte) (n uint64, size int) {
	switch b := p[0]; {
	case b < 0xfb:
		return uint64(b), 1
	case b == 0xfc && len(p) >= 3:
		return uint64(binary.LittleEndian.Uint16(p[1:])), 3
	case b == 0xfd && len(p) >= 4:
		return uint64(p[1]) | uint64(p[2])<<8 | uint64(p[3])<<16, 4
	case b == 0xfe && len(p) >= 9:
		return binary.LittleEndian.Uint64(p[1:]), 9
	}
	return 0, 0
}

// errDiscarded is what inspect says when nobody wants the rows any more.
var errDiscarded = fault.New(fault.Internal, "mysql.discarded", "", "discarded")

func discard([]byte) error { return errDiscarded }

// statement is a prepared SELECT without parameters whose answer is being read.
type statement struct {
	c       *conn
	id      uint32
	columns []wireColumn
	ended   bool // the answer's last packet was read
}

// execute prepares and runs sql in the binary protocol, up to the column definitions.
// After an error from the server the connection is usable again; after any other it is broken.
func (c *conn) execute(sql string) (*statement, error) {
	st := &statement{c: c}
	if err := st.run(sql); err != nil {
		var my *mysql.MyError
		if !errors.As(err, &my) {
			c.broken = true
		}
		return nil, err
	}
	return st, nil
}

func (st *statement) run(sql string) error {
	c := st.c
	if err := c.command(append([]byte{mysql.COM_STMT_PREPARE}, sql...)); err != nil {
		return err
	}
	p, err := c.in.next()
	if err != nil {
		return err
	}
	if p[0] == headErr {
		return serverError(p)
	}
	if p[0] != headOK || len(p) < 9 {
		return fmt.Errorf("%w: answer to PREPARE", errMalformed)
	}
	st.id = binary.LittleEndian.Uint32(p[1:])
	columns, params := binary.LittleEndian.Uint16(p[5:]), binary.LittleEndian.Uint16(p[7:])
	if params > 0 {
		return fmt.Errorf("%w: %d parameters in a statement without any", errMalformed, params)
	}
	if columns > 0 {
		if _, err := c.in.definitions(int(columns)); err != nil {
			return err
		}
	}
	exec := binary.LittleEndian.AppendUint32([]byte{mysql.COM_STMT_EXECUTE}, st.id)
	if err := c.command(append(exec, 0, 1, 0, 0, 0)); err != nil { // no cursor, once
		return err
	}
	if p, err = c.in.next(); err != nil {
		return err
	}
	if p[0] == headErr {
		err := serverError(p)
		st.close()
		return err
	}
	n, size := lengthOf(p)
	if size != len(p) || n == 0 || n > 4096 {
		return fmt.Errorf("%w: answer to EXECUTE", errMalformed)
	}
	st.columns, err = c.in.definitions(int(n))
	return err
}

// definitions reads n column definitions and the packet that ends them.
func (p *packets) definitions(n int) ([]wireColumn, error) {
	cols := make([]wireColumn, 0, n)
	for {
		payload, err := p.next()
		switch {
		case err != nil:
			return nil, err
		case payload[0] == headErr:
			return nil, serverError(payload)
		case isEnd(payload) && len(cols) == n:
			return cols, nil
		case isEnd(payload) || len(cols) == n:
			return nil, fmt.Errorf("%w: %d column definitions, not %d", errMalformed, len(cols), n)
		}
		c, err := parseColumn(payload)
		if err != nil {
			return nil, err
		}
		cols = append(cols, c)
	}
}

// command sends one command packet and makes ready for the answer.
func (c *conn) command(payload []byte) error {
	if c.broken {
		return io.ErrClosedPipe
	}
	c.my.ResetSequence()
	c.in.start(c.raw)
	return c.my.WritePacket(append(make([]byte, 4, len(payload)+4), payload...))
}

// row returns the next row's payload, io.EOF after the last one. An error of the server
// ends the answer too, and leaves the connection usable.
func (st *statement) row() ([]byte, error) {
	p, err := st.c.in.next()
	if err != nil {
		var f *fault.Error
		st.c.broken = !errors.As(err, &f)
		return nil, err
	}
	if p[0] == headOK {
		return p, nil
	}
	switch {
	case isEnd(p):
		st.ended = true
		return nil, io.EOF
	case p[0] == headErr:
		st.ended = true
		return nil, serverError(p)
	}
	st.c.broken = true
	return nil, fmt.Errorf("%w: row starts with %#x", errMalformed, p[0])
}

// close forgets the statement at the server, which answers nothing.
func (st *statement) close() {
	if st.c.broken {
		return
	}
	st.c.in.inspect = nil
	if err := st.c.command(binary.LittleEndian.AppendUint32([]byte{mysql.COM_STMT_CLOSE}, st.id)); err != nil {
		st.c.broken = true
	}
}
