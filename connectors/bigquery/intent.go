package bigquery

import (
	"context"
	"fmt"
	"net/http"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// intended is what a commit may do to one of its tables.
type intended struct {
	// job is the ID, without the attempt, of the one job that changes the table; "" where no cursor is kept.
	job string
	// found says that an earlier commit of the same run wrote it down: the job may be there already.
	found bool
	done  bool  // the rows are there and written down
	made  int64 // when the table was made; known once it is published
	err   error
}

// voidLabel is on the empty jobs that take the IDs of loads that must not come any more.
const voidLabel = "kitamae_void"

// intend writes down, for all tables whose cursor is kept, what the commit is about to do. BigQuery has no transaction over rows
// and anything else, but a job happens once or not at all, has an ID that can't be used twice, and can be asked for half a year. So
// a cursor moves in three steps:
//
//  1. The state (see [stateView]) gets, under the condition that nobody else has changed it, the table's next cursor and the ID of the
//     job that will bring its rows. The ID is new: it hashes a number that is counted up with each.
//  2. That one job changes the table.
//  3. The state gets the next cursor for the present one. All tables of a commit share one write before and one after.
//
// Whoever dies in between leaves a next cursor with a job, and the job decides: is it there and succeeded, the cursor is the next one, else the
// present one. So the cursor is never ahead of the rows nor behind them, also while nobody has written it down. Who only asks
// (PlanTable) asks for the job. Who is about to write (a later commit) first makes sure that the job never comes, as a process taken for
// dead may still be uploading: an empty job takes its ID, and the load that comes after all is refused. Then the present cursor must
// be the one the rows were planned with, or the table is left as it is.
//
// A commit asked for again by its own run finds its intent and goes on with the same ID.
func (d *dest) intend(ctx context.Context, req connector.CommitRequest) ([]intended, error) {
	out := make([]intended, len(req.Tables))
	_, err := d.change(ctx, func(s *standings) (bool, error) {
		write := false
		for i, t := range req.Tables {
			in, changed, err := d.intendTable(ctx, s, req.Run.ID, t)
			if err != nil {
				return false, err
			}
			out[i], write = in, write || changed
		}
		return write, nil
	})
	return out, err
}

// keepsCursor says whether a table's commit must not happen twice, or moves a cursor.
func keepsCursor(t connector.CommitTable) bool {
	return t.Reached != "" || t.Plan.Mode == connector.Append || t.Plan.Mode == connector.Merge
}

func (d *dest) intendTable(ctx context.Context, s *standings, run string, t connector.CommitTable) (in intended, changed bool, err error) {
	name, content := t.Plan.Name, contentOf(t)
	was := s.of(name)
	if was == nil && !keepsCursor(t) {
		return intended{}, false, nil
	}
	if was != nil && was.Next != nil {
		if was.Next.Run == run && was.Next.Content == content && keepsCursor(t) {
			return intended{job: was.Next.Job, found: true}, false, nil
		}
		err := d.resolve(ctx, was)
		if fault.HasCode(err, codeIntentOld) && t.Plan.Mode == connector.Replace { // whatever came of it goes
			was.Next, err = nil, nil
		}
		if err != nil {
			return intended{}, false, err
		}
		changed = true
	}
	if !keepsCursor(t) { // published whole from now on: what is known of its rows ends here, before they go
		s.forget(name)
		return intended{}, true, nil
	}
	if was != nil && was.Run == run {
		return intended{done: true}, changed, nil
	}
	md, err := d.table(ctx, name)
	if err != nil {
		return intended{}, false, err
	}
	// The rows follow those that were there when they were planned, also where there were none.
	stands, came := was.reached(md), !t.Plan.Exists && md != nil && md.NumRows > 0
	if t.Plan.Mode != connector.Replace && (came || t.Plan.Exists && stands != t.Plan.Reached) {
		return intended{err: fault.New(fault.Destination, "bigquery.cursor_moved", "run again: it goes on from where the table stands now",
			"table %s: these rows follow %q, and the table stands at %q: another run has added to it", name, t.Plan.Reached, stands)}, changed, nil
	}
	if was == nil {
		was = &standing{Table: name}
		s.Tables = append(s.Tables, was)
	}
	was.Jobs++
	was.Next = &intent{Run: run, Reached: t.Reached, Content: content, At: d.now().UTC(),
		Job: jobID(d.spec.Project, d.spec.Dataset, run, name, content, fmt.Sprint(was.Jobs))}
	return intended{job: was.Next.Job}, true, nil
}

// reached is the cursor of a table's rows as it is written down; "" for a table that is another one by now.
func (w *standing) reached(md *bq.TableMetadata) string {
	if w == nil || md == nil || w.Made != md.CreationTime.UnixMilli() {
		return ""
	}
	return w.Reached
}

// contentOf sums up a table's rows by their receipts.
func contentOf(t connector.CommitTable) string {
	var tokens []string
	for _, r := range t.Receipts {
		tokens = append(tokens, string(r.Token))
	}
	return jobID(tokens...)
}

// resolve ends another commit's intent: its job has come, or never will.
func (d *dest) resolve(ctx context.Context, w *standing) error {
	came, err := d.came(ctx, *w.Next, true)
	if err != nil {
		return err
	}
	if came {
		md, err := d.table(ctx, w.Table)
		if err != nil {
			return err
		}
		w.Reached, w.Run, w.Made = w.Next.Reached, w.Next.Run, 0
		if md != nil {
			w.Made = md.CreationTime.UnixMilli()
		}
	}
	w.Next = nil
	return nil
}

// jobsKept is for how long a job can surely be asked for; BigQuery says six months.
const jobsKept = 150 * 24 * time.Hour

// codeIntentOld is the fault of an intent whose job can't be asked for any more.
const codeIntentOld = "bigquery.intent_old"

// came says whether an intent's job succeeded; one that is under way is waited for. With void, one that is not there never will be.
func (d *dest) came(ctx context.Context, in intent, void bool) (bool, error) {
	came, err := d.cameAs(ctx, in.Job, in, false)
	if !void || came || err != nil {
		return came, err
	}
	if err := d.fence(ctx, in); err != nil {
		return false, err
	}
	return d.cameAs(ctx, in.Job, in, true)
}

// cameAs is came for one of the intent's jobs.
func (d *dest) cameAs(ctx context.Context, job string, in intent, void bool) (bool, error) {
	for attempt := 1; attempt <= mostAttempts; {
		id := attemptID(job, attempt)
		var job *bq.Job
		err := d.again(ctx, func() (err error) { job, err = d.client.JobFromIDLocation(ctx, id, d.client.Location); return err })
		if status(err) == http.StatusNotFound {
			if d.now().Sub(in.At) > jobsKept {
				return false, fault.New(fault.Destination, "bigquery.intent_old", "compare the table with its source, or publish it anew with mode: replace",
					"nobody has finished run %s, which began to publish on %s: whether its rows are there can't be told any more", in.Run, in.At.Format(time.DateOnly))
			}
			if !void {
				return false, nil
			}
			taken, err := d.takeID(ctx, id)
			if err != nil || taken {
				return false, err
			}
			continue // it came just now
		}
		if err != nil {
			return false, classify(err, "ask for job "+id)
		}
		st, err := d.ended(ctx, job)
		if err != nil {
			return false, classify(err, "wait for job "+id)
		}
		if _, empty := labelsOf(job)[voidLabel]; empty {
			return false, nil
		}
		if st.Err() == nil {
			return true, nil
		}
		attempt++ // a failed one may be followed by another
	}
	return false, nil
}

// takeID uses a job's ID up. It returns false where the job is there after all.
func (d *dest) takeID(ctx context.Context, id string) (bool, error) {
	q := d.client.Query("SELECT 1")
	q.JobID, q.Location, q.Labels = id, d.client.Location, map[string]string{voidLabel: "1"}
	err := d.again(ctx, func() error { _, err := q.Run(ctx); return err })
	if status(err) == http.StatusConflict {
		return false, nil
	}
	return err == nil, classify(err, "take the ID of job "+id)
}

func labelsOf(job *bq.Job) map[string]string {
	switch c, _ := job.Config(); c := c.(type) { // of another kind, it is none of ours
	case *bq.LoadConfig:
		return c.Labels
	case *bq.QueryConfig:
		return c.Labels
	}
	return nil
}

// settle writes down that the published tables stand where their intents said.
func (d *dest) settle(ctx context.Context, req connector.CommitRequest, ins []intended, outcomes []connector.Outcome) error {
	_, err := d.change(ctx, func(s *standings) (bool, error) {
		write := false
		for i, t := range req.Tables {
			was := s.of(t.Plan.Name)
			if !outcomes[i].Published || ins[i].job == "" || was == nil || was.Next == nil || was.Next.Job != ins[i].job {
				continue // nothing to settle, or somebody has
			}
			was.Reached, was.Run, was.Made, was.Next = was.Next.Reached, was.Next.Run, ins[i].made, nil
			write = true
		}
		return write, nil
	})
	return err
}

// stands is the cursor of the live table's rows.
func (d *dest) stands(ctx context.Context, name string, md *bq.TableMetadata) (string, error) {
	s, err := d.planned(ctx)
	if err != nil {
		return "", err
	}
	was := s.of(name)
	if was == nil || was.Next == nil || was.Made != 0 && was.Made != md.CreationTime.UnixMilli() {
		return was.reached(md), nil
	}
	came, err := d.came(ctx, *was.Next, false)
	if err != nil || !came {
		return was.reached(md), err
	}
	return was.Next.Reached, nil
}
