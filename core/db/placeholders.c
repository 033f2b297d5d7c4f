#include "db/placeholders.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/*
 * A lexer that knows just enough of each server's SQL to tell a placeholder from a question mark in
 * a literal, a name or a comment. PostgreSQL: src/backend/parser/scan.l; MySQL: sql/sql_lex.cc.
 */

/* What a byte can be. Those above 0x7f are letters to both servers. */
enum { SPACE = 1, DIGIT = 2, LETTER = 4 };

#define TIMES_8(kind) kind, kind, kind, kind, kind, kind, kind, kind
#define TIMES_26(kind) TIMES_8(kind), TIMES_8(kind), TIMES_8(kind), kind, kind
#define TIMES_32(kind) TIMES_8(kind), TIMES_8(kind), TIMES_8(kind), TIMES_8(kind)

static const unsigned char kinds[256] = {
    ['\t'] = SPACE, SPACE, SPACE, SPACE, SPACE, [' '] = SPACE, ['0'] = TIMES_8(DIGIT), DIGIT, DIGIT,
    ['A'] = TIMES_26(LETTER), ['_'] = LETTER, ['a'] = TIMES_26(LETTER),
    [0x80] = TIMES_32(LETTER), TIMES_32(LETTER), TIMES_32(LETTER), TIMES_32(LETTER),
};

static bool is(char c, int kind) { return kinds[(unsigned char)c] & kind; }

/* Also '$': `a$b$` is one name and starts no dollar quote. */
static bool in_name(char c) { return is(c, LETTER | DIGIT) || c == '$'; }

/* After the closing quote of `at`, which is its first byte, or NULL. */
static const char *skip_quoted(const char *at, bool backslashes) {
    const char quote = *at++;
    for (; *at; at++) {
        if (*at == '\\' && backslashes) {
            if (!*++at) return NULL;
        } else if (*at == quote) {
            if (at[1] != quote) return at + 1;
            at++;
        }
    }
    return NULL;
}

static const char *skip_line(const char *at, bool numbered) {
    while (*at && *at != '\n' && !(numbered && *at == '\r')) at++;
    return at;
}

static const char *skip_comment(const char *at, bool nested) {
    unsigned depth = 1;
    for (at += 2; *at; at++) {
        if (at[0] == '*' && at[1] == '/') {
            at++;
            if (--depth == 0) return at + 1;
        } else if (nested && at[0] == '/' && at[1] == '*') {
            at++;
            depth++;
        }
    }
    return NULL;
}

/*
 * 'a' <newline> 'b' is one literal, and the part after the line break is read as the first one was:
 * it matters for E'...', whose continuation has backslashes too although no E stands before it.
 */
static const char *continuation(const char *at) {
    bool line_break = false;
    for (;;) {
        if (is(*at, SPACE)) {
            if (*at == '\n' || *at == '\r') line_break = true;
            at++;
        } else if (at[0] == '-' && at[1] == '-') {
            at = skip_line(at, true);
        } else {
            return line_break && *at == '\'' ? at : NULL;
        }
    }
}

static const char *skip_escape_string(const char *at) {
    for (;;) {
        const char *end = skip_quoted(at, true);
        if (!end) return NULL;
        at = continuation(end);
        if (!at) return end;
    }
}

/* Length of the `$tag$` at `at`, or 0 when it starts no dollar quote. */
static size_t dollar_tag(const char *at) {
    const char *end = at + 1;
    if (*end != '$') {
        if (!is(*end, LETTER)) return 0;
        while (*end != '$' && in_name(*end)) end++;
    }
    return *end == '$' ? (size_t)(end - at) + 1 : 0;
}

static const char *skip_dollar_quoted(const char *at, size_t tag) {
    for (const char *end = at + tag; (end = strchr(end, '$')) != NULL; end++)
        if (strncmp(end, at, tag) == 0) return end + tag;
    return NULL;
}

/* MySQL takes `--` as a comment only before a blank, a control character or the end. */
static bool starts_line_comment(const char *at, bool numbered) {
    if (at[0] == '#') return !numbered;
    if (at[0] != '-' || at[1] != '-') return false;
    return numbered || (unsigned char)at[2] <= ' ' || at[2] == 0x7f;
}

typedef struct scanner {
    const char *at;
    bool numbered;
    bool dollar_number;   /* a $1 of the caller's own was seen */
    const char *broken;   /* what is unterminated */
} scanner;

/* Moves past one token that is no placeholder. */
static bool skip_token(scanner *s) {
    const char *at = s->at;
    const char *end = at + 1;
    const char *what = "quoted text";
    if (s->numbered && (*at == 'e' || *at == 'E') && at[1] == '\'') {
        end = skip_escape_string(at + 1);
    } else if (is(*at, LETTER)) {
        while (in_name(*end)) end++;
    } else if (*at == '\'' || *at == '"') {
        end = skip_quoted(at, !s->numbered);
    } else if (*at == '`' && !s->numbered) {
        end = skip_quoted(at, false);
    } else if (starts_line_comment(at, s->numbered)) {
        end = skip_line(at, s->numbered);
    } else if (at[0] == '/' && at[1] == '*') {
        what = "comment";
        end = skip_comment(at, s->numbered);
    } else if (s->numbered && *at == '$') {
        size_t tag = dollar_tag(at);
        if (tag) end = skip_dollar_quoted(at, tag);
        else if (is(at[1], DIGIT)) s->dollar_number = true;
    }
    if (!end) {
        s->broken = what;
        return false;
    }
    s->at = end;
    return true;
}

/* `limit?` must not become the name limit$1, nor `?1` the parameter $11: blanks keep them apart. */
static void add_number(dd_buf *out, size_t start, unsigned number, char next) {
    char text[16];
    int length = snprintf(text, sizeof text, "$%u", number);
    if (out->length > start && in_name((char)out->data[out->length - 1])) dd_buf_add_byte(out, ' ');
    dd_buf_add(out, text, (size_t)length);
    if (in_name(next)) dd_buf_add_byte(out, ' ');
}

dd_status dd_placeholders(const char *sql, bool numbered, dd_buf *out, unsigned *count,
                          dd_err *err) {
    const size_t start = out->length;
    unsigned found = 0;
    scanner s = {.at = sql, .numbered = numbered};
    while (*s.at) {
        const char *from = s.at;
        while (*s.at && *s.at != '?') {
            if (skip_token(&s)) continue;
            out->length = start;
            return dd_fail(err, DD_USAGE, "statement has an unterminated %s", s.broken);
        }
        dd_buf_add(out, from, (size_t)(s.at - from));
        if (*s.at == '\0') break;
        if (s.at[1] == '?') {
            dd_buf_add_byte(out, '?');
            s.at += 2;
        } else {
            found++;
            s.at++;
            if (numbered) add_number(out, start, found, *s.at);
            else dd_buf_add_byte(out, '?');
        }
    }
    /* Alone, $1 is legal (PREPARE, the body of a function); beside ? it would take a ?'s value. */
    if (found && s.dollar_number) {
        out->length = start;
        return dd_fail(err, DD_USAGE, "statement has both ? and $1 placeholders");
    }
    dd_buf_add_byte(out, 0);
    out->length--;
    *count = found;
    return DD_OK;
}
