#!/usr/bin/env bash
# lint.sh PACKAGE...: gofmt, go vet and golangci-lint, whose pinned version is built once into .cache/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${GO_TAGS:?set by the Makefile}"

version=v2.15.0
tool=$PWD/.cache/golangci-lint-$version
if [ ! -x "$tool" ]; then
	echo "lint: building golangci-lint $version (some minutes, once)"
	mkdir -p .cache/build
	GOBIN=$PWD/.cache/build GOFLAGS= CGO_ENABLED=0 go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$version"
	mv .cache/build/golangci-lint "$tool"
fi

export CGO_ENABLED=1 GOFLAGS="-buildvcs=false -trimpath '-tags=$GO_TAGS'" GOLANGCI_LINT_CACHE=$PWD/.cache/golangci
unformatted=$(gofmt -l $(find . -path './.*' -prune -o -name '*.go' -print))
if [ -n "$unformatted" ]; then
	printf 'not formatted:\n%s\n' "$unformatted" >&2
	exit 1
fi
go vet "$@"
"$tool" run --timeout 30m "$@"
