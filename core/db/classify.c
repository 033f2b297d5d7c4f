#include "db/classify.h"

#include <ctype.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MYSQL, POSTGRES };

static const struct rule {
    int driver;
    const char *codes;
    const char *text;
    dd_class class_;
    dd_class at_commit;
    const char *hint;
} rules[] = {
#define DD_RULE(driver, codes, text, class_, at_commit, hint) \
    {driver, codes, text, DD_##class_, DD_##at_commit, hint},
#include "classify.def"
#undef DD_RULE
};

enum { RULES = sizeof rules / sizeof rules[0] };

/* The next of the codes separated by blanks; moves *at behind it. False at the end. */
static bool next_code(const char **at, const char **code, size_t *length) {
    *at += strspn(*at, " ");
    *code = *at;
    *length = strcspn(*at, " ");
    *at += *length;
    return *length > 0;
}

static bool mysql_code_fits(const char *code, size_t length, const dd_err *err) {
    if (code[0] == '=') return strlen(err->sqlstate) == length - 1 &&
                               memcmp(err->sqlstate, code + 1, length - 1) == 0;
    char *end;
    long first = strtol(code, &end, 10), last = first;
    if (*end == '-') last = strtol(end + 1, NULL, 10);
    return err->code >= first && err->code <= last;
}

static bool postgres_code_fits(const char *code, size_t length, const dd_err *err) {
    if (code[0] == '-') return err->sqlstate[0] == '\0';
    return strncmp(err->sqlstate, code, length) == 0;
}

/* A server may hand on what a person wrote, in any language; so plain bytes, ASCII case only. */
static bool text_fits(const char *pattern, const char *text) {
    while (*pattern) {
        size_t length = strcspn(pattern, "*");
        while (*text && strncasecmp(text, pattern, length) != 0) text++;
        if (strncasecmp(text, pattern, length) != 0) return false;
        text += length;
        pattern += length;
        pattern += *pattern == '*';
    }
    return true;
}

static bool rule_fits(const struct rule *rule, int driver, const dd_err *err) {
    if (rule->driver != driver) return false;
    const char *at = rule->codes, *code;
    size_t length;
    bool fits = false;
    while (!fits && next_code(&at, &code, &length))
        fits = code[0] == '*' || (driver == MYSQL ? mysql_code_fits(code, length, err)
                                                  : postgres_code_fits(code, length, err));
    return fits && (!rule->text || text_fits(rule->text, err->message));
}

/* The last row of each driver fits every error, so there always is one. */
static void classify(int driver, dd_err *err, dd_phase phase) {
    const struct rule *rule = rules;
    while (!rule_fits(rule, driver, err)) rule++;
    err->class_ = phase == DD_PHASE_COMMIT ? rule->at_commit : rule->class_;
    err->outcome = err->class_ == DD_AMBIGUOUS ? DD_OUTCOME_UNKNOWN : DD_NOT_APPLIED;
    /* The server's own hint, if it gave one, knows more about the case. */
    if (rule->hint && !err->hint[0]) dd_hint(err, "%s", rule->hint);
}

void dd_classify_mysql(dd_err *err, dd_phase phase) { classify(MYSQL, err, phase); }

void dd_classify_postgres(dd_err *err, dd_phase phase) { classify(POSTGRES, err, phase); }

/* ---- the rows as data ---- */

/* An error that has the code: the first of a range, any of a class of SQLSTATEs. */
static void example_of(int driver, const char *code, size_t length, dd_classification *out) {
    if (driver == MYSQL && code[0] == '=') {
        snprintf(out->sqlstate, sizeof out->sqlstate, "%.*s", (int)length - 1, code + 1);
    } else if (code[0] == '*') {
        if (driver == MYSQL) out->code = USHRT_MAX;
        else memcpy(out->sqlstate, "ZZ999", sizeof "ZZ999");
    } else if (driver == MYSQL) {
        out->code = (int)strtol(code, NULL, 10);
    } else if (code[0] != '-') {
        snprintf(out->sqlstate, sizeof out->sqlstate, "%.*s%s", (int)length, code,
                 length == 2 ? "999" : "");
    }
}

bool dd_classification_at(unsigned index, dd_classification *out) {
    for (const struct rule *rule = rules; rule < rules + RULES; rule++) {
        const char *at = rule->codes, *code;
        size_t length;
        while (next_code(&at, &code, &length)) {
            if (index-- > 0) continue;
            *out = (dd_classification){.driver = rule->driver == MYSQL ? "mysql" : "postgres",
                                       .text = rule->text ? rule->text : "",
                                       .class_ = rule->class_,
                                       .at_commit = rule->at_commit,
                                       .hint = rule->hint ? rule->hint : ""};
            example_of(rule->driver, code, length, out);
            return true;
        }
    }
    return false;
}

/* ---- the phase of a statement ---- */

/* Behind the block comment that starts at `at`, or NULL when it has no end. */
static const char *behind_comment(const char *at, bool nested) {
    unsigned depth = 0;
    while (*at) {
        if (at[0] == '/' && at[1] == '*' && (nested || depth == 0)) {
            depth++;
            at += 2;
        } else if (at[0] == '*' && at[1] == '/') {
            at += 2;
            if (--depth == 0) return at;
        } else {
            at++;
        }
    }
    return NULL;
}

/*
 * Where the first word is. The statement may be for either server: PostgreSQL nests comments, MySQL
 * does not and runs what is inside of slash-star-exclamation-mark. Where the two readings differ,
 * the one that leads to a statement is right, for the other is an unterminated comment.
 */
static const char *skip_blanks(const char *at) {
    for (;;) {
        if (isspace((unsigned char)*at) || *at == ';') {
            at++;
        } else if (*at == '#' || (at[0] == '-' && at[1] == '-')) {
            at += strcspn(at, "\n");
        } else if (at[0] == '/' && at[1] == '*') {
            const char *marked = at + 2 + (at[2] == 'M' && at[3] == '!');
            if (*marked == '!') {
                at = marked + 1 + strspn(marked + 1, "0123456789");
                continue;
            }
            const char *end = behind_comment(at, true);
            if (!end) end = behind_comment(at, false);
            if (!end) return at + strlen(at);
            at = end;
        } else if (at[0] == '*' && at[1] == '/') {
            at += 2; /* the end of a comment that MySQL runs */
        } else {
            return at;
        }
    }
}

/* Whether the statement goes on with `word`, which is in lower case; moves *at behind it if so. */
static bool take_word(const char **at, const char *word) {
    const char *here = skip_blanks(*at);
    if ((*here | ' ') != *word) return false; /* most often */
    size_t length = strlen(word);
    if (strncasecmp(here, word, length) != 0) return false;
    if (isalnum((unsigned char)here[length]) || here[length] == '_') return false;
    *at = here + length;
    return true;
}

dd_phase dd_phase_of(const char *sql) {
    const char *at = sql;
    bool commits = false;
    if (take_word(&at, "commit") || take_word(&at, "end")) commits = true;
    else if (take_word(&at, "prepare")) commits = take_word(&at, "transaction");
    else if (take_word(&at, "xa")) commits = take_word(&at, "prepare") || take_word(&at, "commit");
    return commits ? DD_PHASE_COMMIT : DD_PHASE_STATEMENT;
}

dd_block dd_block_after(const char *sql) {
    const char *at = sql;
    if (take_word(&at, "begin")) return DD_BLOCK_OPEN;
    if (take_word(&at, "start")) return take_word(&at, "transaction") ? DD_BLOCK_OPEN : DD_BLOCK_KEPT;
    if (take_word(&at, "prepare"))
        return take_word(&at, "transaction") ? DD_BLOCK_ENDED : DD_BLOCK_KEPT;
    if (!take_word(&at, "commit") && !take_word(&at, "end") && !take_word(&at, "rollback") &&
        !take_word(&at, "abort"))
        return DD_BLOCK_KEPT;
    if (take_word(&at, "prepared")) return DD_BLOCK_KEPT;
    if (!take_word(&at, "work")) (void)take_word(&at, "transaction");
    if (take_word(&at, "to")) return DD_BLOCK_OPEN;
    return take_word(&at, "and") && take_word(&at, "chain") ? DD_BLOCK_OPEN : DD_BLOCK_ENDED;
}

bool dd_first_word_is(const char *sql, const char *word) { return take_word(&sql, word); }
