#!/bin/bash
# Builds dualdb against Oracle's libmysqlclient, inside a Debian sid directory (scripts/mysql9.sh
# makes it), runs the unit tests in C and `dualdb --version` there, and, with DUALDB_PRIMARY_URL and
# DUALDB_SECONDARY_URL naming servers by TCP, `dualdb health`. Needs root, or sudo.

set -euo pipefail
cd "$(dirname "$0")/.."

tree=$(scripts/mysql9.sh client)
if [ "$(id -u)" = 0 ]; then as_root=(); else as_root=(sudo); fi

work=/srv/dualdb-build-$$
cleanup() { "${as_root[@]}" rm -rf --one-file-system "${tree:?}$work"; }
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"${as_root[@]}" mkdir -p "$tree$work"
"${as_root[@]}" cp -r core lua scripts spec Makefile "$tree$work"

# Nothing of this system's environment but what dualdb itself reads.
inside() {
    "${as_root[@]}" env -i PATH="$work/build:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
        LC_ALL=C.UTF-8 HOME=/root \
        ${DUALDB_PRIMARY_URL:+DUALDB_PRIMARY_URL="$DUALDB_PRIMARY_URL"} \
        ${DUALDB_SECONDARY_URL:+DUALDB_SECONDARY_URL="$DUALDB_SECONDARY_URL"} \
        chroot "$tree" sh -c "cd $work && exec \"\$@\"" sh "$@" </dev/null
}

inside make -j"$(nproc)" MYSQL=mysqlclient OPTIMIZE="-O2 -Werror" all unit-programs
linked=$(inside ldd build/dualdb)
grep -q libmysqlclient <<<"$linked" || {
    echo "build-with-libmysqlclient: build/dualdb is not linked to libmysqlclient" >&2
    exit 1
}
inside sh -c 'for t in build/spec/*_test; do [ ! -x "$t" ] || "$t" || exit 1; done'
inside dualdb --version
if [ -n "${DUALDB_PRIMARY_URL:-}" ] && [ -n "${DUALDB_SECONDARY_URL:-}" ]; then
    inside dualdb health
fi
echo "build-with-libmysqlclient: ok"
