package mysql

import (
	"strconv"
	"testing"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
)

// TestBrokenChunkLoopIsCaught makes the loop over a partition's chunks leave rows out, or read some twice: both counts, of what
// is read and of what the server has in it, would agree.
func TestBrokenChunkLoopIsCaught(t *testing.T) {
	everyServer(t, func(t *testing.T, s servertest.Server, db string) {
		s.Exec(t, db, "CREATE TABLE digits (d int)", "INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)",
			"CREATE TABLE t (id int PRIMARY KEY, pad varchar(2000))", "INSERT INTO t SELECT n, REPEAT('x', 1900) FROM "+numbers,
			"INSERT INTO t SELECT id + 10000, pad FROM t", "INSERT INTO t SELECT id + 20000, pad FROM t")
		s.Query(t, db, "ANALYZE TABLE t")
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
			scan := scanOf(t, src, table(t, src, "t"), 1)
			_, _, err := readRows(t.Context(), src, scan.Tables[0].Partitions[0])
			if chunks == 0 {
				t.Errorf("%s: one chunk only: the test proves nothing", name)
			}
			if caught := fault.HasCode(err, "verify.ranges"); caught != (change != nil) || caught && (fault.ExitCode(err) != 5 || fault.Retryable(err)) || !caught && err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
