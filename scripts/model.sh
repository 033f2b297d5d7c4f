#!/bin/bash
# Checks the models of the protocols (spec/model/README.md) with spin: each configuration that has to
# hold, and each mutation that has to be caught. Closes with the number of both.
#
#   scripts/model.sh       with DEPTH=full in the environment: with more deaths and resolvers

set -uo pipefail
cd "$(dirname "$0")/.."

scripts/install-packages.sh model || exit 1
models=$PWD/spec/model
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
limit=${LIMIT:-900} # seconds for one

# Runs one configuration; prints a line, and fails when it is not as it has to be.
check() { # holds|caught, model, flags
    local wanted=$1 model=$2 found dir begin=$SECONDS
    shift 2
    dir=$(mktemp -d "$work/XXXXXX")
    (cd "$dir" && spin -a "$@" "$models/$model.pml" >spin.log 2>&1 &&
        cc -O1 -w -DSAFETY -DCOLLAPSE -DMEMLIM=12000 -o pan pan.c &&
        timeout "$limit" ./pan -m1000000 >pan.log 2>&1)
    # Only a search that came to its end says that there is no error.
    if grep -q 'errors: 0$' "$dir/pan.log" && ! grep -qE 'not completed|too small' "$dir/pan.log"; then
        found=holds
    elif grep -q '^pan:1: assertion violated' "$dir/pan.log"; then
        found=caught
    else
        found=unfinished
        cat "$dir/spin.log" "$dir/pan.log"
    fi
    local states
    states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$dir/pan.log")
    printf '%-7s %-3s %-60s %10s states %4d s%s\n' "$found" "$model" "$*" "$states" \
        $((SECONDS - begin)) "$([ "$found" = "$wanted" ] || echo "  FAILED: has to be $wanted")"
    rm -rf "$dir"
    [ "$found" = "$wanted" ]
}

# wanted, model, flags: one a line. `spec/model/configurations` has them, those of DEPTH=full marked.
configurations() {
    grep -v '^#' "$models/configurations" | if [ "${DEPTH:-}" = full ]; then
        sed 's/^full //'
    else
        grep -v '^full '
    fi
}

export -f check
export models work limit
passed=0
failed=0
while read -r status; do
    if [ "$status" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done < <(configurations | xargs -P "$(nproc)" -I {} bash -c 'check {} >&2; echo $?')
echo "model: $passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
