#!/bin/bash
# Prepares MySQL 9 from Debian sid as a directory to chroot into, in the user's cache.
#
#   scripts/mysql9.sh [server|client]
#
#   server   mysqld and its client programs, for the sandbox's flavor "mysql9" (default)
#   client   Oracle's libmysqlclient with compiler and libraries, to build dualdb against it
#
# Prints the directory. Does nothing when it is there. Needs root, or sudo. Takes about a minute and
# 650 MB (server) once. DUALDB_DEBIAN_MIRROR overrides the mirror, which otherwise is the one that
# this machine's apt uses, or deb.debian.org.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

tree=${1:-server}
case $tree in
server) include=mysql-server-core,mysql-client-core ;;
client)
    include=gcc,libc6-dev,make,pkg-config,libmysqlclient-dev,libpq-dev,lua5.4,liblua5.4-dev
    include+=,libxxhash-dev,libsqlite3-dev,libedit-dev,lua-cjson,lua-dkjson,lua-argparse ;;
*)
    echo "usage: scripts/mysql9.sh [server|client]" >&2
    exit 2 ;;
esac

cache=${XDG_CACHE_HOME:-$HOME/.cache}/dualdb/mysql9
# The package list is part of the stamp: a tree made for another list is made again.
stamp_text="sid $include"
target=$cache/$tree
ready() { [ "$(cat "$target/dualdb-stamp" 2>/dev/null)" = "$stamp_text" ]; }

if ready; then
    echo "$target"
    exit 0
fi

if [ "$(id -u)" = 0 ]; then
    as_root=()
elif command -v sudo >/dev/null; then
    as_root=(sudo)
else
    echo "mysql9: needs root or sudo, to unpack Debian sid with debootstrap" >&2
    exit 1
fi

"$here/install-packages.sh" mysql9

mirror() {
    local codename=
    codename=$(. /etc/os-release && [ "${ID:-}" = debian ] && echo "${VERSION_CODENAME:-}") || true
    [ -z "$codename" ] || apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' 2>/dev/null |
        awk -v release="$codename" '$2 == release && $3 == "main" { print $1; exit }'
}
from=${DUALDB_DEBIAN_MIRROR:-$(mirror)}
from=${from:-http://deb.debian.org/debian}

mkdir -p "$cache"
exec 9>"$cache/lock-$tree"
flock 9
if ready; then # another process made it while this one waited
    echo "$target"
    exit 0
fi

# A tree stays half made only under a name of its own: the rename at the end is what counts. What
# an interrupted run left under such a name goes now, as the lock says that nobody works there.
"${as_root[@]}" rm -rf --one-file-system "$cache/new-$tree"
log=$cache/$tree.log
begin=$SECONDS
echo "mysql9: unpacking Debian sid ($tree) into $target, log in $log" >&2
if ! "${as_root[@]}" debootstrap --variant=minbase --include="$include" \
    sid "$cache/new-$tree" "$from" >"$log" 2>&1 9>&- </dev/null; then
    tail -n 5 "$log" >&2
    echo "mysql9: debootstrap failed, see $log" >&2
    exit 1
fi
"${as_root[@]}" rm -rf "$cache/new-$tree"/var/cache/apt/archives/*.deb
echo "$stamp_text" | "${as_root[@]}" tee "$cache/new-$tree/dualdb-stamp" >/dev/null
if [ -e "$target" ]; then # made for another list of packages
    if [ -n "$(ls -A "$target/srv")" ]; then
        echo "mysql9: $target is to be replaced but in use: take its sandboxes down first" >&2
        exit 1
    fi
    "${as_root[@]}" rm -rf --one-file-system "$target"
fi
"${as_root[@]}" mv "$cache/new-$tree" "$target"
echo "mysql9: done in $((SECONDS - begin)) s" >&2
echo "$target"
