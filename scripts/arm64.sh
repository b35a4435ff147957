#!/usr/bin/env bash
# arm64.sh OUTPUT: builds the static binary for arm64, from here if need be, and has it do a whole job: natively or in
# an emulator.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${GO_TAGS:?set by the Makefile}" "${GO_LDFLAGS:?set by the Makefile}"

missing=()
if [ "$(uname -m)" = aarch64 ]; then
	cc=gcc cxx=g++ run=()
else
	cc=aarch64-linux-gnu-gcc cxx=aarch64-linux-gnu-g++ run=(qemu-aarch64-static)
	command -v "$cc" >/dev/null || missing+=(gcc-aarch64-linux-gnu)
	command -v "$cxx" >/dev/null || missing+=(g++-aarch64-linux-gnu)
	command -v "${run[0]}" >/dev/null || missing+=(qemu-user-static)
fi
# mold, because glibc's static arm64 library reaches only 28 KiB of the global offset table and DuckDB fills 66. GNU
# ld and gold refuse that, lld 14 links a binary that crashes; mold turns such reads into plain addresses: 1 KiB remains.
mold=/usr/libexec/mold
[ -x "$mold/ld" ] || missing+=(mold)
scripts/packages.sh ${missing[@]+"${missing[@]}"}

mkdir -p "$(dirname "$1")" .cache
echo "building $1"
CGO_ENABLED=1 GOOS=linux GOARCH=arm64 CC="$cc -B$mold" CXX="$cxx -B$mold" GOFLAGS="-buildvcs=false '-tags=$GO_TAGS'" \
	go build -trimpath -ldflags "$GO_LDFLAGS" -o "$1" ./cmd/kitamae 2>.cache/build-arm64.log || { cat .cache/build-arm64.log >&2; exit 1; }
! readelf -lW "$1" | grep -q INTERP || { echo "arm64: $1 is not static" >&2; exit 1; }

binary=$(realpath "$1")
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
kitamae() { ${run[@]+"${run[@]}"} "$binary" "$@"; }
kitamae --version
kitamae --quiet demo --dir demo --rows 5000 >/dev/null # makes an SQLite database, moves it, asks questions
kitamae --quiet init sqlite:demo/app.db
kitamae run
answer=$(kitamae query "select count(*) > 0 as arrived from users")
[[ $answer == *true* ]] || { echo "arm64: unexpected answer: $answer" >&2; exit 1; }
# an exception must find its way through DuckDB's frames
if answer=$(kitamae query "select * from no_such_table" 2>&1) || [[ $answer != *no_such_table* ]]; then
	echo "arm64: unexpected answer: $answer" >&2
	exit 1
fi
