#!/bin/bash
# What `make fuzz` runs: libFuzzer with sanitizers on what reads bytes that others made.
#
#   scripts/fuzz.sh [SECONDS [TARGET...]]     for each target; default: 12, all of spec/fuzz/
#
# Each starts from spec/fuzz/corpus/TARGET, and from what runs before found in $BUILD/fuzz. An input
# that breaks something is left in $BUILD/fuzz as TARGET-crash-...: `$BUILD/fuzz/TARGET FILE` runs it
# again. Closes with the executions of each target.

set -uo pipefail
cd "$(dirname "$0")/.."

limit=${1:-12}
case $limit in
'' | *[!0-9]*)
    echo "fuzz: '$limit' is no number of seconds" >&2
    exit 2 ;;
esac
shift
BUILD=${BUILD:-build}
work=$BUILD/fuzz

scripts/install-packages.sh build fuzz || exit 1
mkdir -p "$work/found"
# shellcheck disable=SC2207
[ $# -gt 0 ] || set -- $(cd spec/fuzz && ls -- *.c | sed 's/\.c$//')

flags=(-std=c11 -D_GNU_SOURCE -Icore -Ispec/fuzz -O1 -g -fno-omit-frame-pointer
    -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
# shellcheck disable=SC2207
flags+=($(pkg-config --cflags libxxhash libmariadb))

compile() { # source
    clang "${flags[@]}" -c "$1" -o "$work/$(tr '/' '_' <<<"${1%.c}").o"
}

objects=()
for source in core/base/*.c core/row/*.c core/db/placeholders.c core/db/mysql_{bind,column,infile_text}.c; do
    compile "$source" || exit 1
    objects+=("$work/$(tr '/' '_' <<<"${source%.c}").o")
done
for target in "$@"; do
    if [ ! -f "spec/fuzz/$target.c" ]; then
        echo "fuzz: there is no target '$target'" >&2
        exit 2
    fi
    clang "${flags[@]}" -fsanitize=fuzzer,address,undefined "spec/fuzz/$target.c" \
        "${objects[@]}" -o "$work/$target" $(pkg-config --libs libxxhash libmariadb) -lm || exit 1
done

run() { # target
    mkdir -p "$work/found/$1"
    "$work/$1" -max_total_time="$limit" -max_len=2048 -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -verbosity=1 -artifact_prefix="$work/$1-" "$work/found/$1" \
        "spec/fuzz/corpus/$1" >"$work/$1.log" 2>&1 </dev/null
}

failed=0
report() { # target, status
    local executions
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$1.log")
    if [ "$2" = 0 ]; then
        printf '%-16s %10s executions, ok\n' "$1" "$executions"
    else
        failed=$((failed + 1))
        printf '%-16s FAILED, see %s\n' "$1" "$work/$1.log"
        grep -E 'ERROR|not so|Test unit written|runtime error' "$work/$1.log" | head -n 5
    fi
}

# As many at a time as there are processors, in order.
jobs=$(nproc)
while [ $# -gt 0 ]; do
    batch=("${@:1:jobs}")
    shift "${#batch[@]}"
    pids=()
    for target in "${batch[@]}"; do
        run "$target" &
        pids+=($!)
    done
    for i in "${!batch[@]}"; do
        wait "${pids[i]}"
        report "${batch[i]}" $?
    done
done
[ "$failed" = 0 ]
