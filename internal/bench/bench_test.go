package main

import (
	"bytes"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/internal/servertest"
)

// TestLineitem: whoever changes the rows must raise generation, or older tables would be measured as new ones.
func TestLineitem(t *testing.T) {
	var b bytes.Buffer
	if _, err := newLineitem(10_000).WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 10_000 {
		t.Fatalf("%d rows, want 10000", len(lines))
	}
	for _, l := range lines {
		if n := strings.Count(l, "\t"); n != 15 {
			t.Fatalf("%d tabs in %q, want 15", n, l)
		}
	}
	if got, want := crc32.ChecksumIEEE(b.Bytes()), uint32(checksum); got != want {
		t.Errorf("the rows' checksum is %#x, want %#x: raise generation along with it", got, want)
	}
}

// checksum is generation 1's.
const checksum = 0x82a773b1

// TestLoadAndDrain loads a small table into each server the benchmark uses and counts it by draining.
func TestLoadAndDrain(t *testing.T) {
	const rows = 5_000
	for _, s := range append(servertest.MySQLServers(t), servertest.PostgresServers(t)...) {
		t.Run(s.Name, func(t *testing.T) {
			t.Cleanup(func() { s.Exec(t, "", "DROP DATABASE IF EXISTS "+database(rows)) })
			for range 2 { // the second time finds what the first one loaded
				if err := load(t.Context(), s, rows); err != nil {
					t.Fatal(err)
				}
			}
			if err := drain(t.Context(), s, rows); err != nil {
				t.Error(err)
			}
			sums := s.Query(t, database(rows), "SELECT count(DISTINCT l_orderkey * 8 + l_linenumber), max(length(l_comment)) <= 44 FROM lineitem")
			if got := sums[0][0]; got != "5000" {
				t.Errorf("%s distinct keys, want %d", got, rows)
			}
		})
	}
}
