#include "row/json_canonical.h"

#include <stdbool.h>
#include <stdlib.h>

#include "row/number.h"
#include "row/text.h"
#include "row/utf8.h"

/*
 * Two passes. The first checks the text and makes a flat list of nodes in the order of the text;
 * names and values stay where they are, unless a string has escapes. The second writes the nodes,
 * the members of each object sorted. So each byte is copied once however deep it lies, and the
 * whole costs n log n.
 */

#define DEPTH_LIMIT 512
#define PLAIN_EXPONENT 1000

typedef enum {
    NODE_VERBATIM,   /* text as it stands: literals and plain integers */
    NODE_NUMBER,     /* text that dd_number_write rewrites */
    NODE_PLAIN,      /* a string without escapes, in the text */
    NODE_STRING,     /* a string that had escapes, in `decoded` */
    NODE_ARRAY,
    NODE_OBJECT      /* its members follow, each a string node and a value */
} node_type;

typedef struct node {
    uint32_t offset;   /* into the text or `decoded`; strings without their quotes */
    uint32_t length;   /* bytes; of an array or object: members */
    uint32_t end;      /* index of the node after this one and all that is in it */
    uint32_t type;     /* node_type */
} node;

typedef struct member {
    const uint8_t *name;
    uint32_t length;
    uint32_t index;    /* node of the name */
} member;

typedef struct parser {
    const char *text;
    size_t length;
    size_t at;
    unsigned depth;
    dd_buf nodes;      /* node[] */
    dd_buf decoded;    /* strings that had escapes */
    dd_buf members;    /* member[], a stack while objects are written */
    dd_err *err;
} parser;

static dd_status refuse(parser *p, const char *why) {
    return dd_fail(p->err, DD_DATA, "text is not json: %s at byte %zu", why, p->at + 1);
}

/* ---- first pass ---- */

static uint32_t node_count(const parser *p) { return (uint32_t)(p->nodes.length / sizeof(node)); }

static node *node_at(const parser *p, uint32_t index) {
    return (node *)(void *)p->nodes.data + index;
}

static void add_node(parser *p, node_type type, size_t offset, size_t length) {
    node *n = (node *)(void *)dd_buf_reserve(&p->nodes, sizeof(node));
    *n = (node){.offset = (uint32_t)offset, .length = (uint32_t)length,
                .end = node_count(p) + 1, .type = type};
    p->nodes.length += sizeof(node);
}

static int peek(const parser *p) {
    return p->at < p->length ? (unsigned char)p->text[p->at] : -1;
}

static int peek_after_blanks(parser *p) {
    while (p->at < p->length) {
        char c = p->text[p->at];
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return (unsigned char)c;
        p->at++;
    }
    return -1;
}

static bool hex_code(const parser *p, size_t at, uint32_t *code) {
    if (p->length - at < 4) return false;
    uint32_t value = 0;
    for (size_t i = at; i < at + 4; i++) {
        unsigned char c = (unsigned char)p->text[i], lower = c | 32;
        if (c >= '0' && c <= '9') value = value << 4 | (uint32_t)(c - '0');
        else if (lower >= 'a' && lower <= 'f') value = value << 4 | (uint32_t)(lower - 'a' + 10);
        else return false;
    }
    *code = value;
    return true;
}

/* The escape at p->at, which is behind the backslash. */
static dd_status decode_escape(parser *p) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int c = peek(p);
    const char *simple = c > 0 ? strchr(from, c) : NULL;
    if (simple) {
        dd_buf_add_byte(&p->decoded, (uint8_t)to[simple - from]);
        p->at++;
        return DD_OK;
    }
    uint32_t code, low;
    if (c != 'u' || !hex_code(p, p->at + 1, &code)) return refuse(p, "unknown escape");
    if (code >= 0xDC00 && code <= 0xDFFF) return refuse(p, "unpaired surrogate");
    size_t used = 5;
    if (code >= 0xD800 && code <= 0xDBFF) {
        if (p->length - p->at < 11 || p->text[p->at + 5] != '\\' || p->text[p->at + 6] != 'u' ||
            !hex_code(p, p->at + 7, &low) || low < 0xDC00 || low > 0xDFFF)
            return refuse(p, "unpaired surrogate");
        code = 0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00));
        used = 11;
    }
    uint8_t *to_bytes = dd_buf_reserve(&p->decoded, 4);
    p->decoded.length += dd_utf8_put(code, to_bytes);
    p->at += used;
    return DD_OK;
}

/* Moves p->at over characters that stand for themselves. */
static dd_status skip_plain(parser *p) {
    const uint8_t *text = (const uint8_t *)p->text;
    while (p->at < p->length) {
        uint8_t c = text[p->at];
        if (c == '"' || c == '\\') return DD_OK;
        if (c < 0x20) return refuse(p, "control character in a string");
        unsigned count = c < 0x80 ? 1 : dd_utf8_length(text + p->at, p->length - p->at);
        if (count == 0) return refuse(p, "invalid UTF-8");
        p->at += count;
    }
    return refuse(p, "string without end");
}

/* The string whose opening quote is at p->at. */
static dd_status parse_string(parser *p) {
    size_t start = ++p->at;
    if (skip_plain(p) != DD_OK) return DD_FAIL;
    if (p->text[p->at] == '"') {
        add_node(p, NODE_PLAIN, start, p->at - start);
        p->at++;
        return DD_OK;
    }
    size_t decoded = p->decoded.length;
    dd_buf_add(&p->decoded, p->text + start, p->at - start);
    while (p->text[p->at] == '\\') {
        p->at++;
        if (decode_escape(p) != DD_OK) return DD_FAIL;
        start = p->at;
        if (skip_plain(p) != DD_OK) return DD_FAIL;
        dd_buf_add(&p->decoded, p->text + start, p->at - start);
    }
    p->at++;
    add_node(p, NODE_STRING, decoded, p->decoded.length - decoded);
    return DD_OK;
}

/* Of the text or of the canonical text, so that what is canonical is never refused. */
static bool exponent_is_beyond(const dd_number *number) {
    return llabs(number->exponent) >= DD_EXPONENT_SATURATED ||
           llabs(dd_number_exponent(number)) >= DD_EXPONENT_SATURATED;
}

static dd_status parse_number(parser *p) {
    dd_number number;
    size_t used = dd_number_scan(p->text + p->at, p->length - p->at, true, &number);
    if (used == 0) return refuse(p, "unexpected character");
    bool plain = used == number.whole_length + number.negative &&
                 number.whole_length <= PLAIN_EXPONENT + 1 &&
                 !(number.negative && number.whole[0] == '0');
    if (!plain && !dd_number_is_zero(&number) && exponent_is_beyond(&number))
        return dd_fail(p->err, DD_DATA, "json number with an exponent beyond 10^15");
    add_node(p, plain ? NODE_VERBATIM : NODE_NUMBER, p->at, used);
    p->at += used;
    return DD_OK;
}

static dd_status parse_literal(parser *p, const char *word) {
    size_t length = strlen(word);
    if (p->length - p->at < length || memcmp(p->text + p->at, word, length) != 0)
        return refuse(p, "unexpected character");
    add_node(p, NODE_VERBATIM, p->at, length);
    p->at += length;
    return DD_OK;
}

static dd_status parse_value(parser *p);

static dd_status parse_container(parser *p, node_type type, int close) {
    if (p->depth == DEPTH_LIMIT) return refuse(p, "nesting deeper than 512");
    p->depth++;
    p->at++;
    uint32_t self = node_count(p), members = 0;
    add_node(p, type, 0, 0);
    int c = peek_after_blanks(p);
    while (c != close) {
        if (members > 0) {
            if (c != ',') return refuse(p, c < 0 ? "unexpected end" : "unexpected character");
            p->at++;
            c = peek_after_blanks(p);
        }
        if (type == NODE_OBJECT) {
            if (c != '"') return refuse(p, c < 0 ? "unexpected end" : "unexpected character");
            if (parse_string(p) != DD_OK) return DD_FAIL;
            if (peek_after_blanks(p) != ':') return refuse(p, "member without a colon");
            p->at++;
        }
        if (parse_value(p) != DD_OK) return DD_FAIL;
        members++;
        c = peek_after_blanks(p);
    }
    p->at++;
    p->depth--;
    node *n = node_at(p, self);
    n->length = members;
    n->end = node_count(p);
    return DD_OK;
}

static dd_status parse_value(parser *p) {
    switch (peek_after_blanks(p)) {
    case '{': return parse_container(p, NODE_OBJECT, '}');
    case '[': return parse_container(p, NODE_ARRAY, ']');
    case '"': return parse_string(p);
    case 't': return parse_literal(p, "true");
    case 'f': return parse_literal(p, "false");
    case 'n': return parse_literal(p, "null");
    case -1: return refuse(p, "unexpected end");
    default: return parse_number(p);
    }
}

/* ---- second pass ---- */

static int compare_names(const member *a, const member *b) {
    uint32_t common = a->length < b->length ? a->length : b->length;
    int order = common ? memcmp(a->name, b->name, common) : 0;
    if (order != 0) return order;
    return (a->length > b->length) - (a->length < b->length);
}

/* Of equal names the last one in the text sorts last. */
static int compare_members(const void *a_, const void *b_) {
    const member *a = a_, *b = b_;
    int order = compare_names(a, b);
    return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

static member *member_at(const parser *p, size_t base, uint32_t i) {
    return (member *)(void *)(p->members.data + base) + i;
}

/* Pushes the members of an object, sorted, of each name the last; returns how many are left. */
static uint32_t push_members(parser *p, uint32_t object) {
    uint32_t count = node_at(p, object)->length;
    if (count == 0) return 0;
    member *list = (member *)(void *)dd_buf_reserve(&p->members, count * sizeof(member));
    bool sorted = true;
    uint32_t index = object + 1;
    for (uint32_t i = 0; i < count; i++) {
        const node *name = node_at(p, index);
        const uint8_t *bytes =
            name->type == NODE_STRING ? p->decoded.data : (const uint8_t *)p->text;
        list[i] = (member){.name = name->length ? bytes + name->offset : NULL,
                           .length = name->length, .index = index};
        if (i > 0 && compare_names(&list[i - 1], &list[i]) >= 0) sorted = false;
        index = node_at(p, index + 1)->end;
    }
    if (!sorted) {
        qsort(list, count, sizeof(member), compare_members);
        uint32_t kept = 0;
        for (uint32_t i = 0; i < count; i++)
            if (i + 1 == count || compare_names(&list[i], &list[i + 1]) != 0)
                list[kept++] = list[i];
        count = kept;
    }
    p->members.length += count * sizeof(member);
    return count;
}

static void write_node(parser *p, uint32_t index, dd_buf *out) {
    const node *n = node_at(p, index);
    switch ((node_type)n->type) {
    case NODE_VERBATIM: dd_buf_add(out, p->text + n->offset, n->length); return;
    case NODE_PLAIN: /* with the quotes around it */
        dd_buf_add(out, p->text + n->offset - 1, (size_t)n->length + 2);
        return;
    case NODE_NUMBER: {
        dd_number number;
        dd_number_scan(p->text + n->offset, n->length, true, &number);
        dd_number_write(&number, PLAIN_EXPONENT, out);
        return;
    }
    case NODE_STRING:
        dd_json_string((const char *)p->decoded.data + n->offset, n->length, out);
        return;
    case NODE_ARRAY:
        dd_buf_add_byte(out, '[');
        for (uint32_t i = index + 1; i < n->end; i = node_at(p, i)->end) {
            if (i > index + 1) dd_buf_add_byte(out, ',');
            write_node(p, i, out);
        }
        dd_buf_add_byte(out, ']');
        return;
    case NODE_OBJECT: {
        size_t base = p->members.length;
        uint32_t count = push_members(p, index);
        dd_buf_add_byte(out, '{');
        for (uint32_t i = 0; i < count; i++) {
            if (i > 0) dd_buf_add_byte(out, ',');
            uint32_t name = member_at(p, base, i)->index;
            write_node(p, name, out);
            dd_buf_add_byte(out, ':');
            write_node(p, name + 1, out);
        }
        dd_buf_add_byte(out, '}');
        p->members.length = base;
        return;
    }
    }
}

dd_status dd_json_canonical(const char *text, size_t length, dd_buf *out, dd_err *err) {
    parser p = {.text = text, .length = length, .err = err};
    if (length >= UINT32_MAX)
        return dd_fail(err, DD_DATA, "json of %zu bytes is longer than 4 GiB", length);
    /* Enough for a small document at once, whatever the large one needs later. */
    dd_buf_reserve(&p.nodes, sizeof(node) * (length < 1024 ? length / 8 + 4 : 132));
    dd_status status = parse_value(&p);
    if (status == DD_OK && peek_after_blanks(&p) >= 0)
        status = refuse(&p, "unexpected character after the value");
    if (status == DD_OK) {
        dd_buf_reserve(out, length);
        write_node(&p, 0, out);
    }
    dd_buf_free(&p.nodes);
    dd_buf_free(&p.decoded);
    dd_buf_free(&p.members);
    return status;
}

/* ---- the members of one object ---- */

static dd_status walk_members(parser *p, dd_json_member_fn *found_one, void *context) {
    if (peek_after_blanks(p) != '{') return refuse(p, "no object");
    p->at++;
    p->depth++;
    int c = peek_after_blanks(p);
    for (bool first = true; c != '}'; first = false) {
        if (!first) {
            if (c != ',') return refuse(p, c < 0 ? "unexpected end" : "unexpected character");
            p->at++;
            c = peek_after_blanks(p);
        }
        if (c != '"') return refuse(p, c < 0 ? "unexpected end" : "unexpected character");
        p->nodes.length = p->decoded.length = 0;
        if (parse_string(p) != DD_OK) return DD_FAIL;
        const node name = *node_at(p, 0);
        dd_json_member found = {.name_length = name.length};
        if (peek_after_blanks(p) != ':') return refuse(p, "member without a colon");
        p->at++;
        (void)peek_after_blanks(p);
        const size_t start = p->at;
        if (parse_value(p) != DD_OK) return DD_FAIL;
        /* A value may have moved what is decoded. */
        found.name = name.type == NODE_STRING ? (const char *)p->decoded.data : p->text;
        if (name.length) found.name += name.offset;
        found.value = p->text + start;
        found.value_length = p->at - start;
        found_one(context, &found);
        c = peek_after_blanks(p);
    }
    p->at++;
    if (peek_after_blanks(p) >= 0) return refuse(p, "unexpected character after the value");
    return DD_OK;
}

dd_status dd_json_members(const char *text, size_t length, dd_json_member_fn *found_one,
                          void *context, dd_err *err) {
    parser p = {.text = text, .length = length, .err = err};
    if (length >= UINT32_MAX)
        return dd_fail(err, DD_DATA, "json of %zu bytes is longer than 4 GiB", length);
    dd_status status = walk_members(&p, found_one, context);
    dd_buf_free(&p.nodes);
    dd_buf_free(&p.decoded);
    return status;
}

dd_status dd_json_unquote(const char *text, size_t length, dd_buf *out, dd_err *err) {
    parser p = {.text = text, .length = length, .err = err};
    if (length >= UINT32_MAX)
        return dd_fail(err, DD_DATA, "json of %zu bytes is longer than 4 GiB", length);
    dd_status status = peek(&p) == '"' ? parse_string(&p) : refuse(&p, "no string");
    if (status == DD_OK && p.at != length)
        status = refuse(&p, "unexpected character after the value");
    if (status == DD_OK) {
        const node *n = node_at(&p, 0);
        const char *bytes = n->type == NODE_STRING ? (const char *)p.decoded.data : text;
        if (n->length) dd_buf_add(out, bytes + n->offset, n->length);
    }
    dd_buf_free(&p.nodes);
    dd_buf_free(&p.decoded);
    return status;
}
