#!/usr/bin/env bash
# stores.sh DIR builds into DIR the object stores that each test starts for itself (servertest.S3 and GCS): gofakes3, and
# fake-gcs-server. What is there already in the version wanted stays.
set -euo pipefail

dir=${1:?usage: scripts/stores.sh DIR}
mkdir -p "$dir"
while read -r package version; do
	name=${package##*/}
	[ ! -e "$dir/done-$name-$version" ] || continue
	printf 'servers: building %s %s\n' "$name" "$version"
	GOBIN=$(cd "$dir" && pwd) GOFLAGS=-buildvcs=false CGO_ENABLED=0 go install "$package@$version" >"$dir/$name.log" 2>&1 || {
		tail -n 20 "$dir/$name.log" >&2
		printf 'servers: building %s\n' "$name" >&2
		exit 1
	}
	touch "$dir/done-$name-$version"
done <<-LIST
	github.com/johannesboyne/gofakes3/cmd/gofakes3 v1.2.0
	github.com/fsouza/fake-gcs-server v1.56.1
LIST
