#!/usr/bin/env bash
# container.sh: installs what tests run images with, if it is missing: podman without a daemon, and runc.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
missing=()
for tool in podman runc; do command -v "$tool" >/dev/null || missing+=("$tool"); done
scripts/packages.sh ${missing[@]+"${missing[@]}"}
