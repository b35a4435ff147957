package duckdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/duck"
	"github.com/kitamae/kitamae/fault"
)

// dest is one DuckDB file as a destination.
type dest struct {
	path   string // absolute, links resolved
	memory int64  // bytes, for DuckDB; 0 for no bound

	mu   sync.Mutex
	work *work // the run in progress; nil before the first Stage and after Commit or the last Abort

	// patience is how long a file that another process holds is waited for, moment after how long waiting is told that it is.
	patience, moment time.Duration
	waiting          func(why string)

	// step is called between the steps of a commit, for tests that kill the process there; nil otherwise.
	step func(done string)

	seenMu sync.Mutex
	seen   *catalog
}

var (
	_ connector.Destination = (*dest)(nil)
	_ connector.Warehouse   = (*dest)(nil)
)

// next is the file a run works on, previous the file before the last publication,
// fresh a copy of the published file that a commit builds where objects of other people must be kept.
func (d *dest) next() string     { return d.path + ".next" }
func (d *dest) previous() string { return d.path + ".previous" }
func (d *dest) fresh() string    { return d.path + ".next.copy" }

// work is an open next file.
type work struct {
	db     *duck.DB
	run    string
	tables map[string]*staged // by folded name
	// adopted says that another process began the file: what tasks wrote is known from the rows only.
	adopted bool
	// committing says that a commit was asked for: from then on the file outlives Close, so that it can be asked for again.
	committing bool
	// whole says that the commit's transaction has happened in the file: it only waits to be renamed.
	whole bool
	// previous is the published file that a whole file took over from (see stamp).
	previous string

	memory int64     // all of DuckDB's share, 0 for no bound
	roomy  sync.Once // see work.makeRoom
}

// staged is one table in the next file.
type staged struct {
	name  string
	epoch int

	mu          sync.Mutex
	wrote       map[int]bool // tasks that may have rows
	rows, bytes int64        // that went by in Write, also those written again
}

// rowBytes is how large a row is on average, 0 when nothing was written here.
func (s *staged) rowBytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes / max(s.rows, 1)
}

func (d *dest) did(what string) {
	if d.step != nil {
		d.step(what)
	}
}

// classify makes a fault of what DuckDB or the file system said about the file.
func (d *dest) classify(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return duck.Classify(d.path, err)
}

// join opens the next file for run. What another run left there is discarded. Without create it returns
// nil where run has nothing staged. d.mu is held.
func (d *dest) join(ctx context.Context, run string, create bool) (*work, error) {
	if d.work != nil && d.work.run == run {
		return d.work, nil
	}
	if d.work != nil {
		if !create {
			return nil, nil
		}
		d.discard()
	}
	if exists(d.next()) {
		w, err := d.adopt(ctx, run, create)
		if w != nil || err != nil || !create {
			d.work = w
			return w, err
		}
	}
	if !create {
		return nil, nil
	}
	w, err := d.begin(ctx, run)
	d.work = w
	return w, err
}

// usualMemory is what DuckDB works with of its share until there are large values. It would fill the rest with
// blocks it has written and hardly reads again: measured, a table of twelve million rows took 150 MiB more than one of
// three, and no less CPU.
func usualMemory(share int64) int64 { return share / 2 }

// lockPatience outlasts a program that writes for a moment; one that keeps the file open is told to people instead.
const lockPatience = 15 * time.Second

// lockMoment is how long nobody is told of: most writers are done by then.
const lockMoment = time.Second

// await opens the file. One that another process holds is tried again for a while; then the fault says who holds it.
func (d *dest) await(ctx context.Context, opt duck.Options) (*duck.DB, error) {
	began, told := time.Now(), false
	for {
		db, err := duck.Open(ctx, opt)
		held := d.classify(err)
		if !fault.HasCode(held, "duckdb.locked") {
			if told {
				d.waiting("")
			}
			return db, err
		}
		if time.Since(began) >= d.patience {
			return nil, fmt.Errorf("waited %s: %w", d.patience, held)
		}
		if !told && time.Since(began) >= d.moment {
			told = true
			d.waiting(fmt.Sprintf("%v; until %s have passed", held, d.patience))
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (d *dest) openNext(ctx context.Context) (*duck.DB, error) {
	db, err := duck.Open(ctx, duck.Options{
		Threads: 1, // each Write computes in its own thread; idle helpers would only poll, a fifth of the CPU
		Path:    d.next(), Name: duck.CatalogName(d.path), MemoryBytes: usualMemory(d.memory), TempDir: d.next() + ".tmp",
	})
	if err != nil {
		return nil, duck.Classify(d.next(), err)
	}
	return db, nil
}

// adopt opens a next file that is already there. It returns nil for one of another run: removed when
// remove is set, unless a living process works on it, which is a fault.
func (d *dest) adopt(ctx context.Context, run string, remove bool) (*work, error) {
	db, err := d.openNext(ctx)
	if fault.HasCode(err, "duckdb.locked") || errors.Is(err, context.Canceled) {
		return nil, err
	}
	if err == nil {
		w := &work{db: db, run: run, tables: map[string]*staged{}, adopted: true, memory: d.memory}
		if w.readStaging(ctx) {
			return w, nil
		}
		if w.previous, w.whole = publishedIn(ctx, db, run); w.whole {
			w.committing = true
			return w, nil
		}
		_ = db.Close()
	}
	if remove {
		d.removeNext()
	}
	return nil, nil
}

// readStaging says whether the file belongs to the run, and learns its tables.
func (w *work) readStaging(ctx context.Context) bool {
	rows, err := w.db.Texts(ctx, `SELECT name, epoch::VARCHAR FROM `+metaTable(w.db, "staging")+` WHERE run = `+duck.Literal(w.run))
	if err != nil || len(rows) == 0 {
		return false
	}
	for _, r := range rows {
		if r[0] == "" { // the run's own line
			continue
		}
		t := &staged{name: r[0], wrote: map[int]bool{}}
		_, _ = fmt.Sscan(r[1], &t.epoch)
		w.tables[fold(t.name)] = t
	}
	return true
}

// begin makes an empty next file.
func (d *dest) begin(ctx context.Context, run string) (*work, error) {
	d.removeNext()
	if err := os.MkdirAll(filepath.Dir(d.path), 0o777); err != nil {
		return nil, fault.Wrap(fault.Destination, "duckdb.folder", "make the folder, or name another in destination.duckdb.path", err)
	}
	db, err := d.openNext(ctx)
	if err != nil {
		return nil, err
	}
	staging := metaTable(db, "staging")
	_, err = db.Exec(ctx, "CREATE SCHEMA "+duck.Idents(db.Name, metaSchema)+
		"; CREATE TABLE "+staging+" (run VARCHAR, name VARCHAR, epoch INTEGER)"+
		"; INSERT INTO "+staging+" VALUES ("+duck.Literal(run)+", '', 0)")
	if err != nil {
		_ = db.Close()
		d.removeNext()
		return nil, duck.Classify(d.next(), err)
	}
	return &work{db: db, run: run, tables: map[string]*staged{}, memory: d.memory}, nil
}

// discard ends the run in progress and removes its file.
func (d *dest) discard() {
	if d.work != nil {
		_ = d.work.db.Close()
		d.work = nil
	}
	d.removeNext()
}

func (d *dest) removeNext() {
	for _, p := range []string{d.next(), d.fresh()} {
		for _, suffix := range []string{"", ".wal", ".tmp"} {
			_ = os.RemoveAll(p + suffix)
		}
	}
}

// Close leaves the published file and, after a commit that failed or a run that was interrupted, what is
// needed to commit again or to go on: the next file as long as a table is staged in it.
func (d *dest) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.work == nil {
		return nil
	}
	if !d.work.committing && len(d.work.tables) == 0 {
		d.discard()
		return nil
	}
	err := d.work.db.Close()
	d.work = nil
	return err
}
