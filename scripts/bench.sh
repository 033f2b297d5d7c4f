#!/bin/bash
# What `make bench` runs: the benchmarks of spec/bench on private servers, which are removed afterwards.
# Figures are ratios against something run beside, on the same servers. ROWS and RUNS make it shorter.

set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-packages.sh build servers
make --no-print-directory -j"$(nproc)" all unit-programs bench-programs
dualdb=$PWD/build/dualdb
export DUALDB_SANDBOX=$PWD/build/bench-sandbox
trap '$dualdb -q sandbox down || true' EXIT
$dualdb -q sandbox up
eval "$($dualdb sandbox env)"
export LUA_PATH_5_4="$PWD/?.lua;;"
# Benchmarks start further processes of the command, and the programs beside it.
export PATH="$PWD/build:$PATH" DUALDB_BIN=$dualdb
for bench in spec/bench/{sync,verify,verify_link,insert_many,write}.lua; do $dualdb run "$bench"; done
