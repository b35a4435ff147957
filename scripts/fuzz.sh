#!/usr/bin/env bash
# fuzz.sh TIME: runs every fuzz target of the repository for so long, one after the other, and fails at the end if any of them
# did. What breaks one is kept in the package's testdata/fuzz, where `make test` meets it too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CGO_ENABLED=1 GOFLAGS="-buildvcs=false '-tags=${GO_TAGS:?set by the Makefile}'"
time=${1:?how long, as in 30s}
broken=
while IFS=: read -r file _ target; do
	target=${target#func }
	echo "== $target in $(dirname "$file")"
	go test "$(dirname "$file")" -run '^$' -fuzz "^$target\$" -fuzztime "$time" || broken+=" $target"
done < <(grep -rnoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sort)
[[ -z "$broken" ]] || { echo "fuzz.sh: these broke:$broken" >&2; exit 1; }
