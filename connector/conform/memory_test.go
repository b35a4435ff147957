package conform

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
)

// flaw is how a double is broken on purpose, "" for not at all.
type flaw string

const (
	lostBatch    flaw = "lost batch"
	doubledRows  flaw = "doubled rows on rewrite"
	visibleEarly flaw = "visible before commit"
	swapped      flaw = "swapped columns"
	nullTurned0  flaw = "null turned zero"
	keepsEpoch   flaw = "old epoch kept"
	keepsBatches flaw = "borrowed batches kept"
	dropsOthers  flaw = "other tables dropped"
	halfCommit   flaw = "half a commit"
	blindPut     flaw = "a value put over any other"
)

// memorySpec points at the memory that stands for a system.
type memorySpec struct{ store *store }

// store is what a system keeps between two openings of a connector.
type store struct {
	mu        sync.Mutex
	flaw      flaw
	stages    map[string]map[int]rowset // by run, table and epoch, then by task
	published map[string]rowset
	done      map[string]bool // stages that were committed
	values    map[string]value
}

// value is one of the register's.
type value struct {
	text    []byte
	version int
}

type rowset struct {
	schema *arrow.Schema
	recs   []arrow.RecordBatch
}

func (s rowset) stream() batch.Stream { return batch.Of(s.recs...) }

var memoryDest = connector.NewEnd[memorySpec, connector.Destination](memorySpec{},
	func(_ context.Context, s memorySpec, _ connector.Env) (connector.Destination, error) {
		return dest{s.store}, nil
	},
	func(memorySpec) string { return "memory" })

var memoryRegister = connector.NewEnd[memorySpec, connector.Register](memorySpec{},
	func(_ context.Context, s memorySpec, _ connector.Env) (connector.Register, error) {
		return register{s.store}, nil
	},
	func(memorySpec) string { return "memory" })

// register is a correct one, but for its store's flaw.
type register struct{ *store }

func (r register) Get(_ context.Context, key string) (text []byte, version string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.values[key].text, r.values[key].name(), nil
}

func (r register) Put(_ context.Context, key string, text []byte, version string) (next string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.values[key]
	if now.name() != version && r.flaw != blindPut {
		return "", fault.ErrConflict
	}
	now = value{text, now.version + 1}
	r.values[key] = now
	return now.name(), nil
}

func (r register) Close() error { return nil }

func (v value) name() string {
	if v.version == 0 {
		return ""
	}
	return fmt.Sprint(v.version)
}

func newStore(f flaw) *store {
	return &store{flaw: f, stages: map[string]map[int]rowset{}, published: map[string]rowset{}, done: map[string]bool{}, values: map[string]value{}}
}

// dest is a correct destination in memory, but for its store's flaw.
type dest struct{ *store }

// stageID is what this destination's Stage holds.
type stageID struct {
	Run   string
	Table string
	Epoch int
	Plan  connector.TablePlan
}

func (id stageID) key(epoch int) string { return fmt.Sprintf("%s/%s/%d", id.Run, id.Table, epoch) }

func idOf(s connector.Stage) (id stageID) {
	if err := json.Unmarshal(s, &id); err != nil {
		panic(err)
	}
	return id
}

func (d dest) PlanTable(_ context.Context, req connector.PlanRequest) (*connector.TablePlan, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old, exists := d.published[req.Name]
	plan := &connector.TablePlan{Name: req.Name, Comment: req.Comment, Key: req.Key, Mode: req.Mode, Exists: exists, Rows: -1}
	for _, f := range req.Schema.Fields() {
		plan.Columns = append(plan.Columns, connector.ColumnPlan{
			From: f.Name, Name: f.Name, Type: connector.Type{DataType: f.Type}, Kind: batch.Meta(f, batch.KindKey),
			Native: f.Type.String(), Nullable: f.Nullable, Comment: batch.Meta(f, batch.CommentKey),
		})
	}
	if exists {
		plan.Changes = changes(old.schema, req.Schema)
	}
	return plan, nil
}

func changes(old, now *arrow.Schema) (lines []string) {
	for _, f := range now.Fields() {
		if was, ok := old.FieldsByName(f.Name); !ok || !arrow.TypeEqual(was[0].Type, f.Type) {
			lines = append(lines, "changes "+f.Name)
		}
	}
	for _, f := range old.Fields() {
		if !now.HasField(f.Name) {
			lines = append(lines, "drops "+f.Name)
		}
	}
	return lines
}

func (d dest) Stage(_ context.Context, req connector.StageRequest) (connector.Stage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := stageID{req.Run, req.Plan.Name, req.Epoch, req.Plan}
	if d.stages[id.key(req.Epoch)] == nil {
		d.stages[id.key(req.Epoch)] = map[int]rowset{}
	}
	for epoch := range req.Epoch {
		if d.flaw == keepsEpoch {
			maps.Copy(d.stages[id.key(req.Epoch)], d.stages[id.key(epoch)])
		}
		delete(d.stages, id.key(epoch))
	}
	return json.Marshal(id)
}

func (d dest) Write(ctx context.Context, s connector.Stage, task int, rows batch.Stream) (connector.Receipt, error) {
	id := idOf(s)
	set := rowset{schema: id.Plan.Schema()}
	r := connector.Receipt{Task: task, Epoch: id.Epoch}
	for rec, err := range rows {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return connector.Receipt{}, fmt.Errorf("write %s: %w", id.Table, err)
		}
		r.Rows += rec.NumRows()
		if d.flaw == lostBatch && len(set.recs) == 1 && rec.NumRows() == 1 {
			continue
		}
		set.recs = append(set.recs, d.store.kept(rec))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	stage := d.stages[id.key(id.Epoch)]
	if stage == nil {
		return connector.Receipt{}, fmt.Errorf("write %s: the stage is gone", id.Table)
	}
	if d.flaw == doubledRows {
		set.recs = append(set.recs, stage[task].recs...)
	}
	stage[task] = set
	if d.flaw == visibleEarly {
		d.published[id.Table] = set
	}
	return r, nil
}

// kept is a copy of rec, or what the flaw makes of it.
func (s *store) kept(rec arrow.RecordBatch) arrow.RecordBatch {
	cols := slices.Clone(rec.Columns())
	switch {
	case s.flaw == keepsBatches:
		for i, col := range cols {
			cols[i] = borrowed(col)
		}
		return array.NewRecordBatch(rec.Schema(), cols, rec.NumRows())
	case s.flaw == swapped && len(cols) > 2 && arrow.TypeEqual(cols[0].DataType(), cols[1].DataType()):
		cols[0], cols[1] = cols[1], cols[0]
	}
	for i, col := range cols {
		if s.flaw == nullTurned0 && col.DataType().ID() == arrow.INT32 {
			old := col.Data()
			col = array.MakeFromData(array.NewData(old.DataType(), old.Len(), []*memory.Buffer{nil, old.Buffers()[1]}, nil, 0, old.Offset()))
		}
		one, err := array.Concatenate([]arrow.Array{col}, memory.DefaultAllocator)
		if err != nil {
			panic(err)
		}
		cols[i] = one
	}
	return array.NewRecordBatch(rec.Schema(), cols, rec.NumRows())
}

// borrowed shares a column's bytes without holding on to them: of numbers, as broken offsets would crash the reader.
func borrowed(col arrow.Array) arrow.Array {
	if col.DataType().ID() != arrow.INT64 {
		return col
	}
	d := col.Data()
	bufs := []*memory.Buffer{nil, memory.NewBufferBytes(d.Buffers()[1].Bytes())}
	return array.MakeFromData(array.NewData(d.DataType(), d.Len(), bufs, nil, 0, d.Offset()))
}

func (d dest) ReadStaged(_ context.Context, s connector.Stage, receipts []connector.Receipt, columns []string) batch.Stream {
	id := idOf(s)
	d.mu.Lock()
	defer d.mu.Unlock()
	set := d.staged(id, receipts)
	if len(columns) == 0 {
		return set.stream()
	}
	for i, rec := range set.recs {
		var cols []arrow.Array
		var fields []arrow.Field
		for _, name := range columns {
			at := rec.Schema().FieldIndices(name)[0]
			cols, fields = append(cols, rec.Column(at)), append(fields, rec.Schema().Field(at))
		}
		set.recs[i] = array.NewRecordBatch(arrow.NewSchema(fields, nil), cols, rec.NumRows())
	}
	return set.stream()
}

// staged is the rows of the receipts' tasks.
func (d dest) staged(id stageID, receipts []connector.Receipt) rowset {
	set := rowset{schema: id.Plan.Schema()}
	for task, rows := range d.stages[id.key(id.Epoch)] {
		if d.flaw == keepsEpoch || slices.ContainsFunc(receipts, func(r connector.Receipt) bool { return r.Task == task }) {
			set.recs = append(set.recs, rows.recs...)
		}
	}
	return set
}

func (d dest) Commit(_ context.Context, req connector.CommitRequest) ([]connector.Outcome, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	published := maps.Clone(d.published)
	if d.flaw == dropsOthers {
		clear(published)
	}
	for _, tb := range req.Tables {
		id := idOf(tb.Stage)
		if d.done[id.key(id.Epoch)] {
			continue
		}
		if d.stages[id.key(id.Epoch)] == nil {
			if d.flaw == halfCommit {
				d.published = published
			}
			return nil, fmt.Errorf("commit %s: the stage is gone", id.Table)
		}
		published[id.Table] = d.staged(id, tb.Receipts)
	}
	d.published = published
	for _, tb := range req.Tables {
		id := idOf(tb.Stage)
		d.done[id.key(id.Epoch)] = true
		delete(d.stages, id.key(id.Epoch))
	}
	return slices.Repeat([]connector.Outcome{{Published: true}}, len(req.Tables)), nil
}

func (d dest) Recover(_ context.Context, req connector.CommitRequest) (connector.Recovery, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, tb := range req.Tables {
		id := idOf(tb.Stage)
		if d.done[id.key(id.Epoch)] {
			continue
		}
		if d.stages[id.key(id.Epoch)] == nil {
			return connector.ReadAgain, nil
		}
		return connector.CommitAgain, nil
	}
	return connector.Done, nil
}

func (d dest) Abort(_ context.Context, s connector.Stage) error {
	id := idOf(s)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.stages, id.key(id.Epoch))
	return nil
}

func (d dest) Close() error { return nil }

// memoryConfig is a fresh place whose double has the flaw f.
func memoryConfig(f flaw) func(t *testing.T) Config {
	return func(*testing.T) Config {
		s := newStore(f)
		return Config{
			Spec: &memorySpec{store: s},
			Published: func(_ *testing.T, table string) (batch.Stream, bool) {
				s.mu.Lock()
				defer s.mu.Unlock()
				set, ok := s.published[table]
				return set.stream(), ok
			},
		}
	}
}

// memorySuite tests the double; connectors' names are flaws, so that a broken one runs by its name.
func memorySuite(f flaw) Suite {
	return Suite{
		Connector: connector.Connector{
			Name: "memory", Summary: strings.TrimSpace("in memory " + string(f)),
			Caps: connector.Caps{Atomic: true, Durable: true}, Dest: memoryDest, Register: memoryRegister,
		},
		Config: memoryConfig(f),
	}
}
