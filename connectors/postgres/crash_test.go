package postgres

import (
	"strings"
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
			open := func() *dest { return destinationIn(t, s, db) }
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
	return stageAs(t, d, run, connector.Append)
}

func stageAs(t *testing.T, d *dest, run string, mode connector.Mode) connector.CommitRequest {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{batch.Field("id", arrow.PrimitiveTypes.Int32, true, "", "", "")}, nil)
	plan, err := d.PlanTable(t.Context(), connector.PlanRequest{Name: "t", Mode: mode, Schema: schema})
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

// TestOvertaken: a run that died before its commit, or slept, meets a table that a run of another machine has changed meanwhile. Its rows would be there
// twice, or older than what is: they stay out, and are read again.
func TestOvertaken(t *testing.T) {
	s := servertest.PostgresNewest(t)
	db := servertest.FreshDatabase(t, s)
	open := func() *dest { return destinationIn(t, s, db) }
	want := func(rows, reached string) {
		t.Helper()
		if got := s.Query(t, db, "SELECT count(*), (SELECT reached FROM _kitamae.tables ORDER BY number DESC LIMIT 1) FROM t")[0]; got[0] != rows || got[1] != reached {
			t.Errorf("%s rows, the cursor at %s; want %s and %s", got[0], got[1], rows, reached)
		}
	}
	asleep, awake := open(), open()
	first := stageOne(t, asleep, "r1")
	commitOne(t, awake, "r2", false, "")
	if found, err := open().Recover(t.Context(), first); err != nil || found != connector.ReadAgain {
		t.Errorf("recover = %q, %v; want %q", found, err, connector.ReadAgain)
	}
	out, err := asleep.Commit(t.Context(), first)
	if err != nil || out[0].Published || !strings.Contains(out[0].Why, "another run has added to it") {
		t.Errorf("the one that was asleep: %+v, %v", out, err)
	}
	want("1", "r2")
	commitOne(t, open(), "r3", false, "")
	want("2", "r3")

	older := stageAs(t, asleep, "r4", connector.Replace)
	if found, err := open().Recover(t.Context(), older); err != nil || found != connector.CommitAgain {
		t.Errorf("recover of a run that nobody overtook = %q, %v; want %q", found, err, connector.CommitAgain)
	}
	newer := stageAs(t, awake, "r5", connector.Replace)
	if _, err := awake.Commit(t.Context(), newer); err != nil {
		t.Fatal(err)
	}
	if found, err := open().Recover(t.Context(), older); err != nil || found != connector.ReadAgain {
		t.Errorf("recover of an older state = %q, %v; want %q", found, err, connector.ReadAgain)
	}
}

// destinationIn is another process's destination.
func destinationIn(t *testing.T, s servertest.Server, db string) *dest {
	t.Helper()
	login, spec := specFor(s, db), destDefaults
	spec.Host, spec.Port, spec.User, spec.Password, spec.Database = login.Host, login.Port, login.User, login.Password, db
	d, err := openDest(t.Context(), spec, connector.Env{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() }) // its sessions may be gone
	return d.(*dest)
}
