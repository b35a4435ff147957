#!/usr/bin/env bash
# arm64.sh OUTPUT: cross-builds the static binary for arm64 and, where an emulator can be had, runs it.
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
scripts/packages.sh ${missing[@]+"${missing[@]}"}

mkdir -p "$(dirname "$1")"
CGO_ENABLED=1 GOOS=linux GOARCH=arm64 CC=$cc CXX=$cxx GOFLAGS="-buildvcs=false '-tags=$GO_TAGS'" \
	go build -trimpath -ldflags "$GO_LDFLAGS" -o "$1" ./cmd/kitamae
${run[@]+"${run[@]}"} "$1" --version
