package run_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kitamae/kitamae/connector"
	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/run"
)

// flakySource is the real one behind a line that fails at times: fails is asked before each Scan, by "scan", and each Read, by "read"
// and the table's name.
type flakySource struct {
	connector.Source
	connector.Counter
	connector.Sampler
	fails func(what string) error
}

func (f *flakySource) Scan(ctx context.Context, req connector.ScanRequest) (*connector.Scan, error) {
	if err := f.fails("scan"); err != nil {
		return nil, err
	}
	return f.Source.Scan(ctx, req)
}

func (f *flakySource) Read(ctx context.Context, p connector.Partition) (*connector.Reading, error) {
	for _, table := range []string{"small", "big"} {
		if strings.Contains(string(p), table) {
			if err := f.fails("read " + table); err != nil {
				return nil, err
			}
		}
	}
	return f.Source.Read(ctx, p)
}

var _ connector.Source = (*flakySource)(nil)

// TestTriedAgain: what fails in passing is tried again within the run, as often as the config says; what else there is does not
// wait for it, and is published without it.
func TestTriedAgain(t *testing.T) {
	passing := fault.New(fault.Source, "test.passing", "", "the line dropped").Again()
	lasting := fault.New(fault.Source, "test.lasting", "", "no such right")
	from := func(what string, first, last int, err error) func(string, int, int) error {
		return func(now string, n, _ int) error {
			if now == what && n >= first && n <= last {
				return err
			}
			return nil
		}
	}
	const ever = 1 << 30
	for _, tc := range []struct {
		name   string
		config string
		fails  func(what string, n, pauses int) error // n counts from 1
		pauses []int                                  // seconds, of tables
		code   string
		small  int64 // rows, -1 for none
		status run.Status
	}{
		{"a table, once", "", from("read small", 1, 4, passing), []int{15}, "", 3, run.StatusPublished},
		{"a table, for long", "", from("read small", 1, ever, passing), []int{15, 30}, "test.passing", -1, run.StatusPartial},
		{"a table, more often by its own setting", `tables: {"*": {}, small: {retries: 5}}`, from("read small", 1, 20, passing), []int{15, 30, 60, 120, 120}, "", 3, run.StatusPublished},
		{"a table, never by its own setting", `tables: {"*": {}, small: {retries: 0}}`, from("read small", 1, ever, passing), nil, "test.passing", -1, run.StatusPartial},
		{"a table that has come half way", "", func(what string, n, pauses int) error {
			if what == "read big" && n > 1 && pauses == 0 {
				return passing
			}
			return nil
		}, []int{15}, "", 3, run.StatusPublished},
		{"a fault that stays", "", from("read small", 1, ever, lasting), nil, "test.lasting", -1, run.StatusPartial},
		{"no view at first", "", from("scan", 1, 2, passing), []int{15, 30}, "", 3, run.StatusPublished},
		{"no view at all", "", from("scan", 1, ever, passing), []int{15, 30}, "test.passing", -1, run.StatusFailed},
		{"no second view", "", func(what string, n, _ int) error {
			if what == "read small" || what == "scan" && n > 1 {
				return passing
			}
			return nil
		}, []int{15, 30}, "test.passing", -1, run.StatusPartial},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			var mu sync.Mutex
			var pauses []int
			asked := map[string]int{}
			h.wrapSource(func(src connector.Source) connector.Source {
				return &flakySource{src, src.(connector.Counter), src.(connector.Sampler), func(what string) error {
					mu.Lock()
					defer mu.Unlock()
					asked[what]++
					return tc.fails(what, asked[what], len(pauses))
				}}
			})
			req := h.request(t, tc.config)
			req.Pause = func(ctx context.Context, d time.Duration) error {
				mu.Lock()
				defer mu.Unlock()
				if d >= 15*time.Second { // else of a partition
					pauses = append(pauses, int(d.Seconds()))
				}
				return ctx.Err()
			}
			r, err := run.Drive(t.Context(), req)
			if r.Status != tc.status || (err == nil) != (tc.code == "") || tc.code != "" && !fault.HasCode(err, tc.code) {
				t.Errorf("%s, %v; want %s, %s", r.Status, err, tc.status, tc.code)
			}
			if !slices.Equal(pauses, tc.pauses) {
				t.Errorf("paused %v, want %v", pauses, tc.pauses)
			}
			if tc.status == run.StatusFailed {
				h.nothingVisible(t)
				return
			}
			big := r.Tables[0]
			if n := h.ask(t, "select count(*) from big"); n != bigRows {
				t.Errorf("big holds %d rows, want %d", n, bigRows)
			}
			if asked["read small"] > 1 && asked["read big"] != big.Partitions {
				t.Errorf("%d readings of the %d partitions of big: the trouble is small's", asked["read big"], big.Partitions)
			}
			if tc.small >= 0 {
				if n := h.ask(t, "select count(*) from small"); n != tc.small {
					t.Errorf("small holds %d rows, want %d", n, tc.small)
				}
			}
			if whole := tc.code == "" && asked["read small"] == 1 && asked["read big"] == big.Partitions; (r.Guarantee == connector.Database) != whole {
				t.Errorf("claims %s with %d readings of small", r.Guarantee, asked["read small"])
			}
			h.shownRows(t, r)
		})
	}
}

// wrapSource puts something in front of the source.
func (h *house) wrapSource(wrap func(connector.Source) connector.Source) {
	sqlite := h.registry["sqlite"]
	end := *sqlite.Source
	open := end.Open
	end.Open = func(ctx context.Context, spec any, env connector.Env) (connector.Source, error) {
		src, err := open(ctx, spec, env)
		if err != nil {
			return nil, err
		}
		return wrap(src), nil
	}
	sqlite.Source = &end
	h.registry["sqlite"] = sqlite
}

// shownRows fails unless the rows told of while the tables moved are those that arrived.
func (h *house) shownRows(t *testing.T, r *run.Report) {
	t.Helper()
	shown := map[int]int64{}
	for _, e := range h.events {
		if e.Kind == run.Moved {
			shown[e.Table] += e.Rows
		}
	}
	for i, line := range r.Tables {
		if line.Status == run.StatusPublished && shown[i] != line.Evidence.Rows {
			t.Errorf("%s: %d rows were shown while it moved, %d arrived", line.Table, shown[i], line.Evidence.Rows)
		}
	}
}
