package bigquery

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"

	bq "cloud.google.com/go/bigquery"
	"golang.org/x/sync/errgroup"

	"github.com/kitamae/kitamae/connector"
)

// kitamae's own tables stand beside the others, as _kitamae_runs, _kitamae_tables and _kitamae_columns: a dataset of their own would
// need further grants, could be in another location, and would mix what several datasets' runs say. They only grow, by free jobs,
// so that two runs never write over each other; the latest lines of a table are those of its latest run.
const metaPrefix = "_kitamae_"

func text(name string) *bq.FieldSchema { return &bq.FieldSchema{Name: name, Type: bq.StringFieldType} }

func whole(name string) *bq.FieldSchema {
	return &bq.FieldSchema{Name: name, Type: bq.IntegerFieldType}
}

func moment(name string) *bq.FieldSchema {
	return &bq.FieldSchema{Name: name, Type: bq.TimestampFieldType}
}

var metaSchemas = map[string]bq.Schema{
	"runs": {text("run"), moment("started"), moment("published"), text("version"), text("source")},
	"tables": {
		text("run"), text("table"), text("state"), text("why"), text("source"), whole("rows"), whole("bytes"), whole("source_rows"), text("guarantee"),
		text("position"), moment("read_from"), moment("read_to"), text("level"), whole("sampled"), text("notes"),
	},
	"columns": {
		text("run"), text("table"), text("column"), whole("number"), text("type"), text("arrow"), text("source_column"), text("source_type"),
		text("kind"), text("comment"), text("note"),
	},
}

type line map[string]any

// record writes the run's lines: tables and columns first, so that a run that is listed is listed whole.
func (d *dest) record(ctx context.Context, req connector.CommitRequest, outcomes []connector.Outcome) error {
	var tables, columns []line
	held := slices.ContainsFunc(outcomes, func(o connector.Outcome) bool { return !o.Published })
	for i, t := range req.Tables {
		e, state := t.Evidence, "published"
		if !outcomes[i].Published {
			state = "held back"
		}
		if held && e.Guarantee == connector.Database { // what is visible is not one state of the whole database
			e.Guarantee = connector.PerTable
		}
		tables = append(tables, line{
			"run": req.Run.ID, "table": t.Plan.Name, "state": state, "why": outcomes[i].Why, "source": e.Source, "rows": e.Rows, "bytes": e.Bytes,
			"source_rows": known(e.SourceRows), "guarantee": string(e.Guarantee), "position": e.Position, "read_from": utc(e.ReadFrom), "read_to": utc(e.ReadTo),
			"level": e.Level, "sampled": e.Sampled, "notes": strings.Join(slices.Concat(e.Notes, outcomes[i].Notes), "\n"),
		})
		if !outcomes[i].Published {
			continue
		}
		for k, c := range t.Plan.Columns {
			columns = append(columns, line{
				"run": req.Run.ID, "table": t.Plan.Name, "column": c.Name, "number": k + 1, "type": c.Native, "arrow": c.Type.String(), "source_column": c.From,
				"source_type": c.Source, "kind": c.Kind, "comment": c.Comment, "note": c.Note,
			})
		}
	}
	for _, name := range req.Run.Stale {
		tables = append(tables, line{"run": req.Run.ID, "table": name, "state": "stale"})
	}
	runs := []line{{
		"run": req.Run.ID, "started": utc(req.Run.Started), "published": utc(time.Now()), "version": req.Run.Version, "source": req.Run.Source,
	}}
	var g errgroup.Group
	g.Go(func() error { return d.appendMeta(ctx, req.Run.ID, "tables", tables) })
	g.Go(func() error { return d.appendMeta(ctx, req.Run.ID, "columns", columns) })
	if err := g.Wait(); err != nil {
		return err
	}
	return d.appendMeta(ctx, req.Run.ID, "runs", runs)
}

// appendMeta appends lines by a job whose ID says which run's they are: repeated, it adds nothing.
func (d *dest) appendMeta(ctx context.Context, run, name string, lines []line) error {
	if len(lines) == 0 {
		return nil
	}
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	table := metaPrefix + name
	what := []string{d.spec.Project, d.spec.Dataset, run, table}
	if name == "tables" { // a commit taken up again may end otherwise
		what = append(what, body.String())
	}
	return d.run(ctx, load{
		table: table, id: jobID(what...), rows: int64(len(lines)), labels: map[string]string{runLabel: label(run), tableLabel: label(table)},
		config: func(l *bq.LoadConfig) {
			l.WriteDisposition, l.CreateDisposition = bq.WriteAppend, bq.CreateIfNeeded
		},
		source: func() (bq.LoadSource, io.Closer, error) {
			s := bq.NewReaderSource(bytes.NewReader(body.Bytes()))
			s.SourceFormat, s.Schema = bq.JSON, metaSchemas[name]
			return s, io.NopCloser(nil), nil
		},
	})
}

func utc(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.999999Z")
}

// known is n, or nothing for -1.
func known(n int64) any {
	if n < 0 {
		return nil
	}
	return n
}
