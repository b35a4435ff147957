#!/usr/bin/env bash
# toolchain.sh: makes sure that what a build needs beside Go is there: a C compiler, and the static C and C++ libraries
# that DuckDB is linked with. Says nothing when it is.
set -euo pipefail
has() { # library: gcc prints a path when it knows the file, else the bare name
	command -v gcc >/dev/null && [ "$(gcc -print-file-name="$1")" != "$1" ]
}
missing=()
command -v gcc >/dev/null || missing+=(gcc)
has libc.a || missing+=(libc6-dev)
has libstdc++.a || missing+=(g++)
[ ${#missing[@]} -eq 0 ] || "$(dirname "${BASH_SOURCE[0]}")/packages.sh" "${missing[@]}"
