#!/bin/bash
# What `make test` runs: installs what is missing, builds, brings up private servers, runs the unit
# tests in C, luacheck and the specs, takes the servers down, and closes with the sum of it all.
#
#   SERVERS=mysql9   MySQL 9 from Debian sid as the primary (scripts/mysql9.sh prepares it)
#   SPEC=FILE        only this: a spec, a directory of specs, or a unit test in C
#   BUILD=DIR        the build directory (default: build)
#   FAULTS=crash     of spec/fault only the crash matrix of the writing process (default: all of it)
#   LIMIT=SECONDS    for one directory of specs (default: 1800)
#   INTERPRETER=...  what runs the specs (default: lua5.4; "dualdb" is the built executable)

set -uo pipefail
cd "$(dirname "$0")/.."

BUILD=${BUILD:-build}
SPEC=${SPEC:-}
SERVERS=${SERVERS:-}
make=${MAKE:-make}
limit=${LIMIT:-1800} # seconds for one directory of specs: a hang must not take the whole run with it

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

run_specs() { # name, then busted's arguments
    local name=$1 output status line
    shift
    say "$name"
    output=$(mktemp)
    # No standard input: a spec that would ask a person must fail, not wait.
    # In the foreground: what ends this script (Ctrl-C, the end of a leg) ends it as well.
    timeout --foreground -k 10 "$limit" "${lua[@]}" scripts/build/busted.lua --ignore-lua -o plainTerminal \
        --lpath='./lua/?.lua;./lua/?/init.lua' --cpath="$BUILD/lib/?.so" "$@" \
        </dev/null 2>&1 | tee "$output"
    status=${PIPESTATUS[0]}
    line=$(grep -E '^[0-9]+ success(es)? / [0-9]+ failures? / [0-9]+ errors? / [0-9]+ pending' \
        "$output" | tail -n 1)
    rm -f "$output"
    if [[ $line =~ ([0-9]+)\ success[es]*\ /\ ([0-9]+)\ [a-z]+\ /\ ([0-9]+)\ [a-z]+\ /\ ([0-9]+) ]]
    then
        local bad=$((BASH_REMATCH[2] + BASH_REMATCH[3]))
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + bad))
        skipped=$((skipped + BASH_REMATCH[4]))
        if [ "$bad" -gt 0 ]; then
            failures+=("$name")
            return
        fi
    fi
    if [ -z "$line" ] || [ "$status" != 0 ]; then
        echo "$name: ended with status $status"
        failed=$((failed + 1))
        failures+=("$name: status $status")
    fi
}

sandbox=
down() {
    trap - EXIT
    [ -n "$sandbox" ] || return 0
    local status=0
    "$BUILD/dualdb" sandbox down --dir "$sandbox/servers" </dev/null || status=$?
    [ "$status" != 0 ] || rm -rf "$sandbox"
    return "$status"
}

up() {
    local env status
    say "servers"
    sandbox=$(mktemp -d /tmp/dualdb-test-XXXXXX) || give_up "servers"
    chmod 711 "$sandbox"
    trap down EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    "$BUILD/dualdb" sandbox up --dir "$sandbox/servers" ${SERVERS:+--flavor "$SERVERS"} \
        </dev/null
    status=$?
    if [ "$status" != 0 ]; then
        tail -n 20 "$sandbox"/servers/log/*.log 2>/dev/null
        give_up "servers: status $status"
    fi
    env=$("$BUILD/dualdb" sandbox env --dir "$sandbox/servers" </dev/null) || give_up "sandbox env"
    eval "$env"
}

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
    up
    fault=fault
    if [ "${FAULTS:-all}" = crash ]; then
        say "of spec/fault only crash_spec.lua, for FAULTS=crash"
        fault=fault/crash_spec.lua
    fi
    for directory in unit integration "$fault" property cli; do
        if find "spec/$directory" -name '*_spec.lua' 2>/dev/null | grep -q .; then
            run_specs "spec/$directory" "spec/$directory"
        fi
    done ;;
*)
    up
    run_specs "$SPEC" "$SPEC" ;;
esac

say "end"
down || {
    failed=$((failed + 1))
    failures+=("sandbox down")
}
finish
