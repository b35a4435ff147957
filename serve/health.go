package serve

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/kitamae/kitamae/run"
)

// health is what machines are shown.
type health struct {
	mu      sync.Mutex
	next    time.Time // scheduled
	fresh   time.Time // whose data readers see
	status  run.Status
	running bool
	seconds float64
	rows    int64
	tables  map[string]int64 // rows of each at the last run
	ends    map[run.Status]int
}

func (h *health) set(f func(*health)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(h)
}

// ended takes in how a run went; one that had nothing to do says nothing.
func (h *health) ended(report *run.Report, err error, took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running = false
	var already *run.Already
	if errors.As(err, &already) {
		return
	}
	h.status, h.seconds = run.StatusFailed, took.Seconds()
	if report != nil {
		h.status, h.rows, h.tables = report.Status, report.Rows(), map[string]int64{}
		for _, t := range report.Tables {
			if t.Evidence != nil && t.Status == run.StatusPublished {
				h.tables[t.Table] = t.Evidence.Rows
			}
		}
		if report.Status == run.StatusPublished {
			h.fresh = report.Started
		}
	}
	if h.ends == nil {
		h.ends = map[run.Status]int{}
	}
	h.ends[h.status]++
}

// handler answers /healthz and /metrics.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		s.health.set(func(h *health) {
			fmt.Fprintf(w, "ok\nnext run: %s\n", h.next.UTC().Format(time.RFC3339))
			if h.status != "" {
				fmt.Fprintf(w, "last run: %s\n", h.status)
			}
		})
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		s.health.set(func(h *health) { h.write(w) })
		metrics.WriteProcessMetrics(w)
	})
	return mux
}

// write prints Prometheus's text form. Times are in seconds since 1970; what never happened is left out, so that an alarm on
// absence works.
func (h *health) write(w io.Writer) {
	moment := func(name string, t time.Time) {
		if !t.IsZero() {
			metrics.WriteGaugeUint64(w, name, uint64(t.Unix()))
		}
	}
	moment("kitamae_data_timestamp_seconds", h.fresh)
	moment("kitamae_next_run_timestamp_seconds", h.next)
	running := uint64(0)
	if h.running {
		running = 1
	}
	metrics.WriteGaugeUint64(w, "kitamae_run_in_progress", running)
	if len(h.ends) > 0 {
		metrics.WriteGaugeFloat64(w, "kitamae_last_run_seconds", h.seconds)
		metrics.WriteGaugeUint64(w, "kitamae_last_run_rows", uint64(h.rows))
	}
	for status, n := range h.ends {
		metrics.WriteCounterUint64(w, fmt.Sprintf("kitamae_runs_total{status=%q}", status), uint64(n))
	}
	for table, rows := range h.tables {
		metrics.WriteGaugeUint64(w, fmt.Sprintf("kitamae_table_rows{table=%q}", table), uint64(rows))
	}
}
