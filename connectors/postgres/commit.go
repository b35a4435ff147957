package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// publishing is one table of a commit.
type publishing struct {
	table connector.CommitTable
	stage connector.StageRequest
	rows  int64
	notes []string // for its evidence
}

// adds says whether rows that are there stay.
func (p *publishing) adds() bool { return p.table.Plan.Mode != connector.Replace }

// names are the columns in SQL, staged those of the staged tables.
func (p *publishing) names() (names, staged string) {
	var a, b []string
	for i, c := range p.table.Plan.Columns {
		a, b = append(a, ident(c.Name)), append(b, fmt.Sprintf("c%d", i+1))
	}
	return strings.Join(a, ", "), strings.Join(b, ", ")
}

// Commit publishes all tables in one transaction. A table whose dependents can't be kept is left as it was, and
// the outcome names them.
func (d *dest) Commit(ctx context.Context, req connector.CommitRequest) ([]connector.Outcome, error) {
	if len(req.Tables) == 0 {
		return nil, nil
	}
	outcomes := make([]connector.Outcome, len(req.Tables))
	err := d.with(ctx, func(c *conn) error {
		if err := d.createMeta(ctx, c); err != nil {
			return err
		}
		c.setPatience(d.patience)
		defer c.setPatience(d.srv.spec.ReadTimeout)
		err := d.exec(ctx, c, "publishing", "BEGIN; "+metaLock+"; SET CONSTRAINTS ALL DEFERRED; CREATE SCHEMA IF NOT EXISTS "+ident(d.schema)+
			"; SET LOCAL search_path = pg_catalog")
		if err != nil {
			return err
		}
		done, err := d.done(ctx, c, req.Run.ID)
		if err != nil {
			return err
		}
		if done {
			return d.outcomesBefore(ctx, c, req, outcomes)
		}
		var published []*publishing
		for i, t := range req.Tables {
			p, err := d.publishOne(ctx, c, t)
			if held(err) {
				outcomes[i].Why = err.Error()
				continue
			}
			if err != nil {
				return fmt.Errorf("table %s: %w", t.Plan.Name, err)
			}
			outcomes[i].Published = true
			published = append(published, p)
		}
		if len(published) < len(req.Tables) {
			lessThanAll(published)
		}
		d.step("published")
		if err := d.exec(ctx, c, "recording the run", strings.Join(d.record(req.Run, published), "; ")); err != nil {
			return err
		}
		d.step("recorded")
		if err := d.exec(ctx, c, "publishing", "COMMIT"); err != nil {
			return err
		}
		d.step("committed")
		return nil
	})
	if err != nil {
		return nil, err
	}
	return outcomes, d.cleanUp(ctx, req)
}

// held says whether a table's fault leaves that table as it was, and lets the others be published.
func held(err error) bool {
	return fault.HasCode(err, "postgres.cursor_moved") || fault.HasCode(err, "postgres.dependents") && fault.From(err).Kind == fault.Destination
}

// lessThanAll lowers the evidence's guarantee: beside a table that stays as it was, the others are no state of the whole database.
func lessThanAll(published []*publishing) {
	for _, p := range published {
		if p.table.Evidence.Guarantee == connector.Database {
			p.table.Evidence.Guarantee = connector.PerTable
		}
	}
}

func (d *dest) done(ctx context.Context, c *conn, run string) (done bool, err error) {
	err = c.value(ctx, "looking for the run", fmt.Sprintf(`SELECT EXISTS (SELECT FROM %s WHERE id = %s AND "schema" = %s)`, metaTable("runs"), literal(run), literal(d.schema)), &done)
	return done, err
}

// outcomesBefore says what became of the tables of a run that was committed before.
func (d *dest) outcomesBefore(ctx context.Context, c *conn, req connector.CommitRequest, outcomes []connector.Outcome) error {
	rows, err := list[struct{ Name string }](ctx, c, "asking what was published", fmt.Sprintf(`SELECT "table" FROM %s WHERE run = %s AND "schema" = %s AND state = 'published'`,
		metaTable("tables"), literal(req.Run.ID), literal(d.schema)))
	if err != nil {
		return err
	}
	for i, t := range req.Tables {
		outcomes[i].Why = "held back when the run was published"
		for _, r := range rows {
			if r.Name == t.Plan.Name {
				outcomes[i] = connector.Outcome{Published: true}
			}
		}
	}
	return d.exec(ctx, c, "publishing", "ROLLBACK")
}

// publishOne publishes a table within the transaction, or leaves it as it was.
func (d *dest) publishOne(ctx context.Context, c *conn, t connector.CommitTable) (*publishing, error) {
	stage, err := connector.ParseStage(t.Stage)
	if err != nil {
		return nil, err
	}
	p := &publishing{table: t, stage: stage}
	if err := d.exec(ctx, c, "publishing", "SAVEPOINT kitamae_table"); err != nil {
		return nil, err
	}
	err = d.fill(ctx, c, p)
	if err != nil {
		if back := d.exec(context.WithoutCancel(ctx), c, "publishing", "ROLLBACK TO SAVEPOINT kitamae_table"); back != nil {
			return nil, errors.Join(err, back)
		}
		return nil, err
	}
	return p, d.exec(ctx, c, "publishing", "RELEASE SAVEPOINT kitamae_table")
}

// fill brings the staged rows into the table, made, kept, changed or replaced as its columns ask for.
func (d *dest) fill(ctx context.Context, c *conn, p *publishing) error {
	plan := p.table.Plan
	live := false
	if err := c.value(ctx, "looking for the stage", "SELECT EXISTS (SELECT FROM "+metaTable("stages")+" WHERE id = "+literal(d.id(p.stage))+")", &live); err != nil {
		return err
	}
	if !live {
		return stageLost(plan.Name, "it is gone")
	}
	old, err := d.look(ctx, c, plan.Name)
	if err != nil {
		return err
	}
	if err := follows(p, old); err != nil {
		return err
	}
	into := d.table(plan.Name)
	switch {
	case old == nil:
		err = d.exec(ctx, c, "creating "+plan.Name, "CREATE TABLE "+into+" ("+columnsDDL(plan)+")")
	case p.adds():
		err = d.evolve(ctx, c, p, old)
	case sameShape(plan, old):
		err = d.exec(ctx, c, "emptying "+plan.Name, "DELETE FROM "+into)
	default:
		return d.swap(ctx, c, p, old)
	}
	if err != nil {
		return err
	}
	if err := d.insert(ctx, c, p, into); err != nil {
		return err
	}
	return d.exec(ctx, c, "commenting "+plan.Name, comments(into, plan))
}

// follows refuses rows beyond a cursor that the table has left since they were planned: another run, of a machine that does not see this one's state,
// has brought some of them.
func follows(p *publishing, old *there) error {
	stands := ""
	if old != nil {
		stands = old.reached
	}
	if !p.adds() || p.table.Reached == "" || stands == p.table.Plan.Reached {
		return nil
	}
	return fault.New(fault.Destination, "postgres.cursor_moved", "run again: it goes on from where the table stands now", "table %s: these rows follow %q, and the table stands at %q: another run has added to it",
		p.table.Plan.Name, p.table.Plan.Reached, stands)
}

func columnsDDL(plan connector.TablePlan) string {
	var cols []string
	for _, c := range plan.Columns {
		cols = append(cols, ident(c.Name)+" "+c.Native)
	}
	return strings.Join(cols, ", ")
}

// sameShape says whether the table has just the planned columns, in their order.
func sameShape(plan connector.TablePlan, old *there) bool {
	if len(plan.Columns) != len(old.columns) {
		return false
	}
	for i, c := range plan.Columns {
		if old.columns[i] != (thereColumn{c.Name, c.Native}) {
			return false
		}
	}
	return true
}

// insert copies the receipts' rows, and counts them.
func (d *dest) insert(ctx context.Context, c *conn, p *publishing, into string) error {
	names, staged := p.names()
	for _, r := range p.table.Receipts {
		from := d.taskTable(p.stage, r.Task)
		results, err := c.PgConn().Exec(ctx, "INSERT INTO "+into+" ("+names+") SELECT "+staged+" FROM "+from).ReadAll()
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "42P01" {
			return stageLost(p.table.Plan.Name, fmt.Sprintf("task %d is gone", r.Task))
		}
		if err != nil {
			return d.explain(ctx, "publishing "+p.table.Plan.Name, err)
		}
		if n := results[0].CommandTag.RowsAffected(); n != r.Rows {
			return stageLost(p.table.Plan.Name, fmt.Sprintf("task %d stored %d rows, %d are staged", r.Task, r.Rows, n))
		}
		p.rows += r.Rows
	}
	return nil
}

func stageLost(table, why string) error {
	return fault.New(fault.Destination, "postgres.stage_lost", "run again", "what was staged of %s is not whole: %s", table, why)
}

// comments are the statements that comment a table and its columns, or take comments away.
func comments(table string, plan connector.TablePlan) string {
	stmts := []string{"COMMENT ON TABLE " + table + " IS " + text0(plan.Comment)}
	for _, c := range plan.Columns {
		stmts = append(stmts, "COMMENT ON COLUMN "+table+"."+ident(c.Name)+" IS "+text0(c.Comment))
	}
	return strings.Join(stmts, "; ")
}

// leftSQL names the stages that nobody came back for within a week, and those of tables that were committed after their stage had been
// removed: by a process that slept meanwhile.
const leftSQL = `SELECT id FROM %[1]s WHERE made < now() - interval '7 days'
UNION SELECT substring(relname FROM '^(s_[0-9a-f]{16}_[0-9]+)_[0-9]+$') FROM pg_class
WHERE relnamespace = to_regnamespace(%[2]s) AND relkind = 'r' AND relowner = quote_ident(current_user)::regrole AND relname ~ '^s_[0-9a-f]{16}_[0-9]+_[0-9]+$'
  AND NOT EXISTS (SELECT FROM %[1]s WHERE starts_with(relname, id || '_'))`

// cleanUp removes the run's stages, and what others left.
func (d *dest) cleanUp(ctx context.Context, req connector.CommitRequest) error {
	return d.with(ctx, func(c *conn) error {
		var ids []string
		for _, t := range req.Tables {
			if stage, err := connector.ParseStage(t.Stage); err == nil {
				ids = append(ids, d.id(stage))
			}
		}
		old, err := list[struct{ ID string }](ctx, c, "looking for stages", fmt.Sprintf(leftSQL, metaTable("stages"), literal(metaSchema)))
		if err != nil {
			return err
		}
		for _, o := range old {
			ids = append(ids, o.ID)
		}
		for _, id := range ids {
			if err := d.dropStage(ctx, c, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// overtakenRunSQL asks whether a run has published a table since a stage for it was made, by the server's clock.
const overtakenRunSQL = `SELECT EXISTS (SELECT FROM %[1]s s, %[2]s t JOIN %[3]s r ON r.id = t.run AND r."schema" = t."schema"
WHERE s.id = %[4]s AND t."schema" = %[5]s AND t."table" = %[6]s AND t.state = 'published' AND r.published > s.made)`

// Recover looks for the run's line, then for its stages. What another run has overtaken is read again: a run that died on one machine must not come back
// over what another machine's has published meanwhile.
func (d *dest) Recover(ctx context.Context, req connector.CommitRequest) (connector.Recovery, error) {
	found := connector.CommitAgain
	err := d.with(ctx, func(c *conn) error {
		if err := d.createMeta(ctx, c); err != nil {
			return err
		}
		done, err := d.done(ctx, c, req.Run.ID)
		if err != nil || done {
			found = connector.Done
			return err
		}
		for _, t := range req.Tables {
			stage, err := connector.ParseStage(t.Stage)
			if err != nil {
				return err
			}
			overtaken := false
			err = c.value(ctx, "looking for later runs", fmt.Sprintf(overtakenRunSQL, metaTable("stages"), metaTable("tables"), metaTable("runs"),
				literal(d.id(stage)), literal(d.schema), literal(t.Plan.Name)), &overtaken)
			if err != nil {
				return err
			}
			if overtaken {
				found = connector.ReadAgain
				return nil
			}
			for _, r := range t.Receipts {
				table, there, rows := d.taskTable(stage, r.Task), false, int64(0)
				if err := c.value(ctx, "looking for the stage", "SELECT to_regclass("+literal(table)+") IS NOT NULL", &there); err != nil {
					return err
				}
				if there {
					if err := c.value(ctx, "counting the stage", "SELECT count(*) FROM "+table, &rows); err != nil {
						return err
					}
				}
				if !there || rows != r.Rows {
					found = connector.ReadAgain
					return nil
				}
			}
		}
		return nil
	})
	return found, err
}
