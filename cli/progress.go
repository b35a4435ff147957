package cli

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/kitamae/kitamae/run"
)

// teller tells people of a run while it lives.
type teller interface {
	observe(run.Event)
	end()
}

func (a *app) teller() teller {
	switch {
	case a.logFormat == "json":
		return &jsonTeller{log: slog.New(slog.NewJSONHandler(a.Err, nil))}
	case a.quiet:
		return silence{}
	case a.Terminal:
		return newBars(a.Err, a.Width)
	}
	return &lines{w: a.Err}
}

type silence struct{}

func (silence) observe(run.Event) {}
func (silence) end()              {}

// tally follows what moved, per table.
type tally struct {
	plan  *run.Plan
	began []time.Time
	rows  []int64
	bytes []int64
}

func (t *tally) add(e run.Event) {
	if e.Plan != nil && e.Kind != run.Opened {
		t.plan = e.Plan
		if len(t.rows) != len(e.Plan.Tables) {
			n := len(e.Plan.Tables)
			t.rows, t.bytes, t.began = make([]int64, n), make([]int64, n), make([]time.Time, n)
		}
	}
	if e.Kind == run.Restarted {
		clear(t.began)
	}
	if e.Kind != run.Moved {
		return
	}
	if t.began[e.Table].IsZero() {
		t.began[e.Table] = e.Time
	}
	t.rows[e.Table] += e.Rows
	t.bytes[e.Table] += e.Bytes
}

// retrying is a line about what is tried again, of a table or before there is any.
func (t *tally) retrying(e run.Event) string {
	if e.Table < 0 {
		return fmt.Sprintf("trying again: %v", e.Err)
	}
	return fmt.Sprintf("%s: trying again: %v", t.name(e.Table), e.Err)
}

func (t *tally) name(table int) string { return t.plan.Tables[table].Target.Name }

func (t *tally) speed(table int, now time.Time) string {
	if t.began[table].IsZero() || now.Sub(t.began[table]) < 200*time.Millisecond {
		return ""
	}
	return fmt.Sprintf("%.1f MB/s", float64(t.bytes[table])/1e6/now.Sub(t.began[table]).Seconds())
}

// lines tells each step in a line: for logs and pipes.
type lines struct {
	w io.Writer
	tally
	told time.Time
}

// tellEvery is how often a long table says that it still moves.
const tellEvery = 10 * time.Second

func (l *lines) observe(e run.Event) {
	l.add(e)
	switch e.Kind {
	case run.Opened:
		fmt.Fprintf(l.w, "%s → %s\n", e.Plan.Source, e.Plan.Destination)
	case run.Planned:
		fmt.Fprintf(l.w, "%s to move\n", count(int64(len(e.Plan.Tables)), "table"))
	case run.Scanned:
		fmt.Fprintf(l.w, "reading (consistent view: %s)\n", e.Guarantee)
	case run.Moved:
		if l.told.IsZero() {
			l.told = e.Time
		}
		if e.Time.Sub(l.told) > tellEvery {
			l.told = e.Time
			fmt.Fprintf(l.w, "%s: %s so far, %s\n", l.name(e.Table), count(l.rows[e.Table], "row"), l.speed(e.Table, e.Time))
		}
	case run.Verified:
		fmt.Fprintln(l.w, strings.TrimSpace(fmt.Sprintf("%s: %s %s", l.name(e.Table), count(l.rows[e.Table], "row"), l.speed(e.Table, e.Time))))
	case run.HeldBack:
		fmt.Fprintf(l.w, "%s: held back: %v\n", l.name(e.Table), e.Err)
	case run.Retrying:
		fmt.Fprintln(l.w, l.retrying(e))
	case run.Restarted:
		fmt.Fprintf(l.w, "starting the unfinished tables over: %v\n", e.Err)
	case run.Waiting, run.Blocked:
		fmt.Fprintln(l.w, waiting(e))
	case run.Published:
		fmt.Fprintln(l.w, "published")
	}
}

func (l *lines) end() {}

// waiting is a line about reading that waits for the server, or an end that waits for another program.
func waiting(e run.Event) string {
	blocked := e.Kind == run.Blocked
	switch {
	case blocked && e.Why == "":
		return "the wait is over"
	case blocked:
		return "waiting: " + e.Why
	case e.Why == "":
		return "reading goes on"
	}
	return "reading waits: " + e.Why
}

// blocked tells what a command without a teller of its own would else be silent about for seconds.
func (a *app) blocked(e run.Event) {
	switch {
	case e.Kind != run.Blocked:
	case a.logFormat == "json":
		(&jsonTeller{log: slog.New(slog.NewJSONHandler(a.Err, nil))}).observe(e)
	case !a.quiet:
		fmt.Fprintln(a.Err, waiting(e))
	}
}

// jsonTeller writes a line of JSON for each event but the moved batches.
type jsonTeller struct {
	log *slog.Logger
	tally
}

func (j *jsonTeller) observe(e run.Event) {
	j.add(e)
	attrs := []any{}
	switch e.Kind {
	case run.Moved:
		return
	case run.Opened:
		attrs = append(attrs, "source", e.Plan.Source, "destination", e.Plan.Destination)
	case run.Planned:
		attrs = append(attrs, "tables", len(e.Plan.Tables))
	case run.Scanned:
		attrs = append(attrs, "guarantee", e.Guarantee, "position", e.Plan.Position)
	case run.Waiting, run.Blocked:
		attrs = append(attrs, "why", e.Why)
	case run.Retrying:
		if e.Table >= 0 {
			attrs = append(attrs, "table", j.name(e.Table), "rows", j.rows[e.Table], "bytes", j.bytes[e.Table])
		}
	case run.Verified, run.HeldBack:
		attrs = append(attrs, "table", j.name(e.Table), "rows", j.rows[e.Table], "bytes", j.bytes[e.Table])
	}
	if e.Err != nil {
		j.log.Warn(string(e.Kind), append(attrs, "error", e.Err.Error())...)
		return
	}
	j.log.Info(string(e.Kind), attrs...)
}

func (j *jsonTeller) end() {}

// bars draws a bar for each table that moves, and one for all.
type bars struct {
	tally
	w     io.Writer
	p     *mpb.Progress
	table []*mpb.Bar
	total *mpb.Bar
	guess int64
}

func newBars(w io.Writer, width int) *bars {
	return &bars{w: w, p: mpb.New(mpb.WithOutput(w), mpb.WithWidth(max(min(width-60, 40), 10)), mpb.WithRefreshRate(100*time.Millisecond))}
}

// nameWidth is how wide a table's name may be beside its bar, in terminal cells.
const nameWidth = 24

func (b *bars) observe(e run.Event) {
	b.add(e)
	switch e.Kind {
	case run.Opened:
		fmt.Fprintf(b.p, "%s → %s\n", e.Plan.Source, e.Plan.Destination)
	case run.Planned:
		b.table = make([]*mpb.Bar, len(e.Plan.Tables))
		b.guess = 0
		for _, t := range e.Plan.Tables {
			b.guess += max(t.Scan.Table.Rows, 0)
		}
		b.total = b.p.AddBar(b.guess, mpb.BarPriority(1<<30),
			mpb.PrependDecorators(decor.Name(fit("total", nameWidth))),
			mpb.AppendDecorators(decor.Any(rowsDone), decor.Name("  "), decor.Elapsed(decor.ET_STYLE_MMSS)))
	case run.Moved:
		b.moved(e)
	case run.Verified, run.HeldBack:
		if bar := b.table[e.Table]; bar != nil {
			bar.SetTotal(-1, true)
			b.table[e.Table] = nil
		}
		mark := "✓"
		if e.Kind == run.HeldBack {
			mark = "✗ held back"
		}
		fmt.Fprintf(b.p, "%s %14s %12s  %s\n", fit(b.name(e.Table), nameWidth), count(b.rows[e.Table], "row"), b.speed(e.Table, e.Time), mark)
	case run.Retrying:
		fmt.Fprintln(b.p, b.retrying(e))
	case run.Waiting, run.Blocked:
		fmt.Fprintln(b.p, waiting(e))
	case run.Restarted:
		fmt.Fprintf(b.p, "starting the unfinished tables over: %v\n", e.Err)
	}
}

// rowsDone prints a bar's rows as the lines of finished tables do.
func rowsDone(s decor.Statistics) string { return fmt.Sprintf("%17s", count(s.Current, "row")) }

func (b *bars) moved(e run.Event) {
	bar := b.table[e.Table]
	guess := b.plan.Tables[e.Table].Scan.Table.Rows
	if bar == nil {
		i := e.Table
		bar = b.p.AddBar(max(guess, b.rows[i]), mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(fit(b.name(i), nameWidth))),
			mpb.AppendDecorators(
				decor.Any(rowsDone), decor.Name("  "),
				decor.Any(func(decor.Statistics) string { return fmt.Sprintf("%10s", b.speed(i, time.Now())) }), decor.Name("  "),
				decor.AverageETA(decor.ET_STYLE_MMSS)))
		b.table[i] = bar
	}
	if b.rows[e.Table] > guess {
		bar.SetTotal(b.rows[e.Table]+1, false) // the estimate was low: never show an end that is not one
	}
	bar.SetCurrent(max(b.rows[e.Table], 0))
	var sum int64
	for _, n := range b.rows {
		sum += n
	}
	if sum >= b.guess {
		b.total.SetTotal(sum+1, false)
	}
	b.total.SetCurrent(max(sum, 0))
}

func (b *bars) end() {
	for _, bar := range b.table {
		if bar != nil {
			bar.Abort(true)
		}
	}
	if b.total != nil {
		b.total.Abort(true)
	}
	b.p.Wait()
}
