#!/usr/bin/env bash
# test.sh PACKAGE...: all that `make test` does. Databases that were running already stay as they are; what this
# starts it stops, whatever happens in between. Ends with the tests' own status.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CGO_ENABLED=1 GOFLAGS="-buildvcs=false '-tags=${GO_TAGS:?set by the Makefile}'"

starting=
finish() {
	local status=$?
	trap - EXIT
	if [ -n "$starting" ]; then
		wait "$starting" 2>/dev/null || true
		scripts/servers.sh stop || true
	fi
	exit "$status"
}
trap finish EXIT

scripts/toolchain.sh
if ! scripts/servers.sh status >/dev/null 2>&1; then
	scripts/servers.sh start & # beside what needs no database
	starting=$!
fi

echo "== gofmt"
unformatted=$(gofmt -l $(find . -path './.*' -prune -o -name '*.go' -print))
if [ -n "$unformatted" ]; then
	printf 'not formatted:\n%s\n' "$unformatted" >&2
	exit 1
fi
echo "== go vet"
GOFLAGS="-trimpath $GOFLAGS" go vet "$@" # -trimpath: so that make build and the linter find it all compiled

if [ -n "$starting" ]; then
	wait "$starting" || exit 1
fi
echo "== go test -race"
go test -race -count=1 -timeout 50m "$@"
