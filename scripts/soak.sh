#!/bin/bash
# What `make soak` runs: client processes write for some minutes while clients, servers and the network
# between them are killed, stopped and cut; then everything is healed and checked (spec/soak).
#
#   MINUTES=1     for each protocol
#   PROTOCOL=...  a1, a2, journaled, available; several, or (default) the first three
#   SEED=...      repeats the faults of a run; default: a new one, which is said
#   CLIENTS=4     client processes
#   SERVERS=mysql9
#   FAULTS=processes   spares the servers and the network

set -uo pipefail
cd "$(dirname "$0")/.."

BUILD=${BUILD:-build}
make=${MAKE:-make}
seed=${SEED:-$((RANDOM * 32768 + RANDOM))}

scripts/install-packages.sh build servers || exit
[ "${SERVERS:-}" != mysql9 ] || scripts/mysql9.sh server || exit
"$make" --no-print-directory -j"$(nproc)" BUILD="$BUILD" all "$BUILD/spec/proxy" || exit
BUILD=$(cd "$BUILD" && pwd)

export DUALDB_BIN=$BUILD/dualdb DUALDB_SANDBOX=$BUILD/soak-sandbox LUA_PATH_5_4="./?.lua;;"
export SOAK_SEED=$seed SOAK_CLIENTS=${CLIENTS:-4} SOAK_FAULTS=${FAULTS:-all}
SOAK_SECONDS=$(awk "BEGIN { print 60 * (${MINUTES:-1}) }") || exit 2
export SOAK_SECONDS
trap '"$DUALDB_BIN" -q sandbox down >/dev/null' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"$DUALDB_BIN" -q sandbox up ${SERVERS:+--flavor "$SERVERS"} >/dev/null || exit
env=$("$DUALDB_BIN" sandbox env) || exit
eval "$env"

passed=0
failed=0
summary=()
for way in ${PROTOCOL:-a1 a2 journaled}; do
    export SOAK_WAY=$way SOAK_DIRECTORY=$BUILD/soak-notes/$way
    rm -rf "$SOAK_DIRECTORY" && mkdir -p "$SOAK_DIRECTORY" || exit
    printf '\n== %s, %s s, seed %s\n' "$way" "$SOAK_SECONDS" "$seed"
    "$DUALDB_BIN" run spec/soak/soak.lua </dev/null 2>&1 | tee "$SOAK_DIRECTORY/log"
    if [ "${PIPESTATUS[0]}" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    summary+=("$(tail -n 1 "$SOAK_DIRECTORY/log")")
done
printf '\n'
printf '%s\n' "${summary[@]}"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
