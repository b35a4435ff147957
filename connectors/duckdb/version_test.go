package duckdb

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// A file begins with a header of 4096 bytes: its checksum, the letters DUCK, and the number of its version.
const (
	headerBytes = 4096
	versionAt   = 8 + 4
)

// sumHeader is DuckDB's checksum of a header, without the checksum itself.
func sumHeader(header []byte) uint64 {
	sum := uint64(5381)
	for at := 8; at < headerBytes; at += 8 {
		sum ^= binary.LittleEndian.Uint64(header[at:]) * 0xbf58476d1ce4e5b9
	}
	return sum
}

// A published file that another version of DuckDB has written, as by somebody's own tool, is never touched: whatever is asked of it ends by a
// fault that says so and what to do.
func TestOtherVersion(t *testing.T) {
	first := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
	publishPeople(t, first, "r1", 10, "a")
	whole, err := os.ReadFile(first.path)
	if err != nil {
		t.Fatal(err)
	}
	if got := binary.LittleEndian.Uint64(whole); got != sumHeader(whole) || string(whole[8:versionAt]) != "DUCK" {
		t.Fatalf("the header of a file is not as this test knows it: checksum %x, want %x", got, sumHeader(whole))
	}
	for name, version := range map[string]uint64{"newer": binary.LittleEndian.Uint64(whole[versionAt:]) + 1000, "older": 51} {
		t.Run(name, func(t *testing.T) {
			other := append([]byte(nil), whole...)
			binary.LittleEndian.PutUint64(other[versionAt:], version)
			binary.LittleEndian.PutUint64(other, sumHeader(other))
			d := openAt(t, filepath.Join(t.TempDir(), "kura.duckdb"))
			if err := os.WriteFile(d.path, other, 0o600); err != nil {
				t.Fatal(err)
			}
			_, planned := d.PlanTable(t.Context(), connector.PlanRequest{Name: "a", Schema: people(), Mode: connector.Replace})
			_, asked := try(t, d, "SELECT 1")
			plan := connector.TablePlan{Name: "a", Mode: connector.Replace}
			_, committed := d.Commit(t.Context(), request("r2", connector.CommitTable{Plan: plan}))
			for what, err := range map[string]error{"plan": planned, "query": asked, "commit": committed} {
				says := fmt.Sprintf("%s is of another version of DuckDB, and is left as it is: IO Error: Trying to read a database file with version number %d,", d.path, version)
				hint := fault.From(err).Hint
				if !fault.HasCode(err, "duckdb.version") || fault.ExitCode(err) != 4 || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") ||
					!strings.Contains(hint, "take a newer kitamae if a newer DuckDB wrote the file") || !strings.Contains(hint, "move "+d.path+" away") {
					t.Errorf("%s: %v\nhint: %s", what, err, hint)
				}
			}
			same(t, d.path, other)
			if left, err := filepath.Glob(filepath.Join(filepath.Dir(d.path), "*")); err != nil || len(left) != 1 {
				t.Errorf("beside the file there are %q, %v", left, err)
			}
		})
	}
}
