package sqlkit

import (
	"net"
	"sync"
	"time"
)

// Patient makes reads from, and writes to, c fail once the other side has been silent for longer than patience:
// a server, or something in between, that stalls without hanging up would else be waited for
// forever. Only waiting counts, not the time between two reads. A deadline that is set on the
// connection comes first for as long as it is set. No patience at all means no limit.
func Patient(c net.Conn, patience time.Duration) *PatientConn {
	return &PatientConn{Conn: c, patience: patience}
}

// PatientConn is what [Patient] makes of a connection.
type PatientConn struct {
	net.Conn

	mu                  sync.Mutex
	patience            time.Duration
	readHeld, writeHeld bool // by a deadline from outside
}

// SetPatience changes how long the next reads and writes wait.
func (p *PatientConn) SetPatience(patience time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.patience = patience
}

func (p *PatientConn) Read(b []byte) (int, error) {
	p.arm(&p.readHeld, p.Conn.SetReadDeadline)
	return p.Conn.Read(b)
}

func (p *PatientConn) Write(b []byte) (int, error) {
	p.arm(&p.writeHeld, p.Conn.SetWriteDeadline)
	return p.Conn.Write(b)
}

// arm starts the wait, unless a deadline from outside rules it. The lock keeps it from replacing one that comes meanwhile.
func (p *PatientConn) arm(held *bool, set func(time.Time) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if *held {
		return
	}
	until := time.Time{}
	if p.patience > 0 {
		until = time.Now().Add(p.patience)
	}
	_ = set(until) // a closed connection says so when it is read
}

func (p *PatientConn) SetDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readHeld, p.writeHeld = !t.IsZero(), !t.IsZero()
	return p.Conn.SetDeadline(t)
}

func (p *PatientConn) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readHeld = !t.IsZero()
	return p.Conn.SetReadDeadline(t)
}

func (p *PatientConn) SetWriteDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writeHeld = !t.IsZero()
	return p.Conn.SetWriteDeadline(t)
}
