package servertest

import (
	"net"
	"testing"
)

// TestStoreWhosePortIsTaken: a store that finds its port taken is started again, at another one.
func TestStoreWhosePortIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, tc := range []struct {
		name string
		args func(address string) []string
	}{
		{"gofakes3", func(address string) []string { return []string{"-host", address, "-backend", "memory", "-quiet"} }},
		{"fake-gcs-server", func(address string) []string {
			host, port, _ := net.SplitHostPort(address)
			return []string{"-scheme", "http", "-host", host, "-port", port, "-backend", "memory", "-log-level", "error"}
		}},
	} {
		tries := 0
		startStore(t, tc.name, func(address string) []string {
			if tries++; tries == 1 {
				address = l.Addr().String()
			}
			return tc.args(address)
		})
		if tries != 2 {
			t.Errorf("%s: started %d times, want 2", tc.name, tries)
		}
	}
}
