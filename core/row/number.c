#include "row/number.h"

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static size_t digits_at(const char *text, size_t at, size_t length) {
    size_t end = at;
    while (end < length && is_digit(text[end])) end++;
    return end - at;
}

/* Bytes of an exponent at text[at], or 0 when there is none. */
static size_t scan_exponent(const char *text, size_t at, size_t length, int64_t *exponent) {
    size_t start = at;
    if (at >= length || (text[at] != 'e' && text[at] != 'E')) return 0;
    at++;
    bool negative = false;
    if (at < length && (text[at] == '+' || text[at] == '-')) negative = text[at++] == '-';
    size_t digits = digits_at(text, at, length);
    if (digits == 0) return 0;
    int64_t value = 0;
    for (size_t end = at + digits; at < end; at++) {
        value = value * 10 + (text[at] - '0');
        if (value > DD_EXPONENT_SATURATED) value = DD_EXPONENT_SATURATED;
    }
    *exponent = negative ? -value : value;
    return at - start;
}

size_t dd_number_scan(const char *text, size_t length, bool json, dd_number *out) {
    *out = (dd_number){.whole = text, .fraction = text};
    size_t at = 0;
    if (at < length && (text[at] == '-' || (text[at] == '+' && !json)))
        out->negative = text[at++] == '-';
    out->whole = text + at;
    out->whole_length = digits_at(text, at, length);
    at += out->whole_length;
    if (json && (out->whole_length == 0 || (out->whole_length > 1 && out->whole[0] == '0')))
        return 0;
    if (at < length && text[at] == '.') {
        size_t digits = digits_at(text, at + 1, length);
        if (digits > 0 || (!json && out->whole_length > 0)) {
            out->fraction = text + at + 1;
            out->fraction_length = digits;
            at += 1 + digits;
        }
    }
    if (out->whole_length == 0 && out->fraction_length == 0) return 0;
    return at + scan_exponent(text, at, length, &out->exponent);
}

bool dd_number_integer(const char *text, size_t length, bool *negative, uint64_t *bits) {
    size_t at = 0;
    bool minus = false;
    if (length > 0 && (text[0] == '-' || text[0] == '+')) minus = text[at++] == '-';
    if (at == length) return false;
    uint64_t value = 0;
    for (; at < length; at++) {
        if (!is_digit(text[at])) return false;
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[at] - '0'), &value))
            return false;
    }
    if (minus && value > (uint64_t)INT64_MAX + 1) return false;
    *negative = minus && value != 0;
    *bits = minus ? 0 - value : value;
    return true;
}

unsigned dd_number_put_integer(uint8_t *at, bool negative, uint64_t bits) {
    char digits[20];
    unsigned count = 0, length = 0;
    uint64_t rest = negative ? 0 - bits : bits;
    do digits[count++] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (negative) at[length++] = '-';
    while (count) at[length++] = (uint8_t)digits[--count];
    return length;
}

/* The digits of both parts as one string, by index. */
static char digit_at(const dd_number *number, size_t i) {
    return i < number->whole_length ? number->whole[i] : number->fraction[i - number->whole_length];
}

static uint8_t *put_digits(uint8_t *at, const dd_number *number, size_t from, size_t to) {
    if (from < number->whole_length && from < to) {
        size_t end = to < number->whole_length ? to : number->whole_length;
        memcpy(at, number->whole + from, end - from);
        at += end - from;
        from = end;
    }
    if (from < to) {
        memcpy(at, number->fraction + (from - number->whole_length), to - from);
        at += to - from;
    }
    return at;
}

/* First and one past the last significant digit; equal for zero. */
static void significant(const dd_number *number, size_t *first, size_t *end) {
    size_t count = number->whole_length + number->fraction_length;
    *first = 0;
    while (*first < count && digit_at(number, *first) == '0') ++*first;
    *end = count;
    while (*end > *first && digit_at(number, *end - 1) == '0') --*end;
}

bool dd_number_is_zero(const dd_number *number) {
    size_t first, end;
    significant(number, &first, &end);
    return first == end;
}

int64_t dd_number_exponent(const dd_number *number) {
    size_t first, end;
    significant(number, &first, &end);
    return (int64_t)number->whole_length - (int64_t)first + number->exponent - 1;
}

void dd_number_write(const dd_number *number, int64_t plain_limit, dd_buf *out) {
    size_t first, end;
    significant(number, &first, &end);
    if (first == end) {
        dd_buf_add_byte(out, '0');
        return;
    }
    size_t digits = end - first;
    /* The value is 0.DIGITS times ten to the power of `point`. */
    int64_t point = (int64_t)number->whole_length - (int64_t)first + number->exponent;
    bool plain = point - 1 <= plain_limit && point - 1 >= -plain_limit;
    uint64_t zeros = 0;
    if (plain && point <= 0) zeros = (uint64_t)-point;
    else if (plain && point > (int64_t)digits) zeros = (uint64_t)point - digits;

    uint8_t *start = dd_buf_reserve(out, digits + zeros + 32), *at = start;
    if (number->negative) *at++ = '-';
    if (!plain) {
        at = put_digits(at, number, first, first + 1);
        if (digits > 1) *at++ = '.';
        at = put_digits(at, number, first + 1, end);
        *at++ = 'e';
        at += dd_number_put_integer(at, point <= 0, (uint64_t)(point - 1));
    } else if (point <= 0) {
        *at++ = '0';
        *at++ = '.';
        memset(at, '0', zeros);
        at = put_digits(at + zeros, number, first, end);
    } else if (point >= (int64_t)digits) {
        at = put_digits(at, number, first, end);
        memset(at, '0', zeros);
        at += zeros;
    } else {
        at = put_digits(at, number, first, first + (size_t)point);
        *at++ = '.';
        at = put_digits(at, number, first + (size_t)point, end);
    }
    out->length += (size_t)(at - start);
}
