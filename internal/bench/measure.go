package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/kitamae/kitamae/internal/servertest"
)

// sample is what one process took.
type sample struct {
	wall    time.Duration
	cpu     time.Duration // user and system
	peakMiB float64
}

// result is a route with the medians of its runs.
type result struct {
	route route
	sample
	floor time.Duration // the wall of the floor at the same size, 0 where it was not measured
}

// measureAll loads the tables, measures every route -runs times, round by round so that a busy minute of
// the machine meets all of them, and writes the report.
func measureAll(ctx context.Context, o options) error {
	var servers []servertest.Server
	for name := range strings.SplitSeq(o.servers, ",") {
		s, err := servertest.Find(name)
		if err != nil {
			return err
		}
		servers = append(servers, s)
	}
	dir := o.dir
	if dir == "" {
		temp, err := os.MkdirTemp("", "kitamae-bench-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(temp) }()
		dir = temp
	}
	start, err := startTime(ctx, o.kitamae)
	if err != nil {
		return err
	}
	m := &measured{start: start, references: map[string]float64{}}
	pieces := map[string][]float64{}
	m.results, err = measureSize(ctx, o, dir, servers, o.rows, o.runs, routes, func() error {
		for _, to := range []string{"parquet", "duckdb"} {
			took, err := reference(ctx, to, o.rows)
			if err != nil {
				return err
			}
			pieces[to] = append(pieces[to], took)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for to, all := range pieces {
		m.references[to] = median(all, func(v float64) float64 { return v })
	}
	for _, r := range m.results {
		if r.route.to == "" {
			m.references[r.route.server.Name] = r.cpuMicros()
		}
	}
	if o.big {
		m.big, err = measureSize(ctx, o, dir, servers, 4*o.rows, 1, verifiedRoutes, func() error { return nil })
		if err != nil {
			return err
		}
	}
	return writeReport(ctx, o, servers, m)
}

// measured is everything a report tells.
type measured struct {
	start      time.Duration // of `kitamae --version`
	results    []result
	references map[string]float64 // CPU µs a row, by server and by destination
	big        []result           // at four times the rows
}

// cpuMicros is CPU µs a row.
func (r result) cpuMicros() float64 {
	return float64(r.cpu.Nanoseconds()) / 1e3 / float64(r.route.rows)
}

// measureSize measures the routes of all servers, and calls beside once a round.
func measureSize(ctx context.Context, o options, dir string, servers []servertest.Server, rows int64, runs int,
	routes func(servertest.Server, int64) []route, beside func() error,
) ([]result, error) {
	var all []route
	for _, s := range servers {
		if _, err := self(ctx, "load", s, rows); err != nil {
			return nil, err
		}
		all = append(all, routes(s, rows)...)
	}
	samples := make([][]sample, len(all))
	for run := range runs {
		if err := beside(); err != nil {
			return nil, err
		}
		for i, r := range all {
			fmt.Fprintf(os.Stderr, "\rrun %d of %d, %d rows: %-50s", run+1, runs, rows, r.name())
			s, err := measure(ctx, o, dir, r)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.name(), err)
			}
			samples[i] = append(samples[i], s)
		}
	}
	fmt.Fprintf(os.Stderr, "\r%-90s\r", "")
	results := make([]result, len(all))
	var floor time.Duration
	for i, r := range all {
		s := medians(samples[i])
		if r.to == "" {
			floor = s.wall
		}
		results[i] = result{r, s, floor}
	}
	return results, nil
}

func measure(ctx context.Context, o options, dir string, r route) (sample, error) {
	if r.to == "" {
		return self(ctx, "drain", r.server, r.rows)
	}
	home := filepath.Join(dir, "route")
	if err := os.RemoveAll(home); err != nil {
		return sample{}, err
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return sample{}, err
	}
	if err := os.WriteFile(filepath.Join(home, "kitamae.yml"), []byte(r.config()), 0o644); err != nil {
		return sample{}, err
	}
	cmd := exec.CommandContext(ctx, o.kitamae, "run", "--quiet")
	cmd.Dir = home
	cmd.Env = append(os.Environ(), "BENCH_PASSWORD="+r.server.Password)
	return timed(cmd)
}

// self runs this program's load or drain in a process of its own.
func self(ctx context.Context, verb string, s servertest.Server, rows int64) (sample, error) {
	program, err := os.Executable()
	if err != nil {
		return sample{}, err
	}
	cmd := exec.CommandContext(ctx, program, verb, s.Name, fmt.Sprint(rows))
	return timed(cmd)
}

// timed runs the command and asks the kernel what it took. What it printed is shown only when it failed,
// but for load's line, which goes to stderr.
func timed(cmd *exec.Cmd) (sample, error) {
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	begin := time.Now()
	err := cmd.Run()
	wall := time.Since(begin)
	if err != nil {
		return sample{}, fmt.Errorf("%w\n%s", err, output.Bytes())
	}
	if len(cmd.Args) > 1 && cmd.Args[1] == "load" {
		_, _ = io.Copy(os.Stderr, &output)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return sample{}, fmt.Errorf("no resource usage on this system")
	}
	return sample{
		wall:    wall,
		cpu:     time.Duration(usage.Utime.Nano() + usage.Stime.Nano()),
		peakMiB: float64(usage.Maxrss) / 1024, // Linux counts in KiB
	}, nil
}

func medians(all []sample) sample {
	return sample{
		wall:    median(all, func(s sample) time.Duration { return s.wall }),
		cpu:     median(all, func(s sample) time.Duration { return s.cpu }),
		peakMiB: median(all, func(s sample) float64 { return s.peakMiB }),
	}
}

func median[S any, T time.Duration | float64](all []S, of func(S) T) T {
	values := make([]T, len(all))
	for i, s := range all {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// startTime is the median wall of `kitamae --version`.
func startTime(ctx context.Context, kitamae string) (time.Duration, error) {
	var all []sample
	for range 21 {
		s, err := timed(exec.CommandContext(ctx, kitamae, "--version"))
		if err != nil {
			return 0, fmt.Errorf("%s --version: %w", kitamae, err)
		}
		all = append(all, s)
	}
	return medians(all).wall, nil
}
