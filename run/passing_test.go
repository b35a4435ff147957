package run_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/kitamae/kitamae/batch"
	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/run"
)

// wrapDestination puts something in front of the destination.
func (h *house) wrapDestination(wrap func(connector.Destination) connector.Destination) {
	duckdb := h.registry["duckdb"]
	end := *duckdb.Dest
	open := end.Open
	end.Open = func(ctx context.Context, spec any, env connector.Env) (connector.Destination, error) {
		dst, err := open(ctx, spec, env)
		if err != nil {
			return nil, err
		}
		return wrap(dst), nil
	}
	duckdb.Dest = &end
	h.registry["duckdb"] = duckdb
}

// fewRows leaves so little of the table "big" that it takes no time: in 1,000 rows.
const fewRows = "delete from big where id > 7000"

// flakyReader is a destination whose answers break off after a batch when staged rows are read back: as often as times says, for each task.
type flakyReader struct {
	connector.Destination
	times int
	err   error

	mu     sync.Mutex
	broken map[string]int
	writes map[string]int
}

func (f *flakyReader) Write(ctx context.Context, s connector.Stage, task int, rows batch.Stream) (connector.Receipt, error) {
	f.mu.Lock()
	f.writes[tableTask(s, task)]++
	f.mu.Unlock()
	return f.Destination.Write(ctx, s, task, rows)
}

func (f *flakyReader) ReadStaged(ctx context.Context, s connector.Stage, receipts []connector.Receipt, columns []string) batch.Stream {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := tableTask(s, receipts[0].Task)
	f.broken[key]++
	rows := f.Destination.ReadStaged(ctx, s, receipts, columns)
	if f.broken[key] > f.times {
		return rows
	}
	return func(yield func(arrow.RecordBatch, error) bool) {
		for rec, err := range rows {
			if err != nil || yield(rec, nil) {
				yield(nil, f.err)
			}
			return
		}
	}
}

func tableTask(s connector.Stage, task int) string {
	name := "big"
	if strings.Contains(string(s), "small") {
		name = "small"
	}
	return name + string(rune('0'+task))
}

// TestReadBackAgain: a connection that is lost while staged rows are read back has them read back again, of that partition and from its
// first row; what was read of the source stays. One that is lost each time ends the run, as the destination's fault.
func TestReadBackAgain(t *testing.T) {
	passing := fault.New(fault.Destination, "test.passing", "", "the line dropped").Again()
	lasting := fault.New(fault.Destination, "test.lasting", "", "the table is gone")
	for _, tc := range []struct {
		name  string
		times int
		err   error
		code  string
	}{
		{"three times", 3, passing, ""},
		{"each time", 1 << 30, passing, "test.passing"},
		{"a fault that stays", 1, lasting, "test.lasting"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			if tc.code != "" { // partitions make no difference
				h.source(t, fewRows)
			}
			f := &flakyReader{times: tc.times, err: tc.err, broken: map[string]int{}, writes: map[string]int{}}
			h.wrapDestination(func(dst connector.Destination) connector.Destination {
				f.Destination = dst
				return f
			})
			req := h.request(t, "verify: full")
			req.Pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
			r, err := run.Drive(t.Context(), req)
			if tc.code != "" {
				if fault.ExitCode(err) != 4 || !fault.HasCode(err, tc.code) || r.Status != run.StatusFailed {
					t.Errorf("%s, exit code %d: %v", r.Status, fault.ExitCode(err), err)
				}
				if slices.ContainsFunc(r.Tables, func(l run.TableReport) bool { return l.Status != run.StatusHeldBack }) {
					t.Errorf("nothing was published, and the report says %+v", r.Tables)
				}
				h.nothingVisible(t)
				return
			}
			if err != nil || r.Status != run.StatusPublished || r.Guarantee != connector.Database {
				t.Fatalf("%s, %s: %v", r.Status, r.Guarantee, err)
			}
			for key, n := range f.writes {
				if n != 1 || f.broken[key] != tc.times+1 {
					t.Errorf("%s: written %d times, read back %d times", key, n, f.broken[key])
				}
			}
			if len(f.writes) < 3 {
				t.Errorf("%d partitions: the test wants several", len(f.writes))
			}
			if !slices.ContainsFunc(h.events, func(e run.Event) bool { return e.Kind == run.Retrying && e.Err != nil }) {
				t.Error("nobody was told")
			}
			if n := h.ask(t, "select count(*) from big"); n != bigRows {
				t.Errorf("big holds %d rows, want %d", n, bigRows)
			}
		})
	}
}
