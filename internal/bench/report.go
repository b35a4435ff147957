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
func writeReport(ctx context.Context, o options, servers []servertest.Server, m *measured) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Command: `make bench ROWS=%d RUNS=%d`, %s\n", o.rows, o.runs, time.Now().UTC().Format("2006-01-02 15:04 MST"))
	fmt.Fprintf(&b, "Machine: %d cores, %s, %s of memory\n", runtime.NumCPU(), cpuModel(), memory())
	version, err := exec.CommandContext(ctx, o.kitamae, "--version").Output()
	if err != nil {
		return err
	}
	fmt.Fprintf(&b, "Programs: %s, %s", strings.TrimSpace(string(version)), runtime.Version())
	for _, s := range servers {
		fmt.Fprintf(&b, ", %s %s", s.Name, s.Version)
	}
	fmt.Fprintf(&b, "\n`kitamae --version`: %.0f ms (at most %d ms) %s\n\n", m.start.Seconds()*1000, startTarget.Milliseconds(), mark(m.start <= startTarget))
	fmt.Fprintf(&b, "| route | rows | wall s | ÷ floor | target | CPU µs/row | target | scaled | peak MiB | target | |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n")
	for _, r := range m.results {
		b.WriteString(line(r, m.references))
	}
	writeReferences(&b, servers, m.references)
	if len(m.big) > 0 {
		fmt.Fprintf(&b, "\nAt four times the rows:\n\n| route | rows | wall s | CPU µs/row | peak MiB | target | |\n|---|--:|--:|--:|--:|--:|---|\n")
		for _, r := range m.big {
			fmt.Fprintf(&b, "| %s | %s | %.2f | %.2f | %.0f | %.0f | %s |\n", r.route.name(), humanize.Comma(r.route.rows),
				r.wall.Seconds(), r.cpuMicros(), r.peakMiB, r.route.targets.peakMiB, mark(r.peakMiB < r.route.targets.peakMiB))
		}
	}
	if _, err := os.Stdout.Write(b.Bytes()); err != nil {
		return err
	}
	if o.out == "" {
		return nil
	}
	return os.WriteFile(o.out, b.Bytes(), 0o644)
}

// line marks a route that holds all its targets, and one that holds them but for a CPU target, which it holds scaled.
func line(r result, references map[string]float64) string {
	rows, cpu := humanize.Comma(r.route.rows), r.cpuMicros()
	if r.route.to == "" {
		return fmt.Sprintf("| %s | %s | %.2f | 1.00 | | %.2f | | | %.0f | | |\n", r.route.name(), rows, r.wall.Seconds(), cpu, r.peakMiB)
	}
	ratio, want := r.wall.Seconds()/r.floor.Seconds(), r.route.targets
	scaled := want.cpuMicros * scale(r.route, references)
	passed := ratio <= want.toFloor && cpu <= max(want.cpuMicros, scaled) && r.peakMiB < want.peakMiB
	verdict := mark(passed)
	if passed && cpu > want.cpuMicros {
		verdict += " scaled"
	}
	return fmt.Sprintf("| %s | %s | %.2f | %.2f | %.1f | %.2f | %.1f | %.2f | %.0f | %.0f | %s |\n",
		r.route.name(), rows, r.wall.Seconds(), ratio, want.toFloor, cpu, want.cpuMicros, scaled, r.peakMiB, want.peakMiB, verdict)
}

// writeReferences tells what the CPU targets are scaled by.
func writeReferences(b *bytes.Buffer, servers []servertest.Server, references map[string]float64) {
	fmt.Fprintf(b, "\nWhat \"scaled\" stands on, CPU µs a row where the targets were set and here, in this run:\n\n")
	fmt.Fprintf(b, "| piece | there | here | |\n|---|--:|--:|--:|\n")
	piece := func(name string, there, here float64) {
		fmt.Fprintf(b, "| %s | %.2f | %.2f | × %.2f |\n", name, there, here, here/there)
	}
	for _, s := range servers {
		piece(s.Name+" drained", setOn[s.Kind], references[s.Name])
	}
	piece("batches in memory → Parquet, DuckDB's COPY", setOn["parquet"], references["parquet"])
	piece("batches in memory → DuckDB, CREATE TABLE AS", setOn["duckdb"], references["duckdb"])
}

func mark(passed bool) string {
	if passed {
		return "✓"
	}
	return "✗"
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
