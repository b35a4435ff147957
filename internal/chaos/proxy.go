// Package chaos breaks things on purpose: a TCP proxy that loses connections, and tests that kill
// kitamae, its servers and its disks and then compare what arrived with the source. What is read and written
// stays real: the package imitates no server.
package chaos

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Fault is what befalls one connection. The zero Fault is none.
type Fault struct {
	Kind FaultKind
	// After is how many of the server's bytes get through before it happens. Sent, where it is set, counts the client's in its place.
	After, Sent int64
	// Upon, where it is set, replaces After: it happens when these bytes come from the server, and they don't get through.
	Upon []byte
	// Nth is how many times they get through before, over all connections of the proxy.
	Nth int
}

// FaultKind is a way to lose a connection.
type FaultKind int

// The kinds of faults.
const (
	None  FaultKind = iota
	Drop            // both sides are reset
	Cut             // both sides see the other one close in good order
	Stall           // nothing gets through any more, in either direction, nobody hangs up, and nobody hears that the other did
)

// Random makes each of the first n connections suffer a fault of its own within most bytes of the server's, and spares
// the later ones. The same seed makes the same faults.
func Random(seed uint64, n int, most int64, kinds ...FaultKind) func(conn int) Fault {
	return func(conn int) Fault {
		if conn >= n {
			return Fault{}
		}
		r := rand.New(rand.NewPCG(seed, uint64(conn)))
		return Fault{Kind: kinds[r.IntN(len(kinds))], After: r.Int64N(most)}
	}
}

// Proxy stands between kitamae and a server.
type Proxy struct {
	listener net.Listener
	target   string
	plan     func(conn int) Fault

	mu       sync.Mutex
	happened int
	met      int // how often what Upon looks for came
	open     map[net.Conn]bool
	lifted   chan struct{} // closed by Lift
	closed   chan struct{}
	working  sync.WaitGroup
}

// Listen starts a proxy on 127.0.0.1 in front of target. plan says what befalls each connection, counted from 0. Close it.
func Listen(target string, plan func(conn int) Fault) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, plan: plan, open: map[net.Conn]bool{}, closed: make(chan struct{}), lifted: make(chan struct{})}
	p.working.Go(p.serve)
	return p, nil
}

// Port is where it listens.
func (p *Proxy) Port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// Happened is how many faults there were so far.
func (p *Proxy) Happened() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.happened
}

// Lift ends the stalls there are: whoever still waits there sees the other side hang up at last.
func (p *Proxy) Lift() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.lifted)
	p.lifted = make(chan struct{})
}

// Close hangs up on everybody and waits until all is quiet.
func (p *Proxy) Close() {
	p.mu.Lock()
	close(p.closed)
	_ = p.listener.Close()
	for c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.working.Wait()
}

func (p *Proxy) serve() {
	for n := 0; ; n++ {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.working.Go(func() { p.connect(client, p.plan(n)) })
	}
}

// connect passes bytes between one client and the server until either ends or the fault happens.
func (p *Proxy) connect(client net.Conn, f Fault) {
	server, err := net.DialTimeout("tcp", p.target, 10*time.Second)
	if err != nil {
		reset(client)
		return
	}
	if !p.hold(client, server) {
		return
	}
	defer p.release(client, server)
	p.mu.Lock()
	lifted := p.lifted
	p.mu.Unlock()
	l := &link{proxy: p, client: client, server: server, fault: f, stalled: make(chan struct{}), lifted: lifted}
	var both sync.WaitGroup
	both.Go(l.up)
	both.Go(l.down)
	both.Wait()
}

// hold remembers connections, for Close; it refuses them after it.
func (p *Proxy) hold(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		select {
		case <-p.closed:
			_ = c.Close()
		default:
			p.open[c] = true
		}
	}
	return len(p.open) > 0
}

func (p *Proxy) release(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(p.open, c)
	}
}

// link is one connection through the proxy.
type link struct {
	proxy          *Proxy
	client, server net.Conn
	fault          Fault
	once           sync.Once
	stalled        chan struct{} // closed once nothing gets through any more
	lifted         chan struct{} // closed when the stall is over
	tail           []byte        // the server's latest bytes, as what Upon looks for may come in two reads
}

// holds says whether nothing gets through any more, and waits then until the stall is lifted or the proxy ends.
func (l *link) holds() bool {
	select {
	case <-l.stalled:
		select {
		case <-l.proxy.closed:
		case <-l.lifted:
		}
		return true
	default:
		return false
	}
}

// up passes the client's bytes on.
func (l *link) up() {
	buf := make([]byte, 32<<10)
	var passed int64
	for {
		n, err := l.client.Read(buf)
		if l.holds() {
			return
		}
		let := n
		if most := l.fault.Sent - passed; l.fault.Sent > 0 && int64(n) > most {
			let = int(most)
		}
		if let > 0 {
			if _, err := l.server.Write(buf[:let]); err != nil {
				_ = l.client.Close()
				return
			}
		}
		passed += int64(let)
		if let < n {
			l.happen()
			l.holds()
			return
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				_ = l.server.(*net.TCPConn).CloseWrite()
			} else {
				_ = l.server.Close()
			}
			return
		}
	}
}

// down passes the server's bytes on, up to the fault.
func (l *link) down() {
	buf := make([]byte, 32<<10)
	var passed int64
	for {
		n, err := l.server.Read(buf)
		if l.holds() {
			return
		}
		let, happens := l.until(buf[:n], passed)
		if let > 0 {
			if _, err := l.client.Write(buf[:let]); err != nil {
				_ = l.server.Close()
				return
			}
		}
		passed += int64(let)
		if happens {
			l.happen()
			l.holds()
			return
		}
		if err != nil {
			_ = l.client.Close()
			return
		}
	}
}

// until says how much of b gets through after passed bytes, and whether the fault comes then.
func (l *link) until(b []byte, passed int64) (let int, happens bool) {
	switch {
	case l.fault.Kind == None, l.fault.Sent > 0:
		return len(b), false
	case len(l.fault.Upon) > 0:
		seen := append(l.tail, b...)
		l.tail = bytes.Clone(seen[max(0, len(seen)-len(l.fault.Upon)+1):])
		at := bytes.Index(seen, l.fault.Upon)
		if at < 0 || !l.proxy.meets(l.fault.Nth) {
			return len(b), false
		}
		return max(0, at-(len(seen)-len(b))), true
	case passed+int64(len(b)) <= l.fault.After:
		return len(b), false
	}
	return int(l.fault.After - passed), true
}

// meets counts, and says whether it is the one that nth means.
func (p *Proxy) meets(nth int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.met++
	return p.met == nth+1
}

func (l *link) happen() { l.once.Do(l.suffer) }

func (l *link) suffer() {
	l.proxy.mu.Lock()
	l.proxy.happened++
	l.proxy.mu.Unlock()
	switch l.fault.Kind {
	case Stall:
		close(l.stalled)
	case Drop:
		reset(l.client)
		reset(l.server)
	default:
		_ = l.client.Close()
		_ = l.server.Close()
	}
}

// reset closes without the goodbye that an orderly close sends.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}
