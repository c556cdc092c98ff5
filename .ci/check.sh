#!/bin/sh
# What CI runs: formatting, vet, every test, and a tree that is as it was. The
# providers' SDK suites (make suites) take minutes to compile, and run apart.
set -u
GO=${GO:-go}
before=$(git status --porcelain 2>/dev/null)
bad=0
unformatted=$(gofmt -l $(git ls-files '*.go' 2>/dev/null || find . -name '*.go'))
if [ -n "$unformatted" ]; then
	echo "gofmt: these files are not formatted:"
	echo "$unformatted"
	bad=1
fi
"$GO" vet ./... || bad=1
make --no-print-directory test || bad=1
after=$(git status --porcelain 2>/dev/null)
if [ "$before" != "$after" ]; then
	echo "the tests left something behind in the tree:"
	echo "$after"
	bad=1
fi
[ $bad = 0 ] && echo "check: all good" || echo "check: failed"
exit $bad
