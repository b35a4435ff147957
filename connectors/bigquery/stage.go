package bigquery

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/zeebo/xxh3"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/format"
)

// stage is where one table of one run waits to be loaded: Parquet files, one per task. It is kept in a connector.Stage as its
// request. One process's stage is a folder of the spool. A shared stage is a folder of the bucket, and what this machine has
// of it are copies.
type stage struct {
	connector.StageRequest
	Dir string // on this machine
}

// shard is one task's file: a receipt's token.
type shard struct {
	// Path is the file on this machine. Where there is an Object, it is in the bucket under that name, and the file is a copy
	// that is fetched when it is read.
	Path   string `json:"-"`
	Object string `json:"object,omitempty"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	XXH3   string `json:"xxh3"`
	// Unfit says of columns, by their number, what their planned type can't hold as it is.
	Unfit map[int]string `json:"unfit,omitempty"`
	// Parts are the partitions that the rows fall in, where they are to be overwritten.
	Parts []int64 `json:"parts,omitempty"`
}

// parseStage finds a stage on this machine.
func (d *dest) parseStage(raw connector.Stage) (*stage, error) {
	req, err := connector.ParseStage(raw)
	if err != nil {
		return nil, err
	}
	root := d.spool
	if req.Shared {
		root = d.own
	}
	return &stage{StageRequest: req, Dir: filepath.Join(root, safe(req.Run), safe(req.Plan.Name), strconv.Itoa(req.Epoch))}, nil
}

func (s *stage) file(task int) string {
	return filepath.Join(s.Dir, fmt.Sprintf("part-%05d.parquet", task))
}

// marker is there once something of the stage may be in the bucket.
func (s *stage) marker() string { return filepath.Join(s.Dir, "uploaded") }

func (s *stage) marked() bool {
	_, err := os.Stat(s.marker())
	return err == nil
}

// spoolDays is after how many days what a dead run left in the spool, or in the bucket, is removed.
const spoolDays = 7

// Stage makes the table's folder and removes those of other epochs. Of a shared stage they stay in the bucket until its end: nobody
// loads them.
func (d *dest) Stage(_ context.Context, req connector.StageRequest) (connector.Stage, error) {
	raw, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	st, err := d.parseStage(raw)
	if err != nil {
		return nil, err
	}
	d.forgetOld()
	table := filepath.Dir(st.Dir)
	if old, err := os.ReadDir(table); err == nil {
		for _, e := range old {
			if e.Name() != filepath.Base(st.Dir) {
				if err := os.RemoveAll(filepath.Join(table, e.Name())); err != nil {
					return nil, spoolFault(err)
				}
			}
		}
	}
	return raw, spoolFault(os.MkdirAll(st.Dir, 0o700))
}

// safe is a name as a folder's: a hash keeps different names apart.
func safe(name string) string { return fmt.Sprintf("%016x", xxh3.HashString(name)) }

// forgetOld removes runs that nobody will finish any more.
func (d *dest) forgetOld() {
	runs, _ := os.ReadDir(d.spool) // not there yet: nothing to forget
	for _, e := range runs {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > spoolDays*24*time.Hour {
			_ = os.RemoveAll(filepath.Join(d.spool, e.Name())) // tried again by the next run
		}
	}
}

func spoolFault(err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) || errors.Is(err, context.Canceled) {
		return err
	}
	return fault.Wrap(fault.Destination, "bigquery.spool", "make room on the disk beside the config, or let this user write there", err)
}

// enter makes sure that the stage has its folder here. Where others have begun it, this machine may know nothing of it yet.
func (s *stage) enter() error {
	if s.Shared {
		return spoolFault(os.MkdirAll(s.Dir, 0o700))
	}
	if _, err := os.Stat(s.Dir); err != nil { // another epoch has begun, or somebody cleaned up
		return fault.Wrap(fault.Destination, "bigquery.stage_gone", stageHint, fmt.Errorf("stage of table %s: %w", s.Plan.Name, err))
	}
	return nil
}

// Write spools one task's rows. The same task again replaces its file. Of a shared stage they are in the bucket, too, before it returns.
func (d *dest) Write(ctx context.Context, raw connector.Stage, task int, rows batch.Stream) (connector.Receipt, error) {
	st, err := d.parseStage(raw)
	if err == nil {
		err = st.enter()
	}
	if err != nil {
		return connector.Receipt{}, err
	}
	if st.Shared {
		d.forgetOld() // on a machine that never begins a run
	}
	db, err := d.engine(ctx)
	if err != nil {
		return connector.Receipt{}, err
	}
	path := st.file(task)
	tmp := path + "." + strconv.FormatInt(time.Now().UnixNano(), 16) + ".tmp"
	defer os.Remove(tmp) // where it was not renamed
	var broken error
	fit, parts := newFit(st.Plan), map[int64]bool{}
	if st.Plan.Mode == connector.Overwrite {
		rows = touching(st.Plan, rows, parts)
	}
	n, err := db.WriteParquet(ctx, tmp, "zstd", st.Plan.Schema(), fit.watch(watched(ctx, st.Plan, rows, &broken)), d.duckBytes())
	if broken != nil {
		return connector.Receipt{}, broken
	}
	if err != nil {
		return connector.Receipt{}, spoolFault(err)
	}
	s, err := measure(tmp, path)
	if err != nil {
		return connector.Receipt{}, spoolFault(err)
	}
	s.Rows, s.Unfit, s.Parts = n, fit.found, slices.Sorted(maps.Keys(parts))
	if err := os.Rename(tmp, path); err != nil {
		return connector.Receipt{}, spoolFault(err)
	}
	if st.Shared {
		if s.Object, err = d.keep(ctx, st, s); err != nil {
			return connector.Receipt{}, err
		}
	}
	token, err := json.Marshal(s)
	return connector.Receipt{Task: task, Epoch: st.Epoch, Rows: n, Bytes: s.Bytes, Token: token}, err
}

// measure sums up the file at from, which is to be known as path.
func measure(from, path string) (shard, error) {
	f, err := os.Open(from)
	if err != nil {
		return shard{}, err
	}
	defer f.Close()
	h := xxh3.New()
	n, err := io.Copy(h, f)
	sum := h.Sum128().Bytes()
	return shard{Path: path, Bytes: n, XXH3: hex.EncodeToString(sum[:])}, err
}

// shards are the receipts' files.
func (s *stage) shards(receipts []connector.Receipt) ([]shard, error) {
	var all []shard
	for _, r := range receipts {
		f := shard{Path: s.file(r.Task)}
		if err := json.Unmarshal(r.Token, &f); err != nil {
			return nil, fmt.Errorf("receipt of task %d: %w", r.Task, err)
		}
		if r.Epoch != s.Epoch || s.Shared != (f.Object != "") {
			return nil, fault.New(fault.Internal, "bigquery.receipt", "", "table %s: the receipt of task %d is not of this stage", s.Plan.Name, r.Task)
		}
		all = append(all, f)
	}
	return all, nil
}

const stageHint = "let nothing else clean up where a run's tables wait, .kitamae/spool or kitamae/stage in the bucket, then run again"

// present returns a fault where something of the stage is no longer where it was put.
func (d *dest) present(ctx context.Context, st *stage, shards []shard) error {
	size := func(f shard) int64 {
		info, err := os.Stat(f.Path)
		if err != nil {
			return -1
		}
		return info.Size()
	}
	if st.Shared {
		objects, err := d.objectsIn(ctx, d.tableFolder(st))
		if err != nil {
			return err
		}
		sizes := map[string]int64{}
		for _, o := range objects {
			sizes[o.Name] = int64(o.Size)
		}
		size = func(f shard) int64 { return sizes[f.Object] }
	}
	for _, f := range shards {
		if size(f) != f.Bytes {
			return fault.New(fault.Destination, "bigquery.stage_gone", stageHint, "table %s: staged rows are gone or were changed", st.Plan.Name)
		}
	}
	return st.enter()
}

// readBatchBytes is about how large a batch read back grows.
const readBatchBytes = 4 << 20

// ReadStaged reads the receipts' files, one after the other. No planned type is a list, so the reader picks columns by itself.
func (d *dest) ReadStaged(ctx context.Context, raw connector.Stage, receipts []connector.Receipt, names []string) batch.Stream {
	st, err := d.parseStage(raw)
	if err != nil {
		return batch.Fail(err)
	}
	shards, err := st.shards(receipts)
	if err != nil {
		return batch.Fail(err)
	}
	schema := st.Plan.Schema()
	var pick []int
	for _, name := range names {
		at := schema.FieldIndices(name)
		if len(at) == 0 {
			return batch.Fail(fmt.Errorf("no column %s is staged", name))
		}
		pick = append(pick, at[0])
	}
	rows := d.readShards(ctx, schema, shards, pick)
	if !st.Shared {
		return rows
	}
	return func(yield func(arrow.RecordBatch, error) bool) {
		rows(yield)
		for _, f := range shards { // what is verified waits in the bucket, so that this disk need not hold all that a shard reads
			_ = os.Remove(f.Path) // goes with the others at Close
		}
	}
}

// readShards reads files in schema, or the columns picked from it. Those that are not on this machine are fetched.
func (d *dest) readShards(ctx context.Context, schema *arrow.Schema, shards []shard, pick []int) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for _, s := range shards {
			if err := d.fetch(ctx, s); err != nil {
				yield(nil, err)
				return
			}
			for rec, err := range format.ReadParquet(ctx, s.Path, schema, pick, d.pool, readBatchBytes) {
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					yield(nil, spoolFault(fmt.Errorf("read %s: %w", s.Path, err)))
					return
				}
				if !yield(rec, nil) {
					return
				}
			}
		}
	}
}

// Abort removes what the stage spooled, here and in the bucket.
func (d *dest) Abort(ctx context.Context, raw connector.Stage) error {
	st, err := d.parseStage(raw)
	if err != nil {
		return err
	}
	return d.discard(ctx, st)
}

// discard removes all of a stage. The bucket is asked unless it is known that nothing is there.
func (d *dest) discard(ctx context.Context, st *stage) error {
	if d.spec.Bucket != "" {
		_, noDir := os.Stat(st.Dir)
		if st.Shared || noDir != nil || st.marked() {
			if err := d.removeObjects(ctx, d.tableFolder(st), everything); err != nil {
				return err
			}
		}
	}
	if err := os.RemoveAll(st.Dir); err != nil {
		return spoolFault(err)
	}
	if !st.Shared {
		_ = os.Remove(filepath.Dir(st.Dir)) // both only where they are empty
		_ = os.Remove(filepath.Dir(filepath.Dir(st.Dir)))
	}
	return nil
}
