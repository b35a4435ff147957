# What people run: make demo, make test, make bench. The rest serves those who work on kitamae.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# duckdb_arrow: DuckDB's Arrow interface. The rest keeps a static binary whole: Go's own name resolution and
# user look-up instead of glibc's (which would load libraries at run time), and the time zones.
TAGS := duckdb_arrow netgo osusergo timetzdata
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

.PHONY: help build build-arm64 demo test bench lint gen gen-check check servers stop clean

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

demo: build ## the whole job on a sample database, no server needed
	"$(BIN)" demo

test: ## start the databases, run everything with the race detector, stop them
	GO_TAGS='$(TAGS)' scripts/test.sh $(PKG)

bench: build servers ## measure every route beside the floor; ROWS=, RUNS=
	$(GO) build -o .cache/bench ./internal/bench
	.cache/bench -kitamae "$(BIN)" -rows $(ROWS) -runs $(RUNS) $(BENCHFLAGS)

lint: ## gofmt, go vet and golangci-lint
	GO_TAGS='$(TAGS)' scripts/lint.sh $(PKG)

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
