#!/bin/sh
# Sets up what the tests need, runs all of them, and ends with what ran and
# what did not. Nothing is skipped in silence.
set -u
GO=${GO:-go}
missing=

# The npm SDKs are real clients in the tests of sdktest/.
if [ -f sdktest/node/package.json ]; then
	if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then
		if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
			echo "installing nodejs and npm"
			apt-get update -qq >/dev/null 2>&1
			DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null 2>&1
		fi
	fi
	if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1; then
		if [ ! -d sdktest/node/node_modules ] || [ sdktest/node/package-lock.json -nt sdktest/node/node_modules ]; then
			echo "installing the npm SDKs"
			(cd sdktest/node && npm ci --silent --no-audit --no-fund --ignore-scripts) ||
				missing="$missing|npm SDKs: npm ci failed in sdktest/node"
			[ -d sdktest/node/node_modules ] && touch sdktest/node/node_modules
		fi
	else
		missing="$missing|npm SDKs: node and npm are not installed; install them (Debian: apt-get install nodejs npm)"
	fi
fi
# A PKCS#11 token in software, for the tests of keyring/.
if ! command -v softhsm2-util >/dev/null 2>&1; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
		echo "installing softhsm2"
		apt-get update -qq >/dev/null 2>&1
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends softhsm2 >/dev/null 2>&1
	fi
	command -v softhsm2-util >/dev/null 2>&1 ||
		missing="$missing|PKCS#11 tokens: softhsm2 is not installed; install it (Debian: apt-get install softhsm2)"
fi
[ -d ../shared/data ] || missing="$missing|recorded exchanges: ../shared/data is not there"

echo "running the tests (the first time compiles them, which takes minutes)"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"$GO" build -o "$tmp/summary" .ci/summary.go || exit 1
NOT_RUN=$missing
export NOT_RUN
{ "$GO" test -json -timeout 12m ./... 2>&1; echo $? >"$tmp/rc"; } | "$tmp/summary"
summary=$?
rc=$(cat "$tmp/rc")
[ "$rc" = 0 ] && exit "$summary"
exit "$rc"
