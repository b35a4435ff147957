package postgres

import (
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/internal/servertest"
)

// TestCommitCutOff ends the session that commits between any two steps of an append, the last of which is the answer that is lost:
// the commit is asked for again, and each row is there once.
func TestCommitCutOff(t *testing.T) {
	for _, at := range []string{"published", "recorded", "committed"} {
		t.Run(at, func(t *testing.T) {
			s := servertest.PostgresNewest(t)
			db := servertest.FreshDatabase(t, s)
			login := specFor(s, db)
			spec := destDefaults
			spec.Host, spec.Port, spec.User, spec.Password, spec.Database = login.Host, login.Port, login.User, login.Password, db
			open := func() *dest {
				d, err := openDest(t.Context(), spec, connector.Env{})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = d.Close() }) // its sessions may be gone
				return d.(*dest)
			}
			d := open()
			commitOne(t, d, "r1", false, at)
			d.step = func(done string) {
				if done == at {
					s.Query(t, "", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kitamae' AND datname = "+literal(db))
				}
			}
			req := commitOne(t, d, "r2", true, at)
			again := open()
			found, err := again.Recover(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			want := connector.CommitAgain
			if at == "committed" {
				want = connector.Done
			}
			if found != want {
				t.Errorf("recover = %q, want %q", found, want)
			}
			for range 2 {
				if _, err := again.Commit(t.Context(), req); err != nil {
					t.Fatal(err)
				}
			}
			if got := s.Query(t, db, "SELECT count(*), (SELECT reached FROM _kitamae.tables ORDER BY number DESC LIMIT 1) FROM t")[0]; got[0] != "2" || got[1] != "r2" {
				t.Errorf("%s rows, the cursor at %s; want 2 and r2", got[0], got[1])
			}
		})
	}
}

// stageOne stages one row to be appended.
func stageOne(t *testing.T, d *dest, run string) connector.CommitRequest {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{batch.Field("id", arrow.PrimitiveTypes.Int32, true, "", "", "")}, nil)
	plan, err := d.PlanTable(t.Context(), connector.PlanRequest{Name: "t", Mode: connector.Append, Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	stage, err := d.Stage(t.Context(), connector.StageRequest{Run: run, Plan: *plan})
	if err != nil {
		t.Fatal(err)
	}
	b, err := batch.NewBuilder(schema, &batch.Pool{}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	b.Columns[0].Uint32(1)
	rec, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	receipt, err := d.Write(t.Context(), stage, 0, batch.Of(rec))
	if err != nil {
		t.Fatal(err)
	}
	return connector.CommitRequest{Run: connector.RunRecord{ID: run, Started: time.Now()}, Tables: []connector.CommitTable{{
		Stage: stage, Plan: *plan, Receipts: []connector.Receipt{receipt}, Reached: run, Evidence: connector.Evidence{Run: run, Rows: 1},
	}}}
}

// commitOne appends one row; a commit that is to be cut off must fail, unless all is done and only the answer is lost.
func commitOne(t *testing.T, d *dest, run string, cut bool, at string) connector.CommitRequest {
	t.Helper()
	req := stageOne(t, d, run)
	if _, err := d.Commit(t.Context(), req); (err != nil) != cut && at != "committed" {
		t.Fatalf("commit of %s: %v", run, err)
	}
	return req
}
