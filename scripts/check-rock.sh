#!/bin/bash
# Checks the rock as a user gets it: `luarocks --lua-version=5.4 make` into an empty tree, then
# `require "dualdb"` under the stock lua5.4 and the `dualdb` command, both from that tree, then
# `luarocks remove`, which must leave nothing behind. Works on a copy of the sources.
#
# Debian's Lua packages (lua-cjson, lua-argparse) are no rocks, so luarocks does not know that they
# are there. Its configuration has a table for that, rocks_provided: this script fills it from what
# is installed. By hand, without the network, the same is `luarocks make --deps-mode=none`.

set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-packages.sh build rock
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

mkdir "$scratch/source" "$scratch/home" "$scratch/empty"
tree=$scratch/tree
cp -r core lua scripts rockspec Makefile "$scratch/source"
[ ! -e LICENSE ] || cp LICENSE "$scratch/source"
[ ! -e README.md ] || cp README.md "$scratch/source"

{
    echo 'rocks_provided = {'
    for pair in lua-cjson:lua-cjson argparse:lua-argparse; do
        version=$(dpkg-query -W -f='${Version}' "${pair#*:}" 2>/dev/null |
            sed 's/^[0-9]*://; s/[+~-].*//') || true
        [ -z "$version" ] || echo "  [\"${pair%%:*}\"] = \"$version-1\","
    done
    echo '}'
} >"$scratch/config.lua"

# Nothing of the user's own configuration or trees, and no server: what is missing must fail here.
luarocks() {
    env HOME="$scratch/home" LUAROCKS_CONFIG="$scratch/config.lua" \
        luarocks --lua-version=5.4 --tree="$tree" --only-server="$scratch/empty" "$@"
}

luarocks lint rockspec/dualdb-scm-1.rockspec
(cd "$scratch/source" && luarocks make >"$scratch/make.log" 2>&1) || {
    tail -n 40 "$scratch/make.log"
    echo "check-rock: luarocks make failed" >&2
    exit 1
}

cd "$scratch/empty" # nothing of the project is in reach from here
export LUA_PATH="$tree/share/lua/5.4/?.lua;$tree/share/lua/5.4/?/init.lua;;"
export LUA_CPATH="$tree/lib/lua/5.4/?.so;;"
lua5.4 - "$tree" <<'END'
local tree = arg[1]
local dualdb = require "dualdb"
assert(type(dualdb.open) == "function", "dualdb.open is not there")
for _, name in ipairs { "dualdb", "dualdb.core" } do
  local path = package.searchpath(name, name == "dualdb" and package.path or package.cpath)
  assert(path and path:sub(1, #tree) == tree, name .. " comes from " .. tostring(path))
end
print("require \"dualdb\" under " .. _VERSION .. ": " .. tostring(dualdb._VERSION))
END
unset LUA_PATH LUA_CPATH
"$tree/bin/dualdb" --version
"$tree/bin/dualdb" -e 'print("dualdb -e: " .. require("dualdb")._VERSION)'

luarocks remove dualdb >/dev/null
left=$(find "$tree" -type f ! -name manifest ! -name index.html)
if [ -n "$left" ]; then
    echo "check-rock: luarocks remove left: $left" >&2
    exit 1
fi
echo "check-rock: ok"
