package files

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/duck"
	"github.com/kitamae/kitamae/fault"
)

var _ connector.Destination = (*dest)(nil)

// dest publishes into one folder.
type dest struct {
	spec   Spec
	memory int64 // bytes, for DuckDB
	pool   *batch.Pool
	// step is called before each step of a commit, with its name. Tests end the process there.
	step func(name string)

	mu    sync.Mutex
	store *store
	db    *duck.DB
	runs  map[string]*runHold // by run
	last  parsed
}

// runHold is what this process knows of a run it stages: which folder belongs to which
// table, and the lock that keeps others from taking the run for a dead one.
type runHold struct {
	folders map[string]string // folded folder name -> table
	unlock  func()
}

func newDest(spec Spec, env connector.Env) *dest {
	return &dest{spec: spec, memory: env.MemoryBytes, pool: &batch.Pool{}, step: func(string) {}, runs: map[string]*runHold{}}
}

// storage opens the folder. It is nil where the folder is not there and create is false.
func (d *dest) storage(ctx context.Context, create bool) (*store, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.store == nil {
		s, err := openStore(ctx, d.spec.Dir, create)
		if err != nil || s == nil {
			return nil, classify(d.spec.Dir, err)
		}
		d.store = s
	}
	return d.store, nil
}

// minDuckBytes is the least DuckDB gets.
const minDuckBytes = 64 << 20

// engine is the one DuckDB of the destination, started when the first Parquet file is written or read.
func (d *dest) engine(ctx context.Context) (*duck.DB, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.db == nil {
		db, err := duck.Open(ctx, duck.Options{MemoryBytes: d.duckBytes(), Threads: 1})
		if err != nil {
			return nil, classify(d.spec.Dir, err)
		}
		d.db = db
	}
	return d.db, nil
}

func (d *dest) duckBytes() int64 {
	if d.memory == 0 {
		return 0
	}
	return max(d.memory, minDuckBytes)
}

// PlanTable compares with the published manifest.
func (d *dest) PlanTable(ctx context.Context, req connector.PlanRequest) (*connector.TablePlan, error) {
	m, err := d.published(ctx)
	if err != nil {
		return nil, err
	}
	p := &connector.TablePlan{
		Name: req.Name, Comment: req.Comment, Mode: req.Mode, Columns: d.spec.columns(req.Schema), Rows: -1,
	}
	for _, k := range req.Key {
		for _, c := range p.Columns {
			if c.From == k {
				p.Key = append(p.Key, c.Name)
			}
		}
	}
	if folder := folderName(req.Name); folder != req.Name {
		p.Notes = append(p.Notes, fmt.Sprintf("its folder is named %s, as file systems and globs would misread the name", folder))
	}
	old := m.table(req.Name)
	if old == nil {
		return p, nil
	}
	p.Exists, p.Rows, p.Reached = true, old.Rows, old.Reached
	if p.Mode == connector.Append {
		return p, d.beside(p, old)
	}
	p.Changes = changes(old.Columns, p.Columns)
	if before, now := describe(old.Format, old.Compression), describe(d.spec.Format, d.spec.Compression); before != now {
		p.Notes = append(p.Notes, fmt.Sprintf("written as %s; it was %s", now, before))
	}
	return p, nil
}

// beside fits a plan to the files that stay.
func (d *dest) beside(p *connector.TablePlan, old *table) error {
	if before, now := describe(old.Format, old.Compression), describe(d.spec.Format, d.spec.Compression); old.Format != d.spec.Format {
		return fault.New(fault.Config, "files.format_changed", "set the format back, or publish the table anew with mode: replace",
			"table %s keeps its files, which are %s; new ones would be %s", p.Name, before, now)
	}
	var there []connector.ThereColumn
	for _, c := range old.Columns {
		there = append(there, connector.ThereColumn{Name: c.Name, Native: c.Native})
	}
	// files that are written can't be widened
	err := connector.KeepColumns(p, there, func(a, b string) bool { return a == b }, func(string, string) bool { return false })
	if err != nil || d.spec.Format == "parquet" || d.spec.Format == "arrow" {
		return err
	}
	same := len(there) == len(p.Columns)
	for i := 0; same && i < len(there); i++ {
		same = there[i].Name == p.Columns[i].Name
	}
	if same {
		return nil
	}
	return fault.New(fault.Config, "files.append_columns", "use parquet, take the columns as they were (columns: {only: […]}), or publish the table anew with mode: replace",
		"table %s keeps its files, and in %s all files of a table have the same columns: %s", p.Name, d.spec.Format, strings.Join(p.Changes, "; "))
}

func describe(format, compression string) string {
	return strings.TrimSuffix(format+" "+compression, " none")
}

// Close lets go of the engine and of the runs in progress. What they staged stays.
func (d *dest) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.runs {
		h.unlock()
	}
	d.runs = map[string]*runHold{}
	var errs []error
	if d.db != nil {
		errs = append(errs, d.db.Close())
		d.db = nil
	}
	if d.store != nil {
		errs = append(errs, d.store.close())
		d.store = nil
	}
	return errors.Join(errs...)
}
