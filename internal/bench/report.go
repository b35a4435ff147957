package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/kitamae/kitamae/internal/servertest"
)

// startTarget is how long `kitamae --version` may take.
const startTarget = 30 * time.Millisecond

// writeReport prints the table in Markdown, with what a reader needs to judge it: machine, servers, command.
func writeReport(ctx context.Context, o options, servers []servertest.Server, start time.Duration, results []result) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Command: `make bench ROWS=%d RUNS=%d`%s, %s\n", o.rows, o.runs, bigNote(o), time.Now().UTC().Format("2006-01-02 15:04 MST"))
	fmt.Fprintf(&b, "Machine: %d cores, %s, %s of memory\n", runtime.NumCPU(), cpuModel(), memory())
	version, err := exec.CommandContext(ctx, o.kitamae, "--version").Output()
	if err != nil {
		return err
	}
	fmt.Fprintf(&b, "Programs: %s, %s", strings.TrimSpace(string(version)), runtime.Version())
	for _, s := range servers {
		fmt.Fprintf(&b, ", %s %s", s.Name, s.Version)
	}
	fmt.Fprintf(&b, "\n`kitamae --version`: %.0f ms (at most %d ms) %s\n\n", start.Seconds()*1000, startTarget.Milliseconds(), mark(start <= startTarget))
	fmt.Fprintf(&b, "| route | rows | wall s | ÷ floor | target | CPU µs/row | target | peak MiB | target | |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n")
	for _, r := range results {
		b.WriteString(line(r))
	}
	if _, err := os.Stdout.Write(b.Bytes()); err != nil {
		return err
	}
	if o.out == "" {
		return nil
	}
	return os.WriteFile(o.out, b.Bytes(), 0o644)
}

func line(r result) string {
	rows := humanize.Comma(r.route.rows)
	cpu := float64(r.cpu.Nanoseconds()) / 1e3 / float64(r.route.rows)
	if r.route.to == "" {
		return fmt.Sprintf("| %s | %s | %.2f | 1.00 | | %.2f | | %.0f | | |\n", r.route.name(), rows, r.wall.Seconds(), cpu, r.peakMiB)
	}
	ratio, want := r.wall.Seconds()/r.floor.Seconds(), r.route.targets
	passed := ratio <= want.toFloor && cpu <= want.cpuMicros && r.peakMiB < want.peakMiB
	return fmt.Sprintf("| %s | %s | %.2f | %.2f | %.1f | %.2f | %.1f | %.0f | %.0f | %s |\n",
		r.route.name(), rows, r.wall.Seconds(), ratio, want.toFloor, cpu, want.cpuMicros, r.peakMiB, want.peakMiB, mark(passed))
}

func mark(passed bool) string {
	if passed {
		return "✓"
	}
	return "✗"
}

func bigNote(o options) string {
	if o.big {
		return " with `BENCHFLAGS=-big`"
	}
	return ""
}

// cpuModel is the kernel's name for the processor.
func cpuModel() string { return procField("/proc/cpuinfo", "model name") }

func memory() string {
	var kib uint64
	if _, err := fmt.Sscan(procField("/proc/meminfo", "MemTotal"), &kib); err != nil {
		return "unknown"
	}
	return humanize.IBytes(kib << 10)
}

// procField finds "name : value" in a file of /proc.
func procField(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
