package serve

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kitamae/kitamae/fault"
	"github.com/kitamae/kitamae/job"
	"github.com/kitamae/kitamae/run"
	"github.com/kitamae/kitamae/state"
)

// served runs a server whose clock stands just before 05:00 in Tokyo, and returns the occasions it runs.
func served(t *testing.T, result func(try int) (*run.Report, error)) (address string, occasions chan string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	offset := time.Until(time.Date(2026, 11, 28, 19, 59, 59, 900_000_000, time.UTC))
	occasions = make(chan string, 10)
	tries := 0
	s := &Server{
		Job: &job.Job{Schedule: "0 5 * * *  Asia/Tokyo", Timezone: "UTC", File: "kitamae.yml"}, State: state.New(t.TempDir()),
		Run: func(_ context.Context, occasion string) (*run.Report, error) {
			occasions <- occasion
			tries++
			return result(tries)
		},
		Log: t.Logf, Now: func() time.Time { return time.Now().Add(offset) }, retries: []time.Duration{time.Millisecond, time.Millisecond},
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	return l.Addr().String(), occasions, func() error { cancel(); return <-ended }
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", url, resp.Status, err)
	}
	return string(body)
}

// wantSoon asks until all lines are there: the run's end is seen a moment after it.
func wantSoon(t *testing.T, url string, lines ...string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		body := get(t, url)
		missing := ""
		for _, line := range lines {
			if !strings.Contains(body, line) {
				missing = line
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q is not in\n%s", missing, body)
		}
	}
}

func TestServeRunsAtItsTime(t *testing.T) {
	began := time.Date(2026, 11, 28, 20, 0, 0, 0, time.UTC)
	address, occasions, stop := served(t, func(int) (*run.Report, error) {
		return &run.Report{ID: "r", Status: run.StatusPublished, Started: began}, nil
	})
	if got := <-occasions; got != "20261128T200000Z" {
		t.Errorf("ran for %s", got)
	}
	wantSoon(t, "http://"+address+"/metrics", `kitamae_runs_total{status="published"} 1`, "kitamae_data_timestamp_seconds 1795896000",
		"kitamae_run_in_progress 0", "kitamae_next_run_timestamp_seconds 1795982400")
	wantSoon(t, "http://"+address+"/healthz", "ok\n", "last run: published")
	if err := stop(); err != nil {
		t.Errorf("a stopped server: %v", err)
	}
	if len(occasions) > 0 {
		t.Errorf("ran again for %s", <-occasions)
	}
}

// TestServeTriesAgain: a passing fault is tried again for the same occasion, another is not.
func TestServeTriesAgain(t *testing.T) {
	passing := fault.New(fault.Source, "test.passing", "", "the line dropped").Again()
	for _, tc := range []struct {
		name  string
		fails error
		want  int
	}{{"passing", passing, 3}, {"lasting", fault.New(fault.Source, "test.lasting", "", "no such user"), 1}} {
		t.Run(tc.name, func(t *testing.T) {
			address, occasions, stop := served(t, func(int) (*run.Report, error) { return nil, tc.fails })
			for range tc.want {
				if got := <-occasions; got != "20261128T200000Z" {
					t.Errorf("ran for %s", got)
				}
			}
			wantSoon(t, "http://"+address+"/metrics", "kitamae_next_run_timestamp_seconds 1795982400")
			if err := stop(); err != nil {
				t.Error(err)
			}
			if len(occasions) > 0 {
				t.Errorf("%d tries more than %d", len(occasions), tc.want)
			}
		})
	}
}
