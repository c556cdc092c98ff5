#!/bin/sh
# Runs every fuzz target for FUZZTIME each.
set -u
GO=${GO:-go}
bad=0
for dir in $("$GO" list -f '{{.Dir}}' ./...); do
	targets=$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go 2>/dev/null | sed 's/^func //')
	for target in $targets; do
		echo "== $dir $target"
		(cd "$dir" && "$GO" test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-20s}" -fuzzminimizetime 5s .) || bad=1
	done
done
exit $bad
