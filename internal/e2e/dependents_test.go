package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/internal/servertest"
	"github.com/kitamae/kitamae/run"
)

// TestRefusedAtCommit takes a column away that a view at the destination needs: the plan foresees it, that table stays as it was, the other
// is published, and neither the report nor the destination claims one state of the whole database.
func TestRefusedAtCommit(t *testing.T) {
	s := servertest.Postgres(t)
	db, there := servertest.FreshDatabase(t, s), servertest.FreshDatabase(t, s)
	s.Exec(t, db, "CREATE TABLE seen (id int PRIMARY KEY, a int)", "INSERT INTO seen VALUES (1, 2)", "CREATE TABLE other (id int PRIMARY KEY)", "INSERT INTO other VALUES (1)")
	p := newProject(t, s, db)
	config := intoPostgres(t, s, there)
	p.drive(t, config)
	s.Exec(t, there, `CREATE VIEW needs_a AS SELECT a FROM "倉 庫".seen`)
	s.Exec(t, db, "ALTER TABLE seen DROP COLUMN a", "INSERT INTO seen VALUES (2)", "INSERT INTO other VALUES (2)")

	r, err := run.Drive(t.Context(), p.request(t, config))
	if !fault.HasCode(err, "destination.not_published") || r == nil {
		t.Fatalf("run: %v", err)
	}
	if r.Status != run.StatusPartial || r.Guarantee != connector.PerTable || !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "held back") }) {
		t.Errorf("the run is %s, its guarantee %s, its notes %q", r.Status, r.Guarantee, r.Notes)
	}
	held, other := tableReport(t, r, "seen"), tableReport(t, r, "other")
	if held.Status != run.StatusHeldBack || !strings.Contains(held.Error.Message, "needs_a") || !strings.Contains(strings.Join(held.Notes, " "), "needs_a needs column a") {
		t.Errorf("the table with a view is %s: %+v, planned %q", held.Status, held.Error, held.Notes)
	}
	if other.Status != run.StatusPublished || other.Evidence.Guarantee != connector.PerTable {
		t.Errorf("the other table is %s: %+v", other.Status, other.Evidence)
	}
	got := s.Query(t, there, `SELECT concat_ws(' ', (SELECT string_agg(id || '-' || a, ',') FROM "倉 庫".seen), (SELECT count(*) FROM "倉 庫".other),
		(SELECT string_agg("table" || ' ' || guarantee, ',') FROM _kitamae.tables WHERE run = `+literal(r.ID)+"))")[0][0]
	if got != "1-2 2 other table" {
		t.Errorf("what is there: %q, want the old rows, two new ones, and evidence of the guarantee table", got)
	}
	s.Exec(t, there, "DROP VIEW needs_a")
	if r := p.drive(t, config); r.Guarantee != connector.Database {
		t.Errorf("the guarantee is %s once nothing is held back", r.Guarantee)
	}
}
