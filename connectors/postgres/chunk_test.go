package postgres

import (
	"strconv"
	"testing"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
)

// TestBrokenChunkLoopIsCaught makes the loop over a partition's chunks leave rows out, or read some twice: both counts, of what
// is read and of what the server has in it, would agree.
func TestBrokenChunkLoopIsCaught(t *testing.T) {
	eachServer(t, func(t *testing.T, s servertest.Server, db string) {
		s.Exec(t, db, "CREATE TABLE t (id int PRIMARY KEY, pad text)", "INSERT INTO t SELECT i, repeat(md5(i::text), 59) FROM generate_series(1, 30000) i", "ANALYZE t")
		spec := specFor(s, db)
		spec.Read = "chunked"
		for name, change := range map[string]func(at int) []string{
			"left out": func(at int) []string { return []string{strconv.Itoa(at + 50)} },
			"twice":    func(at int) []string { return []string{strconv.Itoa(at - 50)} },
			"again":    func(int) []string { return nil },
			"as it is": nil,
		} {
			src, chunks := open(t, spec), 0
			src.between = func(rest *partition) {
				if chunks++; chunks > 1 || change == nil {
					return
				}
				at, err := strconv.Atoi(rest.Lo[0])
				if err != nil {
					t.Error(err)
				}
				rest.Lo = change(at)
			}
			_, _, err := tryRead(t.Context(), src, scan(t, src, wants(discover(t, src)["t"])).Tables[0].Partitions[0])
			if chunks == 0 {
				t.Errorf("%s: one chunk only: the test proves nothing", name)
			}
			if caught := fault.HasCode(err, "verify.ranges"); caught != (change != nil) || caught && (fault.ExitCode(err) != 5 || fault.Retryable(err)) || !caught && err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
