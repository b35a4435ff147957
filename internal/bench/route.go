package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kitamae/kitamae/internal/servertest"
)

// route is one thing to measure at one size.
type route struct {
	server  servertest.Server
	to      string // parquet or duckdb; "" for the floor
	verify  string // "none", or "" for the default
	rows    int64
	targets targets
}

// targets are what the issue set out to reach on two cores shared with the server; zero means none.
type targets struct {
	cpuMicros float64 // per row, user and system
	toFloor   float64 // wall divided by the floor's
	peakMiB   float64
}

// limitsMemory is `limits.memory` for each destination.
var limitsMemory = map[string]string{"parquet": "256MiB", "duckdb": "448MiB"}

// routes are a server's, the floor first.
func routes(s servertest.Server, rows int64) []route {
	return []route{
		{server: s, rows: rows},
		{s, "parquet", "none", rows, targets{1.3, 1.3, 350}},
		{s, "parquet", "", rows, targets{1.9, 1.6, 350}},
		{s, "duckdb", "none", rows, targets{1.8, 1.6, 512}},
		{s, "duckdb", "", rows, targets{2.4, 2.0, 512}},
	}
}

// verifiedRoutes are those as people run them.
func verifiedRoutes(s servertest.Server, rows int64) []route {
	return slices.DeleteFunc(routes(s, rows), func(r route) bool { return r.to == "" || r.verify != "" })
}

func (r route) name() string {
	if r.to == "" {
		return r.server.Name + " drained (the floor)"
	}
	name := r.server.Name + " → " + r.to
	if r.verify != "" {
		name += ", verify: " + r.verify
	}
	return name
}

// config is the kitamae.yml of the route, below whose folder all output goes. The password comes by environment.
func (r route) config() string {
	var b strings.Builder
	connector, destination := "mysql", "files: {dir: out, format: parquet}"
	if r.server.Kind == "postgres" {
		connector = "postgres"
	}
	if r.to == "duckdb" {
		destination = "duckdb: {path: out.duckdb}"
	}
	fmt.Fprintf(&b, "source:\n  %s: {host: %s, port: %d, user: %s, password: \"${BENCH_PASSWORD}\", database: %s}\n",
		connector, r.server.Host, r.server.Port, r.server.User, database(r.rows))
	fmt.Fprintf(&b, "destination:\n  %s\n", destination)
	fmt.Fprintf(&b, "tables:\n  lineitem: {}\n")
	fmt.Fprintf(&b, "limits: {connections: 2, memory: %s}\n", limitsMemory[r.to])
	if r.verify != "" {
		fmt.Fprintf(&b, "verify: %s\n", r.verify)
	}
	return b.String()
}
