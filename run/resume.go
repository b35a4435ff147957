package run

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/digest"
	"github.com/kitamae/kitamae/state"
)

// progressKey holds how far a chunked run has come, while it lives and after it was interrupted.
const progressKey = "progress.json"

// resumeWithin is how long after its begin an interrupted run may be taken up. What is published is meant to be one day's
// state: parts that lie further apart than a night's run are better read again.
const resumeWithin = 6 * time.Hour

// sampleBytes bounds the sample that is kept for the comparison at the end; a table with longer rows is taken up without.
const sampleBytes = 1 << 20

// halfway is what the next process needs to take up a run: the stages, how the tables were divided, and the receipts of what is done.
type halfway struct {
	Run     string         `json:"run"`
	Started time.Time      `json:"started"` // UTC
	Plan    string         `json:"plan"`    // its identity
	Epoch   int            `json:"epoch"`
	Tables  []tableHalfway `json:"tables"` // in the plan's order
}

type tableHalfway struct {
	Stage      connector.Stage       `json:"stage,omitempty"` // none: not staged, or not chunked
	Partitions []connector.Partition `json:"partitions,omitempty"`
	Receipts   []connector.Receipt   `json:"receipts,omitempty"`
	// Count and Sample are what the source said before the first read; Sample is an Arrow stream in the destination's types.
	Count  int64  `json:"count"`
	Sample []byte `json:"sample,omitempty"`
}

// identity is what must be the same for a run to be taken up: what is read, what it becomes, and how it is compared. What changes
// from day to day without changing that, such as estimates, is left out.
func (p *Plan) identity(version string) string {
	type table struct {
		Scan   connector.TableScan
		Target connector.TablePlan
		Verify string
	}
	all := struct {
		Version, Source, Destination string
		Tables                       []table
	}{Version: version, Source: p.Source, Destination: p.Destination}
	for _, t := range p.Tables {
		scan, target := t.Scan, t.Target
		scan.Table.Rows, scan.Table.Bytes, scan.Table.Notes, scan.Resume = 0, 0, nil, nil
		target.Rows, target.Changes, target.Notes = 0, nil, nil
		target.Cost, target.Verifying = nil, 0
		all.Tables = append(all.Tables, table{scan, target, t.Verify})
	}
	text, err := json.Marshal(all)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// diary writes progress down. A nil diary writes nothing: the run can't be taken up.
type diary struct {
	state state.Store

	mu    sync.Mutex
	now   halfway
	saved time.Time
	pause time.Duration // between two savings
}

// leastPause is how often progress is written at most: what a killed process has read in so long is read again.
const leastPause = 250 * time.Millisecond

// note changes the progress and saves it, unless that was done just now.
func (d *diary) note(ctx context.Context, change func(*halfway)) error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.now)
	if time.Since(d.saved) < d.pause {
		return nil
	}
	return d.save(ctx)
}

// worth says whether something was read that the next run need not read again.
func (d *diary) worth() bool {
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.now.Tables, func(t tableHalfway) bool { return len(t.Receipts) > 0 })
}

// flush saves what was noted.
func (d *diary) flush(ctx context.Context) error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.save(ctx)
}

func (d *diary) save(ctx context.Context) error {
	begun := time.Now()
	value, err := json.Marshal(d.now)
	if err != nil {
		return fmt.Errorf("write down the progress: %w", err)
	}
	_, version, err := d.state.Get(ctx, progressKey)
	if err != nil {
		return err
	}
	if _, err := d.state.Put(ctx, progressKey, value, version); err != nil {
		return fmt.Errorf("write down the progress: %w", err)
	}
	d.saved = time.Now()
	d.pause = max(leastPause, 20*time.Since(begun)) // a long list is written less often
	return nil
}

// forgetProgress removes it: the run it tells of is published, or given up.
func forgetProgress(ctx context.Context, st state.Store) error {
	_, version, err := st.Get(ctx, progressKey)
	if err != nil || version == "" {
		return err
	}
	_, err = st.Put(ctx, progressKey, nil, version)
	return err
}

// takeUp looks for an interrupted run of the same plan. One that can't be taken up is given up: its stages are aborted.
func (s *Session) takeUp(ctx context.Context, p *Plan, r *Report) (*halfway, error) {
	value, _, err := s.req.State.Get(ctx, progressKey)
	if err != nil || value == nil {
		return nil, err
	}
	var found halfway
	if err := json.Unmarshal(value, &found); err != nil {
		return nil, forgetProgress(ctx, s.req.State) // of another version: its stages are found by who keeps them
	}
	why := ""
	switch {
	case !s.caps.Resumes:
		why = "the destination keeps no stages"
	case found.Plan == "" || found.Plan != p.identity(r.Version) || len(found.Tables) != len(p.Tables):
		why = "the plan is another now"
	case s.req.clock.wall.Sub(found.Started) > resumeWithin || s.req.clock.wall.Before(found.Started):
		why = fmt.Sprintf("it began at %s, more than %s ago", found.Started.Format(time.RFC3339), resumeWithin)
	}
	if why == "" {
		return &found, nil
	}
	r.Notes = append(r.Notes, fmt.Sprintf("the interrupted run %s was given up: %s", found.Run, why))
	var errs []error
	for _, t := range found.Tables {
		if t.Stage != nil {
			errs = append(errs, s.dst.Abort(ctx, t.Stage))
		}
	}
	return nil, errors.Join(append(errs, forgetProgress(ctx, s.req.State))...)
}

// openDiary begins to write down a scan's progress, where it can be taken up at all: by a destination that keeps stages, and
// without a view that ends with the process.
func (s *Session) openDiary(p *Plan, r *Report, scan *connector.Scan, epoch int, old *halfway) {
	s.diary = nil
	if !s.caps.Resumes || scan.Guarantee != connector.Chunked || s.shared {
		return
	}
	s.diary = &diary{state: s.req.State, now: halfway{
		Run: r.ID, Started: r.Started, Plan: p.identity(r.Version), Epoch: epoch, Tables: make([]tableHalfway, len(p.Tables)),
	}}
	if old != nil {
		s.diary.now.Started = old.Started
		copy(s.diary.now.Tables, old.Tables) // until each is staged
	}
}

// adopt makes the receipts of an interrupted run the table's, where the source divides it as it did then and the destination
// still has their rows. It says how many.
func (s *Session) adopt(ctx context.Context, t *moving, old *tableHalfway) (int, error) {
	same := slices.EqualFunc(old.Partitions, t.scanned.Partitions, func(a, b connector.Partition) bool { return bytes.Equal(a, b) })
	if !same {
		return 0, nil
	}
	n := 0
	for _, receipt := range old.Receipts {
		if receipt.Task < 0 || receipt.Task >= len(t.receipts) || !s.stillStaged(ctx, t, receipt) {
			continue
		}
		t.receipts[receipt.Task], t.adopted[receipt.Task] = receipt, true
		n++
	}
	if n == 0 || t.check == nil {
		return n, ctx.Err()
	}
	// what was asked before the first read counts, not what would be asked now
	t.check.count, t.check.kept = old.Count, old.Sample
	defer close(t.check.ready)
	if old.Sample == nil {
		t.evident.Notes = append(t.evident.Notes, "no rows were looked up: the sample from before the interruption was too large to be kept")
		return n, ctx.Err()
	}
	sample, err := readSample(old.Sample)
	if err != nil {
		return 0, err
	}
	defer sample.Release()
	t.check.sampled = int(sample.NumRows())
	t.check.index, err = digest.NewRowIndex(sample, t.plan.Target.Key)
	return n, err
}

// stillStaged reads a receipt's rows back: as many as it says. What they hold is compared later, with those of all tasks.
func (s *Session) stillStaged(ctx context.Context, t *moving, receipt connector.Receipt) bool {
	var rows int64
	for rec, err := range s.dst.ReadStaged(ctx, t.stage, []connector.Receipt{receipt}, []string{t.schema.Field(0).Name}) {
		if err != nil {
			return false
		}
		rows += rec.NumRows()
	}
	return rows == receipt.Rows
}

// writeSample is a sample for the progress; nil for one that is too large.
func writeSample(rec arrow.RecordBatch) []byte {
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(rec.Schema()))
	if w.Write(rec) != nil || w.Close() != nil || out.Len() > sampleBytes {
		return nil
	}
	return out.Bytes()
}

func readSample(stream []byte) (arrow.RecordBatch, error) {
	r, err := ipc.NewReader(bytes.NewReader(stream))
	if err != nil {
		return nil, fmt.Errorf("sample of the interrupted run: %w", err)
	}
	defer r.Release()
	rec, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("sample of the interrupted run: %w", err)
	}
	rec.Retain()
	return rec, nil
}
