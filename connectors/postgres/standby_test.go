package postgres

import (
	"testing"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
)

// TestStandby reads a hot standby, as an Aurora reader is one, in both ways: whole, and with its own counts and samples. Where replay ends
// what is read, a snapshot is lost, and short statements are tried again.
func TestStandby(t *testing.T) {
	primary := servertest.PrivatePostgres(t)
	standby := primary.Standby(t, "max_standby_streaming_delay=0", "hot_standby_feedback=off")
	const rows = 20_000
	primary.Exec(t, "kitamae", "CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT i, md5(i::text) FROM generate_series(1, 20000) i", "VACUUM ANALYZE t")
	standby.Follows(t, primary)
	for _, way := range []string{"snapshot", "chunked"} {
		t.Run(way, func(t *testing.T) {
			spec := specFor(standby.Server, "kitamae")
			spec.Read = way
			s := open(t, spec)
			s.sizes = eager
			asked := wants(discover(t, s)["t"])
			sc := scan(t, s, asked)
			if want := map[string]connector.Guarantee{"snapshot": connector.Database, "chunked": connector.Chunked}[way]; sc.Guarantee != want {
				t.Errorf("the view is %s, want %s", sc.Guarantee, want)
			}
			seen := map[string]bool{}
			for _, p := range sc.Tables[0].Partitions {
				got, _ := read(t, s, p)
				for _, row := range got {
					seen[row[0]] = true
				}
			}
			n, err := s.Count(t.Context(), asked.Tables[0])
			if err != nil || n != rows || len(seen) != rows {
				t.Errorf("%d rows in %d partitions, counted %d, %v", len(seen), len(sc.Tables[0].Partitions), n, err)
			}
			if sample, err := s.Sample(t.Context(), asked.Tables[0], 50); err != nil || sample.NumRows() == 0 {
				t.Errorf("sample: %v", err)
			} else {
				sample.Release()
			}
			s.sizes = defaultSizes // else dividing the table would sleep
			asked.Tables[0].Where = "id > 0 AND (id > 1 OR pg_sleep(90) IS NOT NULL)"
			part := scan(t, s, asked).Tables[0].Partitions[0]
			failed := make(chan error, 1)
			go func() {
				_, _, err := tryRead(t.Context(), s, part)
				failed <- err
			}()
			sleeping := "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
			for deadline := time.Now().Add(time.Minute); standby.Query(t, "kitamae", sleeping)[0][0] == "0"; <-time.After(20 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("nobody sleeps")
				}
			}
			primary.Exec(t, "kitamae", "UPDATE t SET v = v || 'x' WHERE id < 5000", "VACUUM t")
			err = <-failed
			want := map[string]string{"snapshot": "source.snapshot_lost", "chunked": "postgres.conflict"}[way]
			if !fault.HasCode(err, want) || fault.Retryable(err) != (way == "chunked") {
				t.Errorf("a conflict with recovery: %v, want %s", err, want)
			}
			asked.Tables[0].Where = ""
			got, _, err := tryRead(t.Context(), s, scan(t, s, asked).Tables[0].Partitions[0])
			if err != nil || len(got) != rows {
				t.Errorf("afterwards: %d rows, %v", len(got), err)
			}
		})
	}
}
