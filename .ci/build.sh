#!/bin/sh
# Builds bin/andon and says what it is doing while that takes long.
set -u
GO=${GO:-go}
if ! command -v "$GO" >/dev/null 2>&1; then
	echo "Go is not installed; Andon needs Go 1.26 or later: https://go.dev/dl/" >&2
	exit 1
fi
mkdir -p bin
[ -x bin/andon ] || echo "building andon: the first time takes a minute or two, since its dependencies are compiled"
rm -f bin/.failed
{ "$GO" build -v -o bin/andon ./cmd/andon 2>&1 || touch bin/.failed; } | awk '
	/^go: downloading/ { if (!down++) print "  downloading dependencies"; next }
	/^[a-z0-9.]+(\/[^ :]+)*$/ { if (++n % 50 == 0) print "  " n " packages compiled"; next }
	{ print }'
if [ -e bin/.failed ]; then
	rm -f bin/.failed
	exit 1
fi
