package files

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/kitamae/kitamae/connector"
)

// metaDir is the folder in a run's folder with what a destination keeps about itself, as
// NDJSON that the same tools read which read the tables: runs.json (one line a run, the latest last), tables.json
// (the evidence of each table) and columns.json.
const metaDir = "_kitamae"

// tableLine is a line of tables.json.
type tableLine struct {
	connector.Evidence
	Stale   bool   `json:"stale"`
	Comment string `json:"comment"`
}

// columnLine is a line of columns.json.
type columnLine struct {
	Table string `json:"table"`
	connector.ColumnPlan
}

func (d *dest) writeMeta(ctx context.Context, s *store, m, old *manifest) error {
	runs, err := runLines(ctx, s, old, m.Run.ID)
	if err != nil {
		return err
	}
	if runs, err = appendLine(runs, m.Run); err != nil {
		return err
	}
	var tables, columns []byte
	for _, t := range m.Tables {
		line := tableLine{Evidence: t.Evidence, Stale: t.Stale, Comment: t.Comment}
		line.Table = t.Name
		if tables, err = appendLine(tables, line); err != nil {
			return err
		}
		for _, c := range t.Columns {
			if columns, err = appendLine(columns, columnLine{Table: t.Name, ColumnPlan: c}); err != nil {
				return err
			}
		}
	}
	for name, text := range map[string][]byte{"runs.json": runs, "tables.json": tables, "columns.json": columns} {
		if err := s.put(ctx, m.Dir+"/"+metaDir+"/"+name, text); err != nil {
			return err
		}
	}
	return nil
}

// runLines are the lines of the runs before, without a line of the run itself.
func runLines(ctx context.Context, s *store, old *manifest, run string) ([]byte, error) {
	if old.Dir == "" {
		return nil, nil
	}
	text, _, err := s.read(ctx, old.Dir+"/"+metaDir+"/runs.json")
	if err != nil {
		return nil, err
	}
	var kept []byte
	for line := range bytes.Lines(text) {
		var r connector.RunRecord
		if json.Unmarshal(line, &r) == nil && r.ID != run {
			kept = append(kept, line...)
		}
	}
	return kept, nil
}

// hasRun says whether a run has a line.
func hasRun(text []byte, run string) bool {
	for line := range bytes.Lines(text) {
		var r connector.RunRecord
		if json.Unmarshal(line, &r) == nil && r.ID == run {
			return true
		}
	}
	return false
}

func appendLine(text []byte, v any) ([]byte, error) {
	line, err := json.Marshal(v)
	return append(append(text, line...), '\n'), err
}
