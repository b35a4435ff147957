package sqlkit

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// loopback is a connection over the loopback interface, and its other end.
func loopback(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	far = <-accepted
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func TestPatientGivesUp(t *testing.T) {
	near, far := loopback(t)
	p := Patient(near, 250*time.Millisecond)
	if _, err := far.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Read(make([]byte, 8)); n != 1 || err != nil {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	if _, err := p.Read(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a silent server: %v", err)
	}
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		_, err = p.Write(make([]byte, 1<<20))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a server that takes nothing: %v", err)
	}
}

// A deadline from outside ends a read under way, is not replaced by the next one, and is forgotten when it is cleared.
func TestPatientKeepsDeadlines(t *testing.T) {
	near, far := loopback(t)
	p := Patient(near, time.Hour)
	failed := make(chan error)
	go func() {
		_, err := p.Read(make([]byte, 8))
		failed <- err
	}()
	if err := p.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the read under way: %v", err)
	}
	if _, err := p.Read(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the read after: %v", err)
	}
	if err := p.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Read(make([]byte, 8)); n != 1 || err != nil {
		t.Errorf("after the deadline was cleared: %d bytes, %v", n, err)
	}
}
