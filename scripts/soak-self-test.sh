#!/bin/bash
# What `make soak-self-test` runs: the soak must find each of the protocols that are broken on purpose
# (core/pair/steps.h), which only a build of its own knows. The seeds are fixed.

set -uo pipefail
cd "$(dirname "$0")/.."

BUILD=${BUILD:-build}/broken
make=${MAKE:-make}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0
failed=0

"$make" --no-print-directory -j"$(nproc)" BUILD="$BUILD" TEST_BUILD=1 all "$BUILD/spec/proxy" || exit
for broken in no_prepare early_commit no_fence; do
    env MAKEFLAGS=TEST_BUILD=1 BUILD="$BUILD" DUALDB_BREAK=$broken PROTOCOL=a1 MINUTES=0.2 SEED=5 \
        FAULTS=processes scripts/soak.sh >"$log" 2>&1
    if grep -q '^VIOLATION  .* is on one side only' "$log" &&
        grep -Eq '^soak: .*, violations = [1-9]' "$log"; then
        passed=$((passed + 1))
        printf '%-14s found: %s\n' "$broken" "$(grep '^soak:' "$log" | tail -n 1)"
    else
        failed=$((failed + 1))
        printf '%-14s not found:\n' "$broken"
        tail -n 20 "$log"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
