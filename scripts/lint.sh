#!/bin/bash
# What `make lint` runs: luacheck, cppcheck and clang-tidy with no findings, both compilers with
# warnings as errors, headers that stand alone, and the rules of scripts/check-layers.sh. Closes
# with the number of checks passed and failed.
#
#   scripts/lint.sh [luacheck|layers|headers|cppcheck|tidy|gcc|clang ...]   (default: all)

set -uo pipefail
cd "$(dirname "$0")/.."

scripts/install-packages.sh build test lint || exit 1
make=${MAKE:-make}
jobs=$(nproc)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The compiler's flags as the Makefile has them.
flags() { "$make" -s --no-print-directory BUILD="$scratch/flags" print-cflags; }

lint_luacheck() { luacheck -q .; }

lint_layers() { scripts/check-layers.sh; }

lint_headers() {
    local header status=0 cflags
    cflags=$(flags) || return 1
    while IFS= read -r header; do
        # shellcheck disable=SC2086
        eval "cc $cflags -Ispec -Werror -fsyntax-only -x c -" <<<"#include \"$header\"" || status=1
    done < <(cd core && find . -name '*.h' | sed 's|^\./||' | LC_ALL=C sort)
    return "$status"
}

lint_cppcheck() {
    cppcheck -q --enable=warning,performance,portability --inline-suppr --std=c11 -D_GNU_SOURCE \
        -Icore --suppress=missingInclude --error-exitcode=1 -j "$jobs" core
}

lint_tidy() {
    local cflags
    cflags=$(flags) || return 1
    find core -name '*.c' -print0 | LC_ALL=C sort -z |
        eval "xargs -0r -n 4 -P $jobs sh -c 'clang-tidy -quiet \"\$@\" -- \$0 2>/dev/null'" \
            "'$(sed "s/'/'\\\\''/g" <<<"$cflags")'"
}

build_with() {
    "$make" -j"$jobs" BUILD="$scratch/$1" CC="$1" OPTIMIZE="-O2 -Werror" all unit-programs \
        bench-programs >"$scratch/$1.log" 2>&1 || {
        grep -vE '^ +(CC|LINK|EMBED) ' "$scratch/$1.log"
        return 1
    }
}
lint_gcc() { build_with gcc; }
lint_clang() { build_with clang; }

[ $# -gt 0 ] || set -- luacheck layers headers cppcheck tidy gcc clang
passed=0
failed=0
for check in "$@"; do
    if ! declare -F "lint_$check" >/dev/null; then
        echo "lint: unknown check '$check'" >&2
        exit 2
    fi
    begin=$SECONDS
    if "lint_$check"; then
        passed=$((passed + 1)) verdict=ok
    else
        failed=$((failed + 1)) verdict=FAILED
    fi
    printf '%-10s %s (%d s)\n' "$check" "$verdict" $((SECONDS - begin))
done
echo "lint: $passed passed, $failed failed"
[ "$failed" = 0 ]
