#!/usr/bin/env bash
# packages.sh PACKAGE...: installs Debian packages as root (or through sudo without a password), and keeps them
# from starting services. Called by the other scripts with what they found missing; prints only on failure.
set -euo pipefail

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo -n "$@"; else
		echo "packages: needs root (or sudo without a password) to install" >&2
		return 1
	fi
}

[ $# -gt 0 ] || exit 0
command -v apt-get >/dev/null || { echo "packages: there is no apt-get here; install these yourself: $*" >&2; exit 1; }
echo "packages: installing $*"

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
made=
finish() {
	rm -f "$log"
	if [ -n "$made" ]; then as_root rm -f "$policy"; fi
}
trap finish EXIT

# A policy that says no keeps a package's own service from starting; one that is there already stays.
if [ ! -e "$policy" ]; then
	made=yes
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
	as_root chmod 755 "$policy"
fi
install() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "$@"; }
# The machine's package lists may be there already, and may be stale: refresh only when that doesn't do.
if ! install "$@" >"$log" 2>&1; then
	{ as_root apt-get -o DPkg::Lock::Timeout=300 update -q && install "$@"; } >"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		echo "packages: could not install $*" >&2
		exit 1
	}
fi
