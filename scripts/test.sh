#!/bin/bash
# What `make test` runs: installs what is missing, builds, runs the unit tests in C, luacheck and the
# specs, and closes with the sum of it all. Several workers share the specs, each with private servers
# of its own, which it brings up and takes down.
#
#   SERVERS=mysql9   MySQL 9 from Debian sid as the primary (scripts/mysql9.sh prepares it)
#   SPEC=FILE        only this: a spec, a directory of specs, or a unit test in C
#   BUILD=DIR        the build directory (default: build)
#   FAULTS=crash     of spec/fault only the crash matrix of the writing process (default: all of it)
#   LIMIT=SECONDS    for one file of specs (default: 1800)
#   WORKERS=N        (default: as many as there are processors, at most 4)
#   INTERPRETER=...  what runs the specs (default: lua5.4; "dualdb" is the built executable)

set -uo pipefail
cd "$(dirname "$0")/.."

BUILD=${BUILD:-build}
SPEC=${SPEC:-}
SERVERS=${SERVERS:-}
make=${MAKE:-make}
limit=${LIMIT:-1800} # a hang must not take the whole run with it

passed=0
failed=0
skipped=0
failures=()

say() { printf '\n== %s\n' "$*"; }

finish() {
    local name
    for name in "${failures[@]+"${failures[@]}"}"; do echo "failed: $name"; done
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
    exit
}

give_up() {
    failures+=("$*")
    failed=$((failed + 1))
    finish
}

case $SERVERS in
'' | mariadb | mysql | mysql9) ;;
*)
    echo "test: unknown SERVERS '$SERVERS' (mariadb, mysql, mysql9)" >&2
    exit 2 ;;
esac
if [ -n "$SPEC" ] && [ ! -e "$SPEC" ]; then
    echo "test: there is no $SPEC" >&2
    exit 2
fi

say "packages"
scripts/install-packages.sh build servers test browser || give_up "packages"
if [ "$SERVERS" = mysql9 ]; then
    scripts/mysql9.sh server || give_up "MySQL 9"
fi

say "build"
"$make" -j"$(nproc)" BUILD="$BUILD" all unit-programs || give_up "build"
BUILD=$(cd "$BUILD" && pwd)
[ "${INTERPRETER:-}" = dualdb ] && INTERPRETER="$BUILD/dualdb"
cores=$(nproc)
WORKERS=${WORKERS:-$((cores < 4 ? cores : 4))}
lua=("${INTERPRETER:-lua5.4}")
[ "${lua[0]}" = "$BUILD/dualdb" ] && lua+=(run)

# ---- unit tests in C ----

run_unit() {
    local program=$BUILD/spec/$(basename "$1" .c) output status line
    output=$(timeout --foreground -k 10 "$limit" "$program" 2>&1)
    status=$?
    echo "$output"
    line=$(grep -E '^([A-Za-z0-9_]+: )?[0-9]+ passed, [0-9]+ failed' <<<"$output" | tail -n 1)
    if [[ $line =~ ([0-9]+)\ passed,\ ([0-9]+)\ failed ]]; then
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
        [ "${BASH_REMATCH[2]}" = 0 ] || failures+=("$1")
        [ "$status" = 0 ] || [ "${BASH_REMATCH[2]}" != 0 ] || line=
    fi
    if [ -z "$line" ]; then
        echo "$1: ended with status $status"
        failed=$((failed + 1))
        failures+=("$1: status $status")
    fi
}

# ---- specs ----

# What the workers share: the files that nobody has begun, and what became of the others.
work=
workers=()

note() { echo "$1 $2 $3 $4" >>"$work/counts"; } # passed, failed, skipped, name

# The next file for a worker.
next_file() {
    (
        flock 9
        head -n 1 "$work/queue"
        sed -i 1d "$work/queue"
    ) 9>"$work/queue.lock"
}

run_file() { # a file of specs
    local name=$1 output=$2 status line good=0 bad=0 pending=0
    # No standard input: a spec that would ask a person must fail, not wait.
    # In the foreground: what ends this script (Ctrl-C, the end of a leg) ends it as well.
    timeout --foreground -k 10 "$limit" "${lua[@]}" scripts/build/busted.lua --ignore-lua -o plainTerminal \
        --lpath='./lua/?.lua;./lua/?/init.lua' --cpath="$BUILD/lib/?.so" "$name" \
        </dev/null >"$output" 2>&1
    status=$?
    line=$(grep -E '^[0-9]+ success(es)? / [0-9]+ failures? / [0-9]+ errors? / [0-9]+ pending' \
        "$output" | tail -n 1)
    if [[ $line =~ ([0-9]+)\ success[es]*\ /\ ([0-9]+)\ [a-z]+\ /\ ([0-9]+)\ [a-z]+\ /\ ([0-9]+) ]]
    then
        good=${BASH_REMATCH[1]}
        bad=$((BASH_REMATCH[2] + BASH_REMATCH[3]))
        pending=${BASH_REMATCH[4]}
    fi
    if [ -z "$line" ] || { [ "$bad" = 0 ] && [ "$status" != 0 ]; }; then
        echo "$name: ended with status $status" >>"$output"
        note "$good" 1 "$pending" "$name: status $status"
        return
    fi
    note "$good" "$bad" "$pending" "$name"
}

sandbox=
down() {
    trap - EXIT
    [ -n "$sandbox" ] || return 0
    local status=0
    "$BUILD/dualdb" -q sandbox down --dir "$sandbox/servers" </dev/null || status=$?
    [ "$status" != 0 ] || rm -rf "$sandbox"
    return "$status"
}

# The worker ends when its servers do not start.
up() {
    local env status
    sandbox=$(mktemp -d /tmp/dualdb-test-XXXXXX) || exit 1
    chmod 711 "$sandbox"
    "$BUILD/dualdb" -q sandbox up --dir "$sandbox/servers" ${SERVERS:+--flavor "$SERVERS"} \
        </dev/null
    status=$?
    if [ "$status" != 0 ]; then
        tail -n 20 "$sandbox"/servers/log/*.log 2>/dev/null
        note 0 1 0 "servers: status $status"
        exit 1
    fi
    env=$("$BUILD/dualdb" sandbox env --dir "$sandbox/servers" </dev/null) || exit 1
    eval "$env"
}

worker() {
    local file output
    trap down EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    up
    output=$(mktemp "$work/output-XXXXXX")
    while file=$(next_file) && [ -n "$file" ]; do
        SECONDS=0
        run_file "$file" "$output"
        { flock 9; say "$file, $SECONDS s"; cat "$output"; } 9>"$work/print.lock"
    done
    down || note 0 1 0 "sandbox down"
}

stop_workers() {
    trap '' INT TERM
    kill -TERM "${workers[@]}" 2>/dev/null
    wait
    rm -rf "$work"
    exit "$1"
}

# The files given, on all workers; the sum of it is added to what there is.
run_specs() {
    local count=$# i good bad pending name
    work=$(mktemp -d /tmp/dualdb-test-XXXXXX) || give_up "specs"
    printf '%s\n' "$@" >"$work/queue"
    : >"$work/counts"
    trap 'stop_workers 130' INT
    trap 'stop_workers 143' TERM
    for ((i = 0; i < WORKERS && i < count; i++)); do
        worker &
        workers+=($!)
    done
    for i in "${workers[@]}"; do
        wait "$i" || failures+=("a worker ended with status $?")
    done
    trap - INT TERM
    [ ! -s "$work/queue" ] || note 0 "$(wc -l <"$work/queue")" 0 "specs that nobody has run"
    while read -r good bad pending name; do
        passed=$((passed + good))
        failed=$((failed + bad))
        skipped=$((skipped + pending))
        [ "$bad" = 0 ] || failures+=("$name")
    done <"$work/counts"
    rm -rf "$work"
}

# The files of a directory, the longest first: what is left at the end is short.
files_in() { find "$1" -name '*_spec.lua' -printf '%s %p\n' 2>/dev/null | LC_ALL=C sort -rn | cut -d' ' -f2-; }

# What the specs may rely on, besides the sandbox's variables: the executable, also first in PATH.
export DUALDB_BIN=$BUILD/dualdb
export PATH="$BUILD:$PATH"

case $SPEC in
*.c)
    run_unit "$SPEC"
    finish ;;
'')
    say "unit tests in C"
    for file in spec/unit/*.c; do
        [ ! -e "$file" ] || run_unit "$file"
    done
    say "luacheck"
    if luacheck -q .; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        failures+=("luacheck")
    fi
    files=(spec/fault/crash_spec.lua)
    if [ "${FAULTS:-all}" = crash ]; then
        say "of spec/fault only crash_spec.lua, for FAULTS=crash"
    else
        mapfile -t files < <(files_in spec/fault)
    fi
    for directory in property integration cli unit; do
        mapfile -t -O "${#files[@]}" files < <(files_in "spec/$directory")
    done
    run_specs "${files[@]}" ;;
*)
    mapfile -t files < <(if [ -d "$SPEC" ]; then files_in "$SPEC"; else echo "$SPEC"; fi)
    [ "${#files[@]}" -gt 0 ] || give_up "there are no specs in $SPEC"
    run_specs "${files[@]}" ;;
esac

say "end"
finish
