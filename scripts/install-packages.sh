#!/bin/sh
# Installs what the project needs and is not there yet, with apt-get (as root, or through sudo).
#
#   scripts/install-packages.sh [GROUP...]
#
#   build    compiler, make, the client libraries, Lua 5.4 and the Lua modules dualdb uses
#   servers  MariaDB and PostgreSQL for the sandbox, with their command line clients
#   test     busted, luacheck, and what the specs use
#   browser  chromium, in which the specs open report pages
#   lint     clang, clang-tidy, cppcheck
#   fuzz     clang, with libFuzzer and the sanitizers
#   rock     luarocks
#   model    spin, for the models of the protocols
#   mysql9   debootstrap, for MySQL 9 from Debian sid (scripts/mysql9.sh)
#
# Without a group: build, servers and test. When nothing is missing it does nothing. Where there is
# no apt-get it lists what is missing and fails. Servers that the packages bring are not started:
# the sandbox starts servers of its own.

set -eu

groups="build servers test browser lint fuzz rock model mysql9"

# A package, or alternatives of which the first is installed: any one of them will do.
packages_of() {
    case $1 in
    build)
        echo "gcc libc6-dev make pkg-config|pkgconf lua5.4 liblua5.4-dev libpq-dev" \
            "libmariadb-dev|libmysqlclient-dev libxxhash-dev libsqlite3-dev libedit-dev" \
            "lua-cjson lua-dkjson lua-argparse" ;;
    servers)
        echo "mariadb-server-core|mysql-server-core|mysql-server-core-8.0" \
            "mariadb-client-core|mysql-client-core|mysql-client-core-8.0 postgresql" ;;
    test) echo "lua-busted lua-check lua-filesystem" ;;
    browser) echo "chromium|chromium-headless-shell" ;;
    lint) echo "clang clang-tidy cppcheck" ;;
    fuzz) echo "clang libclang-rt-14-dev|libclang-rt-dev" ;;
    rock) echo "luarocks" ;;
    model) echo "spin gcc libc6-dev" ;;
    mysql9) echo "debootstrap debian-archive-keyring" ;;
    *)
        echo "install-packages: unknown group '$1' ($groups)" >&2
        exit 2 ;;
    esac
}

# The same by what must be there, for systems without apt-get: c: a command, p: a pkg-config
# package, l: a module of Lua 5.4. Alternatives as above.
needs_of() {
    case $1 in
    build)
        echo "c:cc|c:gcc c:make c:pkg-config c:lua5.4|c:lua54|c:lua p:lua5.4|p:lua-5.4|p:lua54|p:lua" \
            "p:libpq p:libmariadb|p:mariadb|p:mysqlclient p:libxxhash p:sqlite3 p:libedit" \
            "l:cjson l:dkjson l:argparse" ;;
    servers) echo "c:mariadbd|c:mysqld c:mariadb|c:mysql c:postgres c:initdb c:psql" ;;
    test) echo "c:busted c:luacheck" ;;
    browser) echo "c:chromium|c:chromium-headless-shell|c:chromium-browser|c:google-chrome" ;;
    lint) echo "c:clang c:clang-tidy c:cppcheck" ;;
    fuzz) echo "c:clang" ;;
    rock) echo "c:luarocks" ;;
    model) echo "c:spin c:cc|c:gcc" ;;
    mysql9) echo "c:debootstrap" ;;
    *)
        echo "install-packages: unknown group '$1' ($groups)" >&2
        exit 2 ;;
    esac
}

installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

have() {
    PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin
    case $1 in
    c:*) command -v "${1#c:}" >/dev/null 2>&1 ;;
    p:*) pkg-config --exists "${1#p:}" 2>/dev/null ;;
    l:*)
        for lua in lua5.4 lua54 lua; do
            "$lua" -e "require '${1#l:}'" >/dev/null 2>&1 && return 0
        done
        return 1 ;;
    esac
}

# Prints the members of "$2..." of which no alternative satisfies the command $1.
missing() {
    check=$1
    shift
    for entry in "$@"; do
        found=
        for one in $(echo "$entry" | tr '|' ' '); do
            if "$check" "$one"; then
                found=1
                break
            fi
        done
        [ -n "$found" ] || echo "$entry"
    done
}

[ $# -gt 0 ] || set -- build servers test

if ! command -v apt-get >/dev/null 2>&1; then
    wanted=
    for group in "$@"; do wanted="$wanted $(needs_of "$group")"; done
    # shellcheck disable=SC2086
    lacking=$(missing have $wanted)
    [ -n "$lacking" ] || exit 0
    echo "install-packages: there is no apt-get here; please install by hand:" >&2
    echo "$lacking" | sed -e 's/c:\([^|]*\)/command \1/g' -e 's/p:\([^|]*\)/library \1 (pkg-config)/g' \
        -e 's/l:\([^|]*\)/Lua 5.4 module \1/g' -e 's/|/ or /g' -e 's/^/  /' >&2
    exit 1
fi

wanted=
for group in "$@"; do wanted="$wanted $(packages_of "$group")"; done
# shellcheck disable=SC2086
lacking=$(missing installed $wanted | sed 's/|.*//')
[ -n "$lacking" ] || exit 0
# shellcheck disable=SC2086
lacking=$(echo $lacking)

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null 2>&1; then
    as_root=sudo
else
    echo "install-packages: missing: $lacking" >&2
    echo "install-packages: run as root, or install sudo, or: apt-get install $lacking" >&2
    exit 1
fi

# Services the packages bring must not start. invoke-rc.d and deb-systemd-invoke ask policy-rc.d;
# one that is already there is the administrator's, and stays. Services already running are not
# touched: only actions of these packages' scripts ask.
policy=/usr/sbin/policy-rc.d
ours=
remove_policy() {
    [ -z "$ours" ] || $as_root rm -f "$policy"
}
if [ ! -e "$policy" ]; then
    trap remove_policy EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    ours=1
    printf '#!/bin/sh\n# Temporary, by dualdb scripts/install-packages.sh: start nothing.\nexit 101\n' |
        $as_root sh -c "cat > $policy && chmod 755 $policy"
fi

echo "installing: $lacking" >&2
export DEBIAN_FRONTEND=noninteractive
apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
        apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" </dev/null >&2
}
# Package lists can be absent or old: install straight away, and refresh them when that fails.
# shellcheck disable=SC2086
apt install --no-install-recommends $lacking || {
    apt update
    apt install --no-install-recommends $lacking
}
