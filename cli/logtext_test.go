package cli

import (
	"strings"
	"testing"
	"time"
)

func TestTextLog(t *testing.T) {
	zone := time.FixedZone("JST", 9*3600)
	for in, want := range map[string]string{
		`{"time":"2026-11-28T20:00:01.5Z","level":"INFO","msg":"verified","table":"users","rows":12000000,"bytes":3}`:  "05:00:01 verified users: bytes 3 rows 12000000",
		`shard 2 | {"time":"2026-11-28T20:00:01Z","level":"INFO","msg":"scanned","guarantee":"chunked","position":""}`: "shard 2 | 05:00:01 scanned guarantee chunked",
		`{"time":"2026-11-28T20:00:01Z","level":"WARN","msg":"held back","table":"users","error":"no {brace}"}`:        "05:00:01 held back users: no {brace}",
		`error: db1 refused user "etl"`: `error: db1 refused user "etl"`,
		`shard 0 | {not: json}`:         `shard 0 | {not: json}`,
		`{"some":"object"}`:             `{"some":"object"}`,
	} {
		var out strings.Builder
		if n, err := (textLog{&out, zone}).Write([]byte(in + "\n")); err != nil || n != len(in)+1 || out.String() != want+"\n" {
			t.Errorf("%s\nis %q (%d, %v), want %q", in, out.String(), n, err, want)
		}
	}
}
