package bigquery

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/zeebo/xxh3"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/format"
)

// stage is where one table of one run waits to be loaded: a folder of Parquet files, one per task. It is what
// connector.Stage carries.
type stage struct {
	Run   string              `json:"run"`
	Epoch int                 `json:"epoch"`
	Dir   string              `json:"dir"`
	Plan  connector.TablePlan `json:"plan"`
}

// shard is one task's file: a receipt's token.
type shard struct {
	Path  string `json:"path"`
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"`
	XXH3  string `json:"xxh3"`
	// Unfit says of columns, by their number, what their planned type can't hold as it is.
	Unfit map[int]string `json:"unfit,omitempty"`
}

func parseStage(raw connector.Stage) (*stage, error) {
	s := &stage{}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("stage of the bigquery destination: %w", err)
	}
	return s, nil
}

func (s *stage) file(task int) string {
	return filepath.Join(s.Dir, fmt.Sprintf("part-%05d.parquet", task))
}

// marker is there once something of the stage may be in the bucket.
func (s *stage) marker() string { return filepath.Join(s.Dir, "uploaded") }

// spoolDays is after how many days what a dead run left in the spool is removed.
const spoolDays = 7

// Stage makes the table's folder and removes those of other epochs.
func (d *dest) Stage(_ context.Context, req connector.StageRequest) (connector.Stage, error) {
	table := filepath.Join(d.spool, safe(req.Run), safe(req.Plan.Name))
	st := &stage{Run: req.Run, Epoch: req.Epoch, Dir: filepath.Join(table, strconv.Itoa(req.Epoch)), Plan: req.Plan}
	d.forgetOld()
	if old, err := os.ReadDir(table); err == nil {
		for _, e := range old {
			if e.Name() != filepath.Base(st.Dir) {
				if err := os.RemoveAll(filepath.Join(table, e.Name())); err != nil {
					return nil, spoolFault(err)
				}
			}
		}
	}
	if err := os.MkdirAll(st.Dir, 0o700); err != nil {
		return nil, spoolFault(err)
	}
	return json.Marshal(st)
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

// Write spools one task's rows. The same task again replaces its file.
func (d *dest) Write(ctx context.Context, raw connector.Stage, task int, rows batch.Stream) (connector.Receipt, error) {
	st, err := parseStage(raw)
	if err != nil {
		return connector.Receipt{}, err
	}
	if _, err := os.Stat(st.Dir); err != nil { // another epoch has begun
		return connector.Receipt{}, spoolFault(fmt.Errorf("stage of table %s: %w", st.Plan.Name, err))
	}
	db, err := d.engine(ctx)
	if err != nil {
		return connector.Receipt{}, err
	}
	path := st.file(task)
	tmp := path + "." + strconv.FormatInt(time.Now().UnixNano(), 16) + ".tmp"
	defer os.Remove(tmp) // where it was not renamed
	var broken error
	fit := newFit(st.Plan)
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
	s.Rows, s.Unfit = n, fit.found
	if err := os.Rename(tmp, path); err != nil {
		return connector.Receipt{}, spoolFault(err)
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

// shards are the receipts' files, checked to be as they were written.
func (st *stage) shards(receipts []connector.Receipt) ([]shard, error) {
	var all []shard
	for _, r := range receipts {
		var s shard
		if err := json.Unmarshal(r.Token, &s); err != nil {
			return nil, fmt.Errorf("receipt of task %d: %w", r.Task, err)
		}
		if s.Path != st.file(r.Task) {
			return nil, fault.New(fault.Internal, "bigquery.receipt", "", "table %s: the receipt of task %d is not of this stage", st.Plan.Name, r.Task)
		}
		if info, err := os.Stat(s.Path); err != nil || info.Size() != s.Bytes {
			return nil, fault.New(fault.Destination, "bigquery.stage_gone", "let nothing else clean up in .kitamae/spool, then run again",
				"table %s: the spooled rows of task %d are gone or were changed", st.Plan.Name, r.Task)
		}
		all = append(all, s)
	}
	return all, nil
}

// readBatchBytes is about how large a batch read back grows.
const readBatchBytes = 4 << 20

// ReadStaged reads the receipts' files, one after the other. No planned type is a list, so the reader picks columns by itself.
func (d *dest) ReadStaged(ctx context.Context, raw connector.Stage, receipts []connector.Receipt, names []string) batch.Stream {
	st, err := parseStage(raw)
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
	return d.readShards(ctx, schema, shards, pick)
}

// readShards reads files in schema, or the columns picked from it.
func (d *dest) readShards(ctx context.Context, schema *arrow.Schema, shards []shard, pick []int) batch.Stream {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for _, s := range shards {
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

// Abort removes what the stage spooled, here and in the bucket: the latter is asked unless it is known that nothing is there.
func (d *dest) Abort(ctx context.Context, raw connector.Stage) error {
	st, err := parseStage(raw)
	if err != nil {
		return err
	}
	if d.spec.Bucket != "" {
		_, noDir := os.Stat(st.Dir)
		_, noMarker := os.Stat(st.marker())
		if noDir != nil || noMarker == nil {
			if err := d.removeObjects(ctx, d.tableFolder(st), time.Time{}); err != nil {
				return err
			}
		}
	}
	if err := os.RemoveAll(st.Dir); err != nil {
		return spoolFault(err)
	}
	_ = os.Remove(filepath.Dir(st.Dir)) // both only where they are empty
	_ = os.Remove(filepath.Dir(filepath.Dir(st.Dir)))
	return nil
}
