#include "support/proxy_wire.h"

#include <stdio.h>
#include <stdlib.h>

/* A prepared statement: MySQL knows it by its number, PostgreSQL by its name. */
typedef struct known {
    struct known *next;
    char *name, *text;
} known;

enum { SYNC = 0 }; /* among what is unanswered: a Sync, which ReadyForQuery answers */

struct dd_wire {
    dd_wire_kind kind;
    bool greeted;          /* PostgreSQL: the startup packet has passed; MySQL: the greeting */
    uint64_t statements;
    known *prepared;
    char *running;         /* text of the last statement */
    char *preparing;       /* MySQL: text that has no number yet */
    uint64_t current;      /* MySQL: the statement whose answer has not begun */
    char *bound;           /* PostgreSQL: text of the unnamed portal */
    dd_buf unanswered;     /* PostgreSQL: of uint64_t, statements and Syncs in order */
    size_t answered;       /* bytes of it that are */
};

dd_wire *dd_wire_new(dd_wire_kind kind) {
    dd_wire *wire = dd_calloc(1, sizeof *wire);
    wire->kind = kind;
    return wire;
}

void dd_wire_free(dd_wire *wire) {
    while (wire->prepared) {
        known *next = wire->prepared->next;
        free(wire->prepared->name);
        free(wire->prepared->text);
        free(wire->prepared);
        wire->prepared = next;
    }
    free(wire->running);
    free(wire->preparing);
    free(wire->bound);
    dd_buf_free(&wire->unanswered);
    free(wire);
}

static char *copy(const uint8_t *data, size_t length) {
    char *text = dd_alloc(length + 1);
    memcpy(text, data, length);
    text[length] = '\0';
    return text;
}

static void replace(char **text, char *with) {
    free(*text);
    *text = with;
}

static void remember(dd_wire *wire, const char *name, const char *text) {
    known *at = wire->prepared;
    while (at && strcmp(at->name, name) != 0) at = at->next;
    if (!at) {
        at = dd_calloc(1, sizeof *at);
        at->name = dd_strdup(name);
        at->next = wire->prepared;
        wire->prepared = at;
    }
    replace(&at->text, dd_strdup(text));
}

static const char *recall(const dd_wire *wire, const char *name) {
    for (const known *at = wire->prepared; at; at = at->next)
        if (strcmp(at->name, name) == 0) return at->text;
    return "";
}

static void runs(dd_wire *wire, char *text, dd_wire_message *message) {
    replace(&wire->running, text);
    message->text = wire->running;
    message->statement = ++wire->statements;
}

/* ---- MySQL ---- */

enum {
    HEADER = 4,
    COM_QUERY = 0x03, COM_STMT_PREPARE = 0x16, COM_STMT_EXECUTE = 0x17, COM_STMT_BULK = 0xfa,
    CLIENT_SSL_LOW = 0x08 /* in the second byte of the capabilities */
};

static uint32_t little(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void number_name(char name[16], uint32_t number) {
    snprintf(name, 16, "%u", number);
}

static dd_wire_message mysql_request(dd_wire *wire, const uint8_t *data, size_t length) {
    dd_wire_message message = {0};
    if (length < HEADER) return message;
    const size_t body = little(data) & 0xffffff;
    if (length < HEADER + body) return message;
    message.length = HEADER + body;
    if (data[3] != 0 || body == 0) return message; /* logging in, or the rest of a long one */
    const uint8_t *at = data + HEADER + 1;
    const size_t left = body - 1;
    switch (data[HEADER]) {
    case COM_QUERY: {
        /* A client that sends attributes of queries has their two numbers first: none. */
        const size_t skip = left > 2 && at[0] == 0 && at[1] == 1 ? 2 : 0;
        runs(wire, copy(at + skip, left - skip), &message);
        wire->current = message.statement;
        break;
    }
    case COM_STMT_PREPARE: replace(&wire->preparing, copy(at, left)); break;
    case COM_STMT_EXECUTE:
    case COM_STMT_BULK:
        if (left >= 4) {
            char name[16];
            number_name(name, little(at));
            /* MariaDB's clients say -1 for the statement that was just prepared. */
            const bool last = little(at) == UINT32_MAX;
            if (last && wire->preparing)
                runs(wire, dd_strdup(wire->preparing), &message);
            else
                runs(wire, dd_strdup(recall(wire, last ? "last" : name)), &message);
            wire->current = message.statement;
        }
        break;
    default: break;
    }
    return message;
}

/* The greeting: a version number, the server's name, the session, part of a salt, capabilities. */
static void take_out_encryption(uint8_t *data, size_t length) {
    const uint8_t *end = memchr(data + HEADER + 1, 0, length - HEADER - 1);
    if (!end) return;
    const size_t capabilities = (size_t)(end - data) + 1 + 4 + 8 + 1;
    if (capabilities + 1 < length) data[capabilities + 1] &= (uint8_t)~CLIENT_SSL_LOW;
}

static dd_wire_message mysql_answer(dd_wire *wire, uint8_t *data, size_t length) {
    dd_wire_message message = {0};
    if (length < HEADER) return message;
    const size_t body = little(data) & 0xffffff;
    if (length < HEADER + body) return message;
    message.length = HEADER + body;
    if (!wire->greeted) {
        wire->greeted = true;
        if (body > 1) take_out_encryption(data, message.length);
    }
    if (wire->preparing && body >= 5 && data[HEADER] == 0) {
        char name[16];
        number_name(name, little(data + HEADER + 1));
        remember(wire, name, wire->preparing);
        remember(wire, "last", wire->preparing);
    }
    if (data[3] != 0) replace(&wire->preparing, NULL);
    message.statement = wire->current;
    wire->current = 0;
    return message;
}

/* ---- PostgreSQL ---- */

enum { SSL_REQUEST = 80877103, GSS_REQUEST = 80877104 };

static void expect(dd_wire *wire, uint64_t statement) {
    dd_buf_add(&wire->unanswered, &statement, sizeof statement);
}

static bool unanswered(const dd_wire *wire, uint64_t *first) {
    if (wire->answered == wire->unanswered.length) return false;
    memcpy(first, wire->unanswered.data + wire->answered, sizeof *first);
    return true;
}

static void answer(dd_wire *wire) {
    wire->answered += sizeof(uint64_t);
    if (wire->answered < wire->unanswered.length) return;
    dd_buf_clear(&wire->unanswered);
    wire->answered = 0;
}

static dd_wire_message startup(dd_wire *wire, const uint8_t *data, size_t length) {
    dd_wire_message message = {0};
    if (length < 8 || length < dd_get_u32(data)) return message;
    message.length = dd_get_u32(data);
    const uint32_t code = dd_get_u32(data + 4);
    if (code == SSL_REQUEST || code == GSS_REQUEST) message.reply = 'N';
    else wire->greeted = true;
    return message;
}

static dd_wire_message postgres_request(dd_wire *wire, const uint8_t *data, size_t length) {
    dd_wire_message message = {0};
    if (!wire->greeted) return startup(wire, data, length);
    if (length < 5 || length < 1 + (size_t)dd_get_u32(data + 1)) return message;
    message.length = 1 + dd_get_u32(data + 1);
    const char *first = (const char *)data + 5;
    const size_t left = message.length - 5;
    const size_t first_length = left ? strnlen(first, left) : 0;
    const char *second = first + first_length + 1;
    switch (data[0]) {
    case 'Q':
        runs(wire, copy(data + 5, first_length), &message);
        expect(wire, message.statement);
        expect(wire, SYNC);
        break;
    case 'P': remember(wire, first, second); break;
    case 'B': replace(&wire->bound, dd_strdup(recall(wire, second))); break;
    case 'E':
        runs(wire, dd_strdup(wire->bound ? wire->bound : ""), &message);
        expect(wire, message.statement);
        break;
    case 'S': expect(wire, SYNC); break;
    default: break;
    }
    return message;
}

static dd_wire_message postgres_answer(dd_wire *wire, const uint8_t *data, size_t length) {
    dd_wire_message message = {0};
    uint64_t first;
    if (length < 5 || length < 1 + (size_t)dd_get_u32(data + 1)) return message;
    message.length = 1 + dd_get_u32(data + 1);
    switch (data[0]) {
    case 'C': /* CommandComplete */
    case 'I': /* EmptyQueryResponse */
    case 's': /* PortalSuspended */
        if (unanswered(wire, &first) && first != SYNC) {
            message.statement = first;
            answer(wire);
        }
        break;
    case 'E': /* ErrorResponse: what follows is skipped up to the Sync */
        if (unanswered(wire, &first)) message.statement = first;
        while (unanswered(wire, &first) && first != SYNC) answer(wire);
        break;
    case 'Z':
        while (unanswered(wire, &first)) {
            answer(wire);
            if (first == SYNC) break;
        }
        break;
    default: break;
    }
    return message;
}

dd_wire_message dd_wire_request(dd_wire *wire, const uint8_t *data, size_t length) {
    return wire->kind == DD_WIRE_MYSQL ? mysql_request(wire, data, length)
                                       : postgres_request(wire, data, length);
}

dd_wire_message dd_wire_answer(dd_wire *wire, uint8_t *data, size_t length) {
    return wire->kind == DD_WIRE_MYSQL ? mysql_answer(wire, data, length)
                                       : postgres_answer(wire, data, length);
}
