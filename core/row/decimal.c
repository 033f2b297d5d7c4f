#include "row/decimal.h"

#include <strings.h>

#include "row/number.h"

#define EXPONENT_LIMIT 100000

/* numeric.c of PostgreSQL */
#define PG_NEGATIVE 0x4000
#define PG_NAN 0xC000
#define PG_INFINITY 0xD000
#define PG_MINUS_INFINITY 0xF000
#define PG_DSCALE_LIMIT 0x3FFF
#define PG_WEIGHT_LIMIT 32767

static const char nan_text[] = "NaN";
static const char infinity_text[] = "Infinity";

static bool is_word(const char *text, size_t length, const char *word) {
    return length == strlen(word) && strncasecmp(text, word, length) == 0;
}

/* Text as servers write it is canonical but for zeros at its end. */
static bool add_plain(const char *text, size_t length, dd_buf *out) {
    const size_t first = length > 0 && text[0] == '-' ? 1 : 0;
    size_t at = first;
    while (at < length && text[at] >= '0' && text[at] <= '9') at++;
    if (at == first || (text[first] == '0' && at - first > 1)) return false;
    size_t end = at; /* behind the last digit that counts */
    if (at < length && text[at++] != '.') return false;
    for (; at < length; at++) {
        if (text[at] < '0' || text[at] > '9') return false;
        if (text[at] != '0') end = at + 1;
    }
    if (end == 2 && text[0] == '-' && text[1] == '0') return false;
    dd_buf_add(out, text, end);
    return true;
}

dd_status dd_decimal_canonical(const char *text, size_t length, dd_buf *out, dd_err *err) {
    dd_number number;
    if (add_plain(text, length, out)) return DD_OK;
    if (length > 0 && dd_number_scan(text, length, false, &number) == length) {
        if (number.exponent > EXPONENT_LIMIT || number.exponent < -EXPONENT_LIMIT)
            return dd_fail(err, DD_DATA, "exponent of a decimal beyond %d", EXPONENT_LIMIT);
        dd_number_write(&number, INT64_MAX, out);
        return DD_OK;
    }
    if (is_word(text, length, nan_text)) {
        dd_buf_add_text(out, nan_text);
        return DD_OK;
    }
    bool negative = length > 0 && text[0] == '-';
    size_t sign = negative || (length > 0 && text[0] == '+') ? 1 : 0;
    if (length > sign && is_word(text + sign, length - sign, infinity_text)) {
        if (negative) dd_buf_add_byte(out, '-');
        dd_buf_add_text(out, infinity_text);
        return DD_OK;
    }
    return dd_fail(err, DD_DATA, "text is not a decimal");
}

static int sign_of(int64_t v) { return (v > 0) - (v < 0); }

/* -Infinity 0, numbers 1, Infinity 2, NaN 3 */
static int order_class(const uint8_t *text, size_t length) {
    if (length > 0 && text[0] == 'N') return 3;
    if (length > 0 && text[0] == 'I') return 2;
    return length > 1 && text[0] == '-' && text[1] == 'I' ? 0 : 1;
}

static size_t whole_digits(const uint8_t *text, size_t length) {
    const uint8_t *point = length ? memchr(text, '.', length) : NULL;
    return point ? (size_t)(point - text) : length;
}

/* Canonical text has no leading zeros, so the longer whole part is the larger one. */
static int compare_magnitude(const uint8_t *a, size_t a_length, const uint8_t *b,
                             size_t b_length) {
    size_t a_whole = whole_digits(a, a_length), b_whole = whole_digits(b, b_length);
    if (a_whole != b_whole) return a_whole < b_whole ? -1 : 1;
    size_t common = a_length < b_length ? a_length : b_length;
    int order = common ? memcmp(a, b, common) : 0;
    if (order != 0) return sign_of(order);
    return (a_length > b_length) - (a_length < b_length);
}

int dd_decimal_compare(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length) {
    int a_class = order_class(a, a_length), b_class = order_class(b, b_length);
    if (a_class != b_class) return a_class < b_class ? -1 : 1;
    if (a_class != 1) return 0;
    bool a_negative = a_length > 0 && a[0] == '-', b_negative = b_length > 0 && b[0] == '-';
    if (a_negative != b_negative) return a_negative ? -1 : 1;
    if (a_negative) return compare_magnitude(b + 1, b_length - 1, a + 1, a_length - 1);
    return compare_magnitude(a, a_length, b, b_length);
}

/* ---- PostgreSQL's binary numeric ---- */

static uint8_t *put_group(uint8_t *at, unsigned group) {
    at[0] = (uint8_t)('0' + group / 1000);
    at[1] = (uint8_t)('0' + group / 100 % 10);
    at[2] = (uint8_t)('0' + group / 10 % 10);
    at[3] = (uint8_t)('0' + group % 10);
    return at + 4;
}

static uint8_t *put_group_short(uint8_t *at, unsigned group) {
    if (group >= 1000) return put_group(at, group);
    if (group >= 100) *at++ = (uint8_t)('0' + group / 100);
    if (group >= 10) *at++ = (uint8_t)('0' + group / 10 % 10);
    *at++ = (uint8_t)('0' + group % 10);
    return at;
}

static unsigned group_at(const uint8_t *groups, int i) {
    return dd_get_u16(groups + 2 * (size_t)i);
}

dd_status dd_decimal_from_pg(const uint8_t *wire, size_t length, dd_buf *out, dd_err *err) {
    if (length < 8) return dd_fail(err, DD_INTERNAL, "numeric of %zu bytes", length);
    int count = dd_get_u16(wire), weight = (int16_t)dd_get_u16(wire + 2);
    unsigned sign = dd_get_u16(wire + 4);
    const uint8_t *groups = wire + 8;
    if (length != 8 + 2 * (size_t)count)
        return dd_fail(err, DD_INTERNAL, "numeric of %zu bytes with %d digits", length, count);
    if (sign == PG_NAN || sign == PG_INFINITY || sign == PG_MINUS_INFINITY) {
        if (sign == PG_MINUS_INFINITY) dd_buf_add_byte(out, '-');
        dd_buf_add_text(out, sign == PG_NAN ? nan_text : infinity_text);
        return DD_OK;
    }
    if (sign != 0 && sign != PG_NEGATIVE)
        return dd_fail(err, DD_INTERNAL, "numeric with sign 0x%04x", sign);
    for (int i = 0; i < count; i++)
        if (group_at(groups, i) > 9999)
            return dd_fail(err, DD_INTERNAL, "numeric with digit %u", group_at(groups, i));

    for (; count > 0 && group_at(groups, 0) == 0; count--, weight--) groups += 2;
    while (count > 0 && group_at(groups, count - 1) == 0) count--;
    if (count == 0) {
        dd_buf_add_byte(out, '0');
        return DD_OK;
    }
    /* Groups before the point, zeros between the point and the first group, groups after it. */
    size_t whole = weight >= 0 ? (size_t)weight + 1 : 0;
    size_t gap = weight < -1 ? (size_t)(-1 - weight) : 0;
    uint8_t *start = dd_buf_reserve(out, 4 * (whole + gap + (size_t)count) + 4), *at = start;
    if (sign == PG_NEGATIVE) *at++ = '-';
    int i = 0;
    if (whole == 0) {
        *at++ = '0';
    } else {
        at = put_group_short(at, group_at(groups, i++));
        for (; (size_t)i < whole && i < count; i++) at = put_group(at, group_at(groups, i));
        size_t zeros = 4 * (whole - (size_t)i);
        memset(at, '0', zeros);
        at += zeros;
    }
    if (i < count) {
        *at++ = '.';
        memset(at, '0', 4 * gap);
        at += 4 * gap;
        for (; i < count; i++) at = put_group(at, group_at(groups, i));
        while (at[-1] == '0') at--;
    }
    out->length += (size_t)(at - start);
    return DD_OK;
}

/* Four digits from text[from], digits outside of the text being zeros. */
static unsigned text_group(const char *text, size_t length, size_t from) {
    unsigned group = 0;
    for (size_t i = from; i < from + 4; i++)
        group = group * 10 + (i < length ? (unsigned)(text[i] - '0') : 0);
    return group;
}

static dd_status put_special(unsigned sign, dd_buf *out) {
    uint8_t *at = dd_buf_reserve(out, 8);
    memset(at, 0, 8);
    dd_put_u16(at + 4, (uint16_t)sign);
    out->length += 8;
    return DD_OK;
}

/* The header and the groups but for zeros at either end; `weight` is that of the first group. */
static void put_groups(const unsigned *groups, unsigned count, int weight, bool negative,
                       unsigned scale, dd_buf *out) {
    for (; count > 0 && groups[0] == 0; count--, weight--) groups++;
    while (count > 0 && groups[count - 1] == 0) count--;
    uint8_t *at = dd_buf_reserve(out, 8 + 2 * (size_t)count);
    dd_put_u16(at, (uint16_t)count);
    dd_put_u16(at + 2, (uint16_t)(count ? weight : 0));
    dd_put_u16(at + 4, negative && count ? PG_NEGATIVE : 0);
    dd_put_u16(at + 6, (uint16_t)scale);
    for (unsigned i = 0; i < count; i++) dd_put_u16(at + 8 + 2 * (size_t)i, (uint16_t)groups[i]);
    out->length += 8 + 2 * (size_t)count;
}

/* Digits from text[*at] on; returns their number, and their value as far as it is used. */
static unsigned take_digits(const uint8_t *text, size_t length, size_t *at, uint64_t *value) {
    const size_t start = *at;
    for (; *at < length && text[*at] >= '0' && text[*at] <= '9'; ++*at)
        *value = *value * 10 + (uint64_t)(text[*at] - '0');
    return (unsigned)(*at - start);
}

/* Nearly all decimals are short: their digits fit into two integers. */
static bool put_short(const uint8_t *text, size_t length, dd_buf *out) {
    enum { MOST_WHOLE = 16, MOST_FRACTION = 8 };
    if (length > MOST_WHOLE + MOST_FRACTION) return false;
    const bool negative = length > 0 && text[0] == '-';
    size_t at = negative ? 1 : 0;
    uint64_t whole = 0, fraction = 0;
    unsigned digits = take_digits(text, length, &at, &whole), scale = 0;
    if (digits == 0 || digits > MOST_WHOLE) return false;
    if (at < length && text[at++] == '.') {
        scale = take_digits(text, length, &at, &fraction);
        if (scale == 0 || scale > MOST_FRACTION) return false;
    }
    if (at != length) return false;
    for (unsigned i = scale; i < MOST_FRACTION; i++) fraction *= 10;
    const unsigned groups[6] = {
        (unsigned)(whole / 1000000000000), (unsigned)(whole / 100000000 % 10000),
        (unsigned)(whole / 10000 % 10000), (unsigned)(whole % 10000),
        (unsigned)(fraction / 10000),      (unsigned)(fraction % 10000),
    };
    put_groups(groups, 6, 3, negative, scale, out);
    return true;
}

dd_status dd_decimal_to_pg(const uint8_t *text, size_t length, dd_buf *out, dd_err *err) {
    const char *digits = (const char *)text;
    if (put_short(text, length, out)) return DD_OK;
    if (is_word(digits, length, nan_text)) return put_special(PG_NAN, out);
    if (is_word(digits, length, infinity_text)) return put_special(PG_INFINITY, out);
    if (length > 0 && digits[0] == '-' && is_word(digits + 1, length - 1, infinity_text))
        return put_special(PG_MINUS_INFINITY, out);

    dd_number number;
    if (length == 0 || dd_number_scan(digits, length, false, &number) != length ||
        number.exponent != 0)
        return dd_fail(err, DD_INTERNAL, "decimal is not in canonical form");
    while (number.whole_length > 0 && *number.whole == '0') number.whole++, number.whole_length--;

    size_t whole_groups = (number.whole_length + 3) / 4;
    size_t fraction_groups = (number.fraction_length + 3) / 4;
    if (number.fraction_length > PG_DSCALE_LIMIT || whole_groups > PG_WEIGHT_LIMIT + 1)
        return dd_fail(err, DD_DATA, "decimal out of range for numeric");

    uint8_t *header = dd_buf_reserve(out, 8 + 2 * (whole_groups + fraction_groups));
    uint8_t *first = header + 8, *at = first;
    int weight = (int)whole_groups - 1;
    size_t lead = number.whole_length % 4;
    if (lead) {
        unsigned group = 0;
        for (size_t i = 0; i < lead; i++) group = group * 10 + (unsigned)(number.whole[i] - '0');
        dd_put_u16(at, (uint16_t)group);
        at += 2;
    }
    for (size_t i = lead; i < number.whole_length; i += 4, at += 2)
        dd_put_u16(at, (uint16_t)text_group(number.whole, number.whole_length, i));
    for (size_t i = 0; i < number.fraction_length; i += 4) {
        unsigned group = text_group(number.fraction, number.fraction_length, i);
        /* Zero groups before the first other one only move the weight. */
        if (group == 0 && at == first) {
            weight--;
            continue;
        }
        dd_put_u16(at, (uint16_t)group);
        at += 2;
    }
    while (at > first && at[-1] == 0 && at[-2] == 0) at -= 2;
    size_t count = (size_t)(at - first) / 2;
    if (count == 0) weight = 0;
    dd_put_u16(header, (uint16_t)count);
    dd_put_u16(header + 2, (uint16_t)weight);
    dd_put_u16(header + 4, number.negative && count > 0 ? PG_NEGATIVE : 0);
    dd_put_u16(header + 6, (uint16_t)number.fraction_length);
    out->length += 8 + 2 * count;
    return DD_OK;
}
