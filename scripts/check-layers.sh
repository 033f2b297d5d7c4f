#!/bin/bash
# The rules of the house that a compiler does not check:
#
#   - the direction of dependencies in core/: base <- row <- db <- pair <- bind <- app
#   - <mysql.h> only in core/db/mysql*, <libpq-fe.h> only in core/db/postgres*
#   - <sqlite3.h> only in core/bind/sqlite.c
#   - Lua's headers only in core/bind and core/app
#   - base, row and db do not know of a pair: they never say "primary" or "secondary"
#     (a primary key is something else)
#   - no C function that cannot be used safely; a line that must says why: /* allowed: reason */
#   - no file over 600 lines
#
# Prints what breaks them, one a line, and fails if there is any.

set -uo pipefail
cd "$(dirname "$0")/.."

core() { find core \( -name '*.[ch]' -o -name '*.def' \) -print0 | LC_ALL=C sort -z; }

includes() {
    core | xargs -0r awk '
        BEGIN {
            count = split("base row db pair bind app", names, " ")
            for (i = 1; i <= count; i++) rank[names[i]] = i
        }
        function finding(text) { printf "%s:%d: %s\n", FILENAME, FNR, text }
        function stem(path) { sub(/\/[^\/]*$/, "", path); return path }
        FNR == 1 {
            split(FILENAME, part, "/")
            layer = part[2]
            if (!(layer in rank)) finding("not in a layer")
        }
        !/^[ \t]*#[ \t]*include/ { next }
        {
            name = $0
            sub(/^[^<"]*[<"]/, "", name)
            sub(/[>"].*$/, "", name)
        }
        /include[ \t]*"/ {
            split(name, part, "/")
            if (name ~ /^[^\/]+\.def$/) next # the list beside the file that expands it
            if (!(part[1] in rank)) finding("\"" name "\" is not named from core/")
            else if (rank[part[1]] > rank[layer]) finding(layer " must not include " name)
            next
        }
        name ~ /(^|\/)(mysql.*|errmsg|mysqld_error|mariadb.*)\.h$/ && FILENAME !~ /^core\/db\/mysql/ {
            finding("only core/db/mysql*.c may include " name)
        }
        name ~ /(^|\/)(libpq-.*|pg_config.*|postgres_ext)\.h$/ && FILENAME !~ /^core\/db\/postgres/ {
            finding("only core/db/postgres*.c may include " name)
        }
        name == "sqlite3.h" && FILENAME != "core/bind/sqlite.c" {
            finding("only core/bind/sqlite.c may include " name)
        }
        name ~ /(^|\/)(lua|lauxlib|lualib|luaconf)\.h$/ && FILENAME !~ /^core\/(bind|app)\// {
            finding("only core/bind and core/app may include " name)
        }'
}

words() {
    grep -rnwiE 'primary|secondary|primaries|secondaries' core/base core/row core/db 2>/dev/null |
        grep -viE 'primary[ _-]?keys?' |
        sed 's/$/   <- nothing below core\/pair is primary or secondary/'
}

banned() {
    local names='strcpy|strcat|strncat|stpcpy|sprintf|vsprintf|gets|strtok|atoi|atol|atoll|atof'
    names+='|alloca|sscanf|scanf|fscanf|system|popen|tmpnam|tempnam|mktemp|rand|srand|setjmp'
    names+='|longjmp|signal|asctime|ctime|gmtime|localtime|usleep'
    core | xargs -0r grep -HnE "(^|[^A-Za-z0-9_.>\"])($names)[[:space:]]*\(" |
        grep -vE '/\* allowed: |^[^:]+:[0-9]+:[[:space:]]*(\*|/\*|//)' |
        sed 's/$/   <- banned: there is a safe function, or a reason to write down/'
}

lengths() {
    find core lua scripts spec rockspec Makefile -type f \
        \( -name '*.[ch]' -o -name '*.lua' -o -name '*.sh' -o -name '*.def' -o -name Makefile \) \
        -print0 | LC_ALL=C sort -z | xargs -0r wc -l |
        awk '$2 != "total" && $1 > 600 { print $2 ": " $1 " lines, more than 600" }'
}

findings=$(includes; words; banned; lengths)
[ -z "$findings" ] && exit 0
echo "$findings"
echo "check-layers: $(wc -l <<<"$findings") findings" >&2
exit 1
