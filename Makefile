# What people run: make demo, make test, make bench. The rest serves those who work on kitamae.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# duckdb_arrow: DuckDB's Arrow interface. The rest keeps a static binary whole: Go's own name resolution and
# user look-up instead of glibc's (which would load libraries at run time), and the time zones. disable_grpc_modules:
# Cloud Storage is spoken to over HTTP only, which spares the binary gRPC's load balancers. grpcnotrace: without gRPC's
# own web pages, whose templates would keep every method of every cloud's client (see gcpsetup).
TAGS := duckdb_arrow netgo osusergo timetzdata disable_grpc_modules grpcnotrace
GO := CGO_ENABLED=1 GOFLAGS="-buildvcs=false -trimpath '-tags=$(TAGS)'" go
export GOTOOLCHAIN ?= local

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/kitamae/kitamae/cli.Version=$(VERSION) -linkmode external -extldflags "-static"

# BIN is where build puts the binary.
BIN ?= bin/kitamae
# PKG are the packages that test and lint look at.
PKG ?= ./...
# ROWS is the size of bench's table, RUNS how often each route is measured; the median counts.
ROWS ?= 3000000
RUNS ?= 3
BENCHFLAGS ?=
# N is how often crash kills, DAYS how many runs day makes, SEED decides both's dice.
N ?= 200
DAYS ?= 50
SEED ?= 1
# FUZZTIME is how long each fuzz target runs.
FUZZTIME ?= 30s

.PHONY: help build build-arm64 image demo test test-bigquery crash day fuzz bench lint gen gen-check check servers stop clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/kitamae, fully static
	@scripts/toolchain.sh
	@mkdir -p "$(dir $(BIN))" .cache
	@# a static link warns at length of glibc's name look-ups, which netgo never calls: shown only when it fails
	@echo "building $(BIN)"
	@$(GO) build -ldflags '$(LDFLAGS)' -o "$(BIN)" ./cmd/kitamae 2>.cache/build.log || { cat .cache/build.log >&2; exit 1; }

build-arm64: ## bin/kitamae-arm64, and run it in an emulator
	GO_TAGS='$(TAGS)' GO_LDFLAGS='$(LDFLAGS)' scripts/arm64.sh bin/kitamae-arm64

image: build ## bin/image, an OCI image of what build and build-arm64 made, with its list of parts
	"$(BIN)" image --out bin/image

demo: build ## the whole job on a sample database, no server needed
	"$(BIN)" demo

test: ## start the databases, run everything with the race detector, stop them
	GO_TAGS='$(TAGS)' scripts/test.sh $(PKG)

crash: servers ## kill kitamae N times for each destination, and compare; N=, SEED=
	$(GO) test ./internal/chaos -count=1 -timeout 2h -v -run TestCrash -crashes $(N) -seed $(SEED)

day: servers ## a day of faults: DAYS runs with writes, schema changes, kills and lost connections; DAYS=, SEED=
	$(GO) test ./internal/chaos -count=1 -timeout 2h -v -run TestDay -days $(DAYS) -seed $(SEED)

fuzz: ## let every decoder and parser meet made-up input, FUZZTIME for each
	GO_TAGS='$(TAGS)' scripts/fuzz.sh $(FUZZTIME)

bench: build servers ## measure every route beside the floor; ROWS=, RUNS=
	$(GO) build -o .cache/bench ./internal/bench
	.cache/bench -kitamae "$(BIN)" -rows $(ROWS) -runs $(RUNS) $(BENCHFLAGS)

lint: ## gofmt, go vet and golangci-lint
	GO_TAGS='$(TAGS)' scripts/lint.sh $(PKG)

test-bigquery: ## fifty tables through the BigQuery emulator, with the process killed in between: two minutes
	BIGQUERY_TABLES=50 $(GO) test -count=1 -timeout 30m -run 'TestRun$$' ./connectors/bigquery

gen: ## write the generated documentation and schema anew
	$(GO) generate ./...

gen-check: ## fail when gen would change something
	GO_TAGS='$(TAGS)' scripts/gen-check.sh

check: lint gen-check test ## everything that must hold before a change goes in

servers: ## start the databases that tests use, and leave them running
	@scripts/servers.sh status >/dev/null 2>&1 || scripts/servers.sh start

stop: ## stop them
	@scripts/servers.sh stop

clean: ## stop them, remove their data and what was built
	@scripts/servers.sh clean
	rm -rf bin .cache
