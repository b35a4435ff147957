#!/usr/bin/env bash
# cfn-lint.sh TEMPLATE: checks a CloudFormation template against the schemas of real resources. The pinned linter goes into
# .cache once. Warnings count as mistakes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=1.58.0
dir=.cache/cfn-lint-$version
mkdir -p .cache
exec {lock}>.cache/cfn-lint.lock
flock "$lock"
if [ ! -e "$dir/done" ]; then
	command -v python3 >/dev/null || scripts/packages.sh python3
	python3 -m venv "$dir" 2>/dev/null || { scripts/packages.sh python3-venv && python3 -m venv "$dir"; }
	"$dir/bin/pip" install -q --disable-pip-version-check "cfn-lint==$version" >&2
	touch "$dir/done"
fi
flock -u "$lock"
"$dir/bin/cfn-lint" --template "$1"
