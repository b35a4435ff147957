#!/usr/bin/env bash
# gen-check.sh: runs every generator on a copy of the working tree's files and says which outputs are stale. The
# tree itself stays as it is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${GO_TAGS:?set by the Makefile}"

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
find . -mindepth 1 -maxdepth 1 -not -name .git -not -name .servers -not -name .cache -not -name bin -exec cp -a {} "$copy/" \;
(cd "$copy" && CGO_ENABLED=1 GOFLAGS="-buildvcs=false -trimpath '-tags=$GO_TAGS'" go generate ./...)
if ! diff -rq --exclude=.git --exclude=.servers --exclude=.cache --exclude=bin . "$copy"; then
	echo "generated files are stale; run: make gen" >&2
	exit 1
fi
echo "generated files are fresh"
