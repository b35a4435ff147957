package files

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// stage is where one table of one run is written. It is what connector.Stage carries.
type stage struct {
	Run   string `json:"run"`
	Epoch int    `json:"epoch"`
	// Dir is the table's folder, where it is published too: nothing moves at commit. Until the
	// manifest names its files nobody looks there.
	Dir         string              `json:"dir"`
	Format      string              `json:"format"`
	Compression string              `json:"compression"`
	Plan        connector.TablePlan `json:"plan"`
	// Once says that each writing of a task makes an object of its own: what is in an object store is never written over, so that
	// a process that comes late changes nothing that is published.
	Once bool `json:"once,omitempty"`
}

func parseStage(raw connector.Stage) (*stage, error) {
	s := &stage{}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("stage of the files destination: %w", err)
	}
	return s, nil
}

// base begins the paths of a task's files.
func (s *stage) base(task int) string {
	return fmt.Sprintf("%s/part-%05d-%s", s.Dir, task, fileMark(s.Run, s.Epoch))
}

// file is the path of a task's next file.
func (s *stage) file(task int) string {
	base := s.base(task)
	if s.Once {
		base += "-" + strings.ToLower(rand.Text()[:8])
	}
	return base + extension(s.Format, s.Compression)
}

// isFile says whether a path is of the task.
func (s *stage) isFile(task int, key string) bool {
	next := "."
	if s.Once {
		next = "-"
	}
	return strings.HasPrefix(key, s.base(task)+next)
}

// owns says whether a path is of this stage's epoch.
func (s *stage) owns(key string) bool {
	mark, base := "-"+fileMark(s.Run, s.Epoch), path.Base(key)
	return strings.Contains(base, mark+".") || s.Once && strings.Contains(base, mark+"-")
}

const runsDir = "runs"

// runDir is a run's folder.
func runDir(run string) string { return runsDir + "/" + folderName(run) }

// Stage chooses the table's folder and removes what another epoch left in it.
func (d *dest) Stage(ctx context.Context, req connector.StageRequest) (connector.Stage, error) {
	s, err := d.storage(ctx, true)
	if err != nil {
		return nil, err
	}
	folder, err := d.claim(req.Run, req.Plan.Name)
	if err != nil {
		return nil, classify(d.spec.Dir, err)
	}
	st := &stage{
		Run: req.Run, Epoch: req.Epoch, Dir: runDir(req.Run) + "/" + folder,
		Format: d.spec.Format, Compression: d.spec.Compression, Plan: req.Plan, Once: s.far != nil,
	}
	if err := d.clear(ctx, s, st, st.owns); err != nil {
		return nil, classify(d.spec.Dir, err)
	}
	return json.Marshal(st)
}

// claim takes hold of the run and gives the table a folder of its own in it.
func (d *dest) claim(run, name string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.runs[run]
	if h == nil {
		unlock, err := d.store.holdRun(run)
		if err != nil {
			return "", err
		}
		h = &runHold{folders: map[string]string{metaDir: metaDir, manifestName: manifestName}, unlock: unlock}
		d.runs[run] = h
	}
	folder := freeFolder(name, func(folded string) bool {
		owner, taken := h.folders[folded]
		return taken && (owner != name || folded == manifestName)
	})
	h.folders[strings.ToLower(folder)] = name
	return folder, nil
}

// letGo ends the hold on a run.
func (d *dest) letGo(run string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h := d.runs[run]; h != nil {
		h.unlock()
		delete(d.runs, run)
	}
}

// clear removes the files in the stage's folder, except published ones and those keep names.
func (d *dest) clear(ctx context.Context, s *store, st *stage, keep func(key string) bool) error {
	keys, err := s.list(ctx, st.Dir)
	if err != nil || len(keys) == 0 {
		return err
	}
	m, err := d.readManifest(ctx, runDir(st.Run)+"/"+manifestName)
	if err != nil {
		return err
	}
	named := m.files()
	for _, key := range keys {
		if named[key] || keep(key) {
			continue
		}
		if err := s.remove(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// Write writes one file. The same task again replaces it: the new receipt names another where the old can't be written over.
func (d *dest) Write(ctx context.Context, raw connector.Stage, task int, rows batch.Stream) (connector.Receipt, error) {
	st, err := parseStage(raw)
	if err != nil {
		return connector.Receipt{}, err
	}
	s, err := d.storage(ctx, true)
	if err != nil {
		return connector.Receipt{}, err
	}
	f, err := d.write(ctx, s, st, st.file(task), rows)
	if err != nil {
		return connector.Receipt{}, err
	}
	token, err := json.Marshal(f)
	if err != nil {
		return connector.Receipt{}, err
	}
	return connector.Receipt{Task: task, Epoch: st.Epoch, Rows: f.Rows, Bytes: f.Bytes, Token: token}, nil
}

// receiptFile is the file a receipt stands for.
func receiptFile(st *stage, r connector.Receipt) (file, error) {
	var f file
	if err := json.Unmarshal(r.Token, &f); err != nil {
		return f, fmt.Errorf("receipt of task %d: %w", r.Task, err)
	}
	if !st.isFile(r.Task, f.Path) {
		return f, fault.New(fault.Internal, "files.receipt", "",
			"table %s: the receipt of task %d names %s, which is not of this stage", st.Plan.Name, r.Task, f.Path)
	}
	return f, nil
}

// ReadStaged reads the receipts' files, one after the other.
func (d *dest) ReadStaged(ctx context.Context, raw connector.Stage, receipts []connector.Receipt, columns []string) batch.Stream {
	st, err := parseStage(raw)
	if err != nil {
		return batch.Fail(err)
	}
	whole := st.Plan.Schema()
	pick, schema, err := project(whole, columns)
	if err != nil {
		return batch.Fail(err)
	}
	return func(yield func(arrow.RecordBatch, error) bool) {
		for _, r := range receipts {
			if !d.readReceipt(ctx, st, r, whole, pick, schema, yield) {
				return
			}
		}
	}
}

// readReceipt yields one file's rows. It returns false when there is nothing more to do.
func (d *dest) readReceipt(ctx context.Context, st *stage, r connector.Receipt, whole *arrow.Schema, pick []int, schema *arrow.Schema,
	yield func(arrow.RecordBatch, error) bool,
) bool {
	f, err := receiptFile(st, r)
	if err != nil {
		yield(nil, err)
		return false
	}
	for rec, err := range d.read(ctx, st, f, whole, pick) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			yield(nil, classify(d.spec.Dir, fmt.Errorf("read %s: %w", f.Path, err)))
			return false
		}
		more := false
		if pick != nil && !rec.Schema().Equal(schema) { // the reader reads all columns
			out := pickColumns(rec, pick, schema)
			more = yield(out, nil)
			out.Release()
		} else {
			more = yield(rec, nil)
		}
		if !more {
			return false
		}
	}
	return true
}

// project finds columns in a schema; nil for all of them.
func project(whole *arrow.Schema, columns []string) ([]int, *arrow.Schema, error) {
	if len(columns) == 0 {
		return nil, whole, nil
	}
	pick, fields := make([]int, len(columns)), make([]arrow.Field, len(columns))
	for i, name := range columns {
		at := whole.FieldIndices(name)
		if len(at) == 0 {
			return nil, nil, fmt.Errorf("no column %s is staged", name)
		}
		pick[i], fields[i] = at[0], whole.Field(at[0])
	}
	return pick, arrow.NewSchema(fields, nil), nil
}

func pickColumns(rec arrow.RecordBatch, pick []int, schema *arrow.Schema) arrow.RecordBatch {
	cols := make([]arrow.Array, len(pick))
	for i, k := range pick {
		cols[i] = rec.Column(k)
	}
	return array.NewRecordBatch(schema, cols, rec.NumRows())
}

// Abort removes what the stage wrote, except what has been published.
func (d *dest) Abort(ctx context.Context, raw connector.Stage) error {
	st, err := parseStage(raw)
	if err != nil {
		return err
	}
	s, err := d.storage(ctx, false)
	if err != nil || s == nil {
		return err
	}
	if err := d.clear(ctx, s, st, func(string) bool { return false }); err != nil {
		return classify(d.spec.Dir, err)
	}
	s.prune(st.Dir)
	s.prune(runDir(st.Run))
	return nil
}
