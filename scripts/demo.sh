#!/bin/bash
# `make demo`: two real databases, connected, copied, compared, broken, compared again and repaired.
# Every step prints the command that it runs. Leaves no process and no database behind.

set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-packages.sh build servers
make --no-print-directory -j"$(nproc)"

dualdb=build/dualdb
export DUALDB_SANDBOX=$PWD/build/demo-sandbox
started=$SECONDS
trap '$dualdb -q sandbox down || true' EXIT

say() { printf '\n\e[1m# %s\e[0m\n' "$*"; }

# Prints a command as a person would type it.
show() {
    local word
    printf '\e[36m$'
    for word; do
        case $word in
        *[!A-Za-z0-9_./=-]*) printf ' "%s"' "$word" ;;
        *) printf ' %s' "$word" ;;
        esac
    done
    printf '\e[0m\n'
}

# Shows a command and runs it. The first argument is the exit code that it has to have.
run() {
    local expected=$1 code=0
    shift
    show "$@"
    "$@" || code=$?
    if [ "$code" != "$expected" ]; then
        echo "demo: exit code $code where $expected was expected" >&2
        exit 1
    fi
}

say "A private MySQL-family primary and a private PostgreSQL secondary"
run 0 $dualdb sandbox up
printf '\e[36m$ eval "$(%s sandbox env)"\e[0m\n' "$dualdb"
eval "$($dualdb sandbox env)"
run 0 $dualdb health

say "A chat application lives on the primary"
run 0 $dualdb run scripts/demo/chat_data.lua

say "The secondary gets dualdb's own tables, the application's tables, and all rows"
run 0 $dualdb setup
run 0 $dualdb schema apply
run 0 $dualdb sync --all --full
run 0 $dualdb verify --all

say "A runbook writes to both, or to neither"
run 0 $dualdb run scripts/demo/post_messages.lua
run 0 $dualdb verify --all

say "Somebody changes the secondary behind dualdb's back: 3 rows changed, 2 deleted, 1 added"
run 0 "$DUALDB_SANDBOX_PSQL" -d chatdb -q -v ON_ERROR_STOP=1 \
    -c "update message set content = 'tampered' where id in (7, 70000)" \
    -c "update user_profile set balance = balance + 0.01 where id = 500" \
    -c "delete from message where id in (123, 99999)" \
    -c "insert into message (room_id, sender_id, content, sent_at) values (1, 1, 'forged', now())"
run 1 $dualdb verify --all

say "Repaired: first shown, then done"
run 1 $dualdb repair --all --dry-run
run 0 $dualdb repair --all --yes --allow-delete
run 0 $dualdb verify --all

say "Done in $((SECONDS - started)) s"
