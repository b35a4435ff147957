package sqlkit

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

// socketPair is two ends of one connection inside this process.
func socketPair() (near, far net.Conn, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a pair of sockets: %w", err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "tunnel")
		ends[i], err = net.FileConn(f)
		f.Close()
		if err != nil {
			return nil, nil, fmt.Errorf("make a pair of sockets: %w", err)
		}
	}
	return ends[0], ends[1], nil
}
