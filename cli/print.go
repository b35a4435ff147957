package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/mattn/go-runewidth"

	"github.com/kitamae/kitamae/run"
)

// grid is a plain table whose columns line up for wide characters too; those in right are numbers.
func grid(w io.Writer, head []string, rows [][]string, right ...int) {
	t := table.NewWriter()
	t.SuppressTrailingSpaces()
	t.SetOutputMirror(w)
	style := table.StyleLight
	style.Options = table.OptionsNoBordersAndSeparators
	style.Options.SeparateHeader = true
	style.Format.Header = text.FormatDefault
	style.Box.PaddingLeft = ""
	style.Box.PaddingRight = "  "
	t.SetStyle(style)
	var configs []table.ColumnConfig
	for _, i := range right {
		configs = append(configs, table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(configs)
	t.AppendHeader(row(head))
	for _, r := range rows {
		t.AppendRow(row(r))
	}
	t.Render()
}

func row(cells []string) table.Row {
	r := make(table.Row, len(cells))
	for i, c := range cells {
		r[i] = c
	}
	return r
}

// fit cuts or pads s to cells wide.
func fit(s string, cells int) string {
	return runewidth.FillRight(runewidth.Truncate(s, cells, "…"), cells)
}

func count(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return humanize.Comma(n) + " " + noun
}

func bytes(n int64) string {
	if n < 0 {
		return "?"
	}
	return humanize.IBytes(uint64(n))
}

func rowsOrUnknown(n int64) string {
	if n < 0 {
		return "?"
	}
	return humanize.Comma(n)
}

// printReport is the summary of a run, its times in the business day's zone.
func printReport(w io.Writer, r *run.Report, zone *time.Location) {
	fmt.Fprintln(w)
	var rows [][]string
	for _, t := range r.Tables {
		line := []string{t.Table, "", "", "", string(t.Status)}
		if e := t.Evidence; e != nil {
			line[1], line[2], line[3] = humanize.Comma(e.Rows), bytes(e.Bytes), window(e.ReadFrom.In(zone), e.ReadTo.In(zone))
			line[4] += ", " + evidence(e.Level, e.SourceRows, e.Sampled)
		}
		rows = append(rows, line)
	}
	if len(rows) > 0 {
		grid(w, []string{"table", "rows", "read", "read at (" + zone.String() + ")", "state"}, rows, 1, 2)
		fmt.Fprintln(w)
	}
	printNotes(w, r)
	took := r.Ended.Sub(r.Started).Round(100 * time.Millisecond)
	fmt.Fprintf(w, "run %s: %s — %s in %s", r.ID, r.Status, count(r.Rows(), "row"), took)
	if r.Guarantee != "" {
		fmt.Fprintf(w, ", consistency: %s", r.Guarantee)
	}
	fmt.Fprintln(w)
	if r.Status == run.StatusPublished || r.Status == run.StatusPartial {
		fmt.Fprintf(w, "in %s\n", r.Destination)
	}
}

// window is when a table was read; its length stands behind it when it is worth saying.
func window(from, to time.Time) string {
	s := from.Format("15:04:05")
	if d := to.Sub(from); d >= 100*time.Millisecond {
		s += fmt.Sprintf(" + %.1f s", d.Seconds())
	}
	return s
}

// evidence says in a few words why a table may be believed.
func evidence(level string, counted int64, sampled int) string {
	if level == "none" {
		return "not verified"
	}
	said := "verified"
	if level == "full" {
		said = "verified fully"
	}
	var how []string
	if counted >= 0 {
		how = append(how, "counted")
	}
	if sampled > 0 {
		how = append(how, fmt.Sprintf("%d sampled", sampled))
	}
	if len(how) > 0 {
		said += " (" + strings.Join(how, ", ") + ")"
	}
	return said
}

// printNotes prints what a reader should know beside the table.
func printNotes(w io.Writer, r *run.Report) {
	var lines []string
	lines = append(lines, r.Notes...)
	if r.Recovered != "" {
		lines = append(lines, r.Recovered)
	}
	for _, t := range r.Tables {
		for _, c := range t.Changes {
			lines = append(lines, t.Table+": "+c)
		}
		for _, col := range slices.Sorted(maps.Keys(t.Changed)) {
			for _, fate := range slices.Sorted(maps.Keys(t.Changed[col])) {
				lines = append(lines, fmt.Sprintf("%s.%s: %s: %s", t.Table, col, count(t.Changed[col][fate], "value"), fate))
			}
		}
		if len(t.LeftOut) > 0 {
			lines = append(lines, fmt.Sprintf("%s: left out, as they look like credentials: %s", t.Table, strings.Join(t.LeftOut, ", ")))
		}
		for _, n := range t.Notes {
			lines = append(lines, t.Table+": "+n)
		}
		if t.Error != nil {
			lines = append(lines, fmt.Sprintf("%s: held back: %s", t.Table, t.Error.Message))
		}
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprintln(w, "notes")
	for _, l := range lines {
		fmt.Fprintln(w, "  "+l)
	}
	fmt.Fprintln(w)
}
