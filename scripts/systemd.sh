#!/usr/bin/env bash
# systemd.sh FILE...: says what systemd finds wrong with units, for the tests; installs its checker if that is missing. Nothing is started.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
command -v systemd-analyze >/dev/null || "$root/scripts/packages.sh" systemd >&2
systemd-analyze verify "$@"
