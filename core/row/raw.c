#include "row/raw.h"

#include <stdio.h>

#include "row/field.h"
#include "row/temporal.h"
#include "row/text.h"

enum { TAG_LENGTH = sizeof DD_UNREADABLE_TAG - 1, LONGEST_REASON = 200 };

enum { DAY_TEXT = 10, CLOCK_TEXT = 19, FRACTION_TEXT = 26 };

bool dd_value_is_raw(const dd_value *value) {
    const uint32_t width = dd_kind_width(value->kind);
    if (width) return value->length != width;
    return value->kind == DD_KIND_JSON && dd_value_is_unreadable(value);
}

/* ---- unreadable ---- */

bool dd_kind_has_unreadable(dd_kind kind) {
    switch (kind) {
    case DD_KIND_BOOL:
    case DD_KIND_INT:
    case DD_KIND_DATE:
    case DD_KIND_TIME:
    case DD_KIND_TIMESTAMP:
    case DD_KIND_JSON:
    case DD_KIND_UUID: return true;
    default: return false;
    }
}

static bool is_unreadable(const uint8_t *bytes, uint32_t length) {
    return length > TAG_LENGTH && bytes[0] == 0xff &&
           memcmp(bytes, DD_UNREADABLE_TAG, TAG_LENGTH) == 0 &&
           length - TAG_LENGTH - 1 >= bytes[TAG_LENGTH];
}

bool dd_value_is_unreadable(const dd_value *value) {
    return dd_kind_has_unreadable(value->kind) && is_unreadable(value->data, value->length);
}

dd_unreadable dd_value_unreadable(const dd_value *value) {
    const uint8_t *at = value->data + TAG_LENGTH;
    return (dd_unreadable){
        .reason = (const char *)at + 1,
        .reason_length = at[0],
        .text = at + 1 + at[0],
        .text_length = value->length - TAG_LENGTH - 1 - at[0],
    };
}

dd_status dd_row_add_unreadable(dd_buf *row, dd_kind kind, const char *reason, const void *text,
                                size_t length, dd_err *err) {
    char kept[LONGEST_REASON];
    dd_err_text(kept, sizeof kept, reason);
    if (!dd_kind_has_unreadable(kind)) return dd_fail(err, DD_DATA, "%s", kept);
    size_t at = dd_field_begin(row);
    dd_buf_add(row, DD_UNREADABLE_TAG, TAG_LENGTH);
    dd_buf_add_byte(row, (uint8_t)strlen(kept));
    dd_buf_add_text(row, kept);
    if (length) dd_buf_add(row, text, length);
    return dd_field_end(row, at, err);
}

void dd_text_of_unread(const dd_value *value, dd_buf *out) {
    static const char hex[] = "0123456789abcdef";
    if (value->kind != DD_KIND_BYTES) {
        dd_text_render(value, out);
        return;
    }
    dd_buf_add_text(out, "\\x");
    for (uint32_t i = 0; i < value->length; i++) {
        dd_buf_add_byte(out, (uint8_t)hex[value->data[i] >> 4]);
        dd_buf_add_byte(out, (uint8_t)hex[value->data[i] & 15]);
    }
}

dd_status dd_row_add_unread(dd_buf *row, dd_kind kind, const char *reason, const dd_value *value,
                            dd_err *err) {
    dd_buf text = {0};
    dd_text_of_unread(value, &text);
    dd_status status = dd_row_add_unreadable(row, kind, reason, text.data, text.length, err);
    dd_buf_free(&text);
    return status;
}

/* ---- dates and booleans ---- */

/* `pattern` has 0 for a digit, all else stands for itself. */
static bool looks_like(const char *pattern, const uint8_t *text, uint32_t length) {
    for (uint32_t i = 0; i < length; i++) {
        bool digit = text[i] >= '0' && text[i] <= '9';
        if (pattern[i] == '0' ? !digit : text[i] != (uint8_t)pattern[i]) return false;
    }
    return true;
}

static unsigned number_at(const uint8_t *text, unsigned digits) {
    unsigned number = 0;
    for (unsigned i = 0; i < digits; i++) number = number * 10 + (unsigned)(text[i] - '0');
    return number;
}

/* One value has one form: days that exist are not raw, and a fraction of zero is not written. */
static bool is_raw_date(dd_kind kind, const uint8_t *text, uint32_t length) {
    bool fits = kind == DD_KIND_DATE ? length == DAY_TEXT
                                     : length == CLOCK_TEXT || length == FRACTION_TEXT;
    if (!fits || !looks_like("0000-00-00 00:00:00.000000", text, length)) return false;
    unsigned month = number_at(text + 5, 2), day = number_at(text + 8, 2);
    if (month > 12 || day > 31) return false;
    if (dd_date_exists((int)number_at(text, 4), (int)month, (int)day)) return false;
    if (length > DAY_TEXT && (number_at(text + 11, 2) > 23 || number_at(text + 14, 2) > 59 ||
                              number_at(text + 17, 2) > 59))
        return false;
    return length != FRACTION_TEXT || number_at(text + 20, 6) != 0;
}

bool dd_raw_valid(dd_kind kind, const uint8_t *bytes, uint32_t length) {
    if (dd_kind_has_unreadable(kind) && is_unreadable(bytes, length)) return true;
    if (kind == DD_KIND_BOOL)
        return length == DD_INT_LENGTH && bytes[0] <= 1 &&
               (bytes[0] == 1 ? dd_get_u64(bytes + 1) > 1 : bytes[1] >> 7);
    if (kind != DD_KIND_DATE && kind != DD_KIND_TIMESTAMP) return false;
    return is_raw_date(kind, bytes, length);
}

dd_status dd_row_add_raw_date(dd_buf *row, dd_kind kind, const unsigned day[3], uint64_t clock_us,
                              dd_err *err) {
    char text[80];
    unsigned seconds = (unsigned)(clock_us / 1000000 % 86400), fraction = (unsigned)(clock_us % 1000000);
    int length = snprintf(text, sizeof text, "%04u-%02u-%02u", day[0], day[1], day[2]);
    if (kind == DD_KIND_TIMESTAMP)
        length += snprintf(text + length, sizeof text - (size_t)length, " %02u:%02u:%02u",
                           seconds / 3600, seconds / 60 % 60, seconds % 60);
    if (kind == DD_KIND_TIMESTAMP && fraction)
        length += snprintf(text + length, sizeof text - (size_t)length, ".%06u", fraction);
    if (!dd_raw_valid(kind, (const uint8_t *)text, (uint32_t)length))
        return dd_fail(err, DD_DATA, "%s is not a %s", text, dd_kind_name(kind));
    dd_row_add(row, text, (uint32_t)length);
    return DD_OK;
}

dd_status dd_row_add_raw_text(dd_buf *row, dd_kind kind, const char *text, size_t length,
                              dd_err *err) {
    const uint8_t *at = (const uint8_t *)text;
    const bool has_clock = length >= CLOCK_TEXT;
    const bool fits = length == DAY_TEXT || length == CLOCK_TEXT ||
                      (length > CLOCK_TEXT + 1 && length <= FRACTION_TEXT);
    if (!fits || !looks_like("0000-00-00 00:00:00.000000", at, (uint32_t)length))
        return dd_fail(err, DD_DATA, "text is not a %s", dd_kind_name(kind));
    const unsigned day[3] = {number_at(at, 4), number_at(at + 5, 2), number_at(at + 8, 2)};
    uint64_t clock = 0;
    if (has_clock)
        clock = (number_at(at + 11, 2) * 60 + number_at(at + 14, 2)) * 60 + number_at(at + 17, 2);
    clock *= 1000000;
    if (length > CLOCK_TEXT) {
        uint64_t fraction = number_at(at + CLOCK_TEXT + 1, (unsigned)length - CLOCK_TEXT - 1);
        for (size_t digits = length; digits < FRACTION_TEXT; digits++) fraction *= 10;
        clock += fraction;
    }
    return dd_row_add_raw_date(row, kind, day, clock, err);
}

void dd_row_add_raw_bool(dd_buf *row, bool negative, uint64_t bits) {
    dd_put_int(dd_row_add_room(row, DD_INT_LENGTH), negative, bits);
}
