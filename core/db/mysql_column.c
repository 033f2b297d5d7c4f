#include "db/mysql_column.h"

#include <stdio.h>
#include <stdlib.h>

#include "row/convert.h"
#include "row/decimal.h"
#include "row/json_canonical.h"
#include "row/raw.h"
#include "row/temporal.h"
#include "row/text.h"

enum { BINARY_CHARSET = 63 };
/* Buffers begin no larger than this: a longtext says it has 4 GiB. */
enum { FIRST_CAPACITY = 4096 };
/* A time may have the hours of its days apart, or not. */
enum { MOST_DAYS = 35, MOST_HOURS = 838 };
/* BIT(64) is the longest. */
enum { MOST_BITS = 64 };

/* ---- types ---- */

#if defined(LIBMARIADB) && MARIADB_PACKAGE_VERSION_ID >= 30107

static bool attribute_is(const MARIADB_CONST_STRING *attribute, const char *text) {
    size_t length = strlen(text);
    return attribute->length == length && memcmp(attribute->str, text, length) == 0;
}

/* What MariaDB says beyond the type: JSON is a longtext there, and types of its own are strings.
 * 0 when it says nothing. */
static dd_kind extended_kind(const MYSQL_FIELD *field, char *type, size_t size) {
    MARIADB_CONST_STRING attribute = {0};
    if (mariadb_field_attr(&attribute, field, MARIADB_FIELD_ATTR_FORMAT_NAME) == 0 &&
        attribute_is(&attribute, "json"))
        return DD_KIND_JSON;
    attribute = (MARIADB_CONST_STRING){0};
    if (mariadb_field_attr(&attribute, field, MARIADB_FIELD_ATTR_DATA_TYPE_NAME) != 0 ||
        attribute.length == 0)
        return 0;
    if (attribute_is(&attribute, "uuid")) return DD_KIND_UUID;
    if (attribute_is(&attribute, "inet6") || attribute_is(&attribute, "inet4")) return DD_KIND_TEXT;
    snprintf(type, size, "%.*s", (int)attribute.length, attribute.str);
    return DD_KIND_UNSUPPORTED;
}

#else

static dd_kind extended_kind(const MYSQL_FIELD *field, char *type, size_t size) {
    (void)field, (void)type, (void)size;
    return 0;
}

#endif

static dd_kind unsupported(char *type, size_t size, const char *name) {
    snprintf(type, size, "%s", name);
    return DD_KIND_UNSUPPORTED;
}

/* The kind that a column's type is by nature; `type` gets a name when it is none. */
static dd_kind natural_kind(const MYSQL_FIELD *field, char *type, size_t size) {
    /* A geometry arrives, and is taken, as its SRID in four bytes and WKB. MariaDB names its sort
     * in an attribute, MySQL does not. */
    if (field->type == MYSQL_TYPE_GEOMETRY) return DD_KIND_BYTES;
    dd_kind kind = extended_kind(field, type, size);
    if (kind) return kind;
    switch ((int)field->type) {
    case MYSQL_TYPE_TINY:
        /* The one sign of a boolean that the server gives: tinyint(1). */
        return field->length == 1 && !(field->flags & UNSIGNED_FLAG) ? DD_KIND_BOOL : DD_KIND_INT;
    case MYSQL_TYPE_SHORT:
    case MYSQL_TYPE_INT24:
    case MYSQL_TYPE_YEAR:
    case MYSQL_TYPE_LONG:
    case MYSQL_TYPE_LONGLONG: return DD_KIND_INT;
    case MYSQL_TYPE_DECIMAL:
    case MYSQL_TYPE_NEWDECIMAL: return DD_KIND_DECIMAL;
    case MYSQL_TYPE_FLOAT: return DD_KIND_FLOAT32;
    case MYSQL_TYPE_DOUBLE: return DD_KIND_FLOAT64;
    case MYSQL_TYPE_DATE: return DD_KIND_DATE;
    case MYSQL_TYPE_TIME: return DD_KIND_TIME;
    case MYSQL_TYPE_DATETIME:
    case MYSQL_TYPE_TIMESTAMP: return DD_KIND_TIMESTAMP;
    case MYSQL_TYPE_JSON: return DD_KIND_JSON;
    case MYSQL_TYPE_NULL:
    case MYSQL_TYPE_ENUM:
    case MYSQL_TYPE_SET: return DD_KIND_TEXT;
    case MYSQL_TYPE_BIT: return DD_KIND_BITS;
    case MYSQL_TYPE_VARCHAR:
    case MYSQL_TYPE_VAR_STRING:
    case MYSQL_TYPE_STRING:
    case MYSQL_TYPE_TINY_BLOB:
    case MYSQL_TYPE_MEDIUM_BLOB:
    case MYSQL_TYPE_LONG_BLOB:
    case MYSQL_TYPE_BLOB:
        if (field->flags & (ENUM_FLAG | SET_FLAG)) return DD_KIND_TEXT;
        return field->charsetnr == BINARY_CHARSET ? DD_KIND_BYTES : DD_KIND_TEXT;
    case 242: return unsupported(type, size, "vector"); /* not in every vendor's header */
    default: break;
    }
    snprintf(type, size, "number %d", (int)field->type);
    return DD_KIND_UNSUPPORTED;
}

/* Kinds between which this file converts by itself. */
static bool converts_here(dd_kind from, dd_kind to) {
    return from == to || (from == DD_KIND_INT && to == DD_KIND_BOOL);
}

dd_status dd_mysql_column_init(dd_mysql_column *column, const MYSQL_FIELD *field, const char *name,
                               char want, dd_err *err) {
    char type[64] = "";
    column->name = name;
    column->is_unsigned = field->flags & UNSIGNED_FLAG;
    column->bits = (unsigned)field->length;
    column->from = natural_kind(field, type, sizeof type);
    if (column->from == DD_KIND_UNSUPPORTED) {
        dd_fail(err, DD_SCHEMA, "column `%s` has the type %s, which is not supported", name, type);
        dd_hint(err, "Leave the column out, or CAST it to a type that both sides have.");
        return DD_FAIL;
    }
    column->to = want ? (dd_kind)want : column->from;
    column->takes_raw = want != 0;
    /* Both are read as an integer; whether it has to be 0 or 1 is a matter of what is wanted. */
    if (column->from == DD_KIND_BOOL) column->from = DD_KIND_INT;
    if (!converts_here(column->from, column->to) && !dd_convertible(column->from, column->to))
        return dd_fail(err, DD_SCHEMA, "column `%s` is of kind %s and cannot be read as %s", name,
                       dd_kind_name(column->from), dd_kind_name(column->to));
    column->converts = !converts_here(column->from, column->to);
    if (column->from == DD_KIND_BITS && (column->bits == 0 || column->bits > MOST_BITS))
        return dd_fail(err, DD_SCHEMA, "column `%s` has %u bits", name, column->bits);
    unsigned long first = field->length < FIRST_CAPACITY ? field->length : FIRST_CAPACITY;
    column->capacity = first ? first : 1;
    return DD_OK;
}

/* ---- where the client library puts values ---- */

static void bind_bytes(dd_mysql_column *column, MYSQL_BIND *bind) {
    if (!column->bytes) column->bytes = dd_alloc(column->capacity);
    bool raw = column->from == DD_KIND_BYTES || column->from == DD_KIND_BITS;
    bind->buffer_type = raw ? MYSQL_TYPE_BLOB : MYSQL_TYPE_STRING;
    bind->buffer = column->bytes;
    bind->buffer_length = column->capacity;
}

void dd_mysql_column_bind(dd_mysql_column *column, MYSQL_BIND *bind) {
    memset(bind, 0, sizeof *bind);
    bind->is_null = &column->is_null;
    bind->error = &column->is_cut;
    bind->length = &column->length;
    bind->is_unsigned = column->is_unsigned ? 1 : 0;
    bind->buffer = &column->cell;
    switch (column->from) {
    case DD_KIND_BOOL:
    case DD_KIND_INT: bind->buffer_type = MYSQL_TYPE_LONGLONG; break;
    case DD_KIND_FLOAT32: bind->buffer_type = MYSQL_TYPE_FLOAT; break;
    case DD_KIND_FLOAT64: bind->buffer_type = MYSQL_TYPE_DOUBLE; break;
    case DD_KIND_DATE: bind->buffer_type = MYSQL_TYPE_DATE; break;
    case DD_KIND_TIME: bind->buffer_type = MYSQL_TYPE_TIME; break;
    case DD_KIND_TIMESTAMP: bind->buffer_type = MYSQL_TYPE_DATETIME; break;
    case DD_KIND_DECIMAL:
    case DD_KIND_TEXT:
    case DD_KIND_BYTES:
    case DD_KIND_JSON:
    case DD_KIND_UUID:
    case DD_KIND_BITS:
    case DD_KIND_UNSUPPORTED: bind_bytes(column, bind); break;
    }
}

bool dd_mysql_column_grow(dd_mysql_column *column, MYSQL_STMT *stmt, unsigned at) {
    if (column->is_null || !column->bytes || column->length <= column->capacity) return true;
    unsigned long capacity = column->capacity * 2;
    if (capacity < column->length) capacity = column->length;
    free(column->bytes);
    column->bytes = dd_alloc(capacity);
    column->capacity = capacity;
    MYSQL_BIND bind;
    dd_mysql_column_bind(column, &bind);
    unsigned long whole = column->length;
    return mysql_stmt_fetch_column(stmt, &bind, at, 0) == 0 && column->length == whole;
}

/* ---- values ---- */

/* Says in which column it was. */
static dd_status name_column(const dd_mysql_column *column, dd_err *err) {
    dd_err inner = *err;
    dd_fail(err, inner.class_, "column `%s`: %s", column->name, inner.message);
    dd_err_text(err->hint, sizeof err->hint, inner.hint);
    return DD_FAIL;
}

static dd_status add_whole(const dd_mysql_column *column, dd_buf *row, dd_err *err) {
    int64_t whole = column->cell.whole;
    if (column->to != DD_KIND_BOOL) {
        if (column->is_unsigned) dd_row_add_uint(row, (uint64_t)whole);
        else dd_row_add_int(row, whole);
        return DD_OK;
    }
    if (whole == 0 || whole == 1) {
        dd_row_add_bool(row, whole == 1);
        return DD_OK;
    }
    if (column->takes_raw) {
        dd_row_add_raw_bool(row, !column->is_unsigned && whole < 0, (uint64_t)whole);
        return DD_OK;
    }
    if (column->is_unsigned)
        return dd_fail(err, DD_DATA, "%llu is not a boolean", (unsigned long long)whole);
    return dd_fail(err, DD_DATA, "%lld is not a boolean", (long long)whole);
}

static dd_status add_temporal(const dd_mysql_column *column, dd_buf *row, dd_err *err) {
    const MYSQL_TIME *t = &column->cell.time;
    /* The client library hands over what the server sends. */
    if (t->day > MOST_DAYS || t->hour > MOST_HOURS || t->minute > 59 || t->second > 59 ||
        t->second_part > 999999 || t->year > 9999)
        return dd_fail(err, DD_INTERNAL, "the server sent no date or time");
    int64_t microseconds =
        (((int64_t)t->hour * 60 + t->minute) * 60 + t->second) * 1000000 + (int64_t)t->second_part;
    if (column->from == DD_KIND_TIME) {
        microseconds += t->day * DD_US_PER_DAY;
        dd_row_add_time(row, t->neg ? -microseconds : microseconds);
        return DD_OK;
    }
    if (!dd_date_exists((int)t->year, (int)t->month, (int)t->day)) {
        const unsigned day[3] = {t->year, t->month, t->day};
        return dd_row_add_raw_date(row, column->from, day, (uint64_t)microseconds, err);
    }
    int32_t days = dd_days_from_date((int)t->year, (int)t->month, (int)t->day);
    if (column->from == DD_KIND_DATE) dd_row_add_date(row, days);
    else dd_row_add_timestamp(row, days * DD_US_PER_DAY + microseconds);
    return DD_OK;
}

static dd_status add_decimal(const char *text, size_t length, dd_buf *row, dd_err *err) {
    size_t at = dd_field_begin(row);
    if (dd_decimal_canonical(text, length, row, err) != DD_OK) return DD_FAIL;
    return dd_field_end(row, at, err);
}

static dd_status add_json(const char *text, size_t length, dd_buf *row, dd_err *err) {
    size_t at = dd_field_begin(row);
    if (dd_json_canonical(text, length, row, err) != DD_OK) return DD_FAIL;
    return dd_field_end(row, at, err);
}

/* The wire has whole bytes, the last bit lowest, in either protocol. */
static dd_status add_bits(const dd_mysql_column *column, const uint8_t *bytes, size_t length,
                          dd_buf *row, dd_err *err) {
    const unsigned count = column->bits;
    if (length != (count + 7) / 8)
        return dd_fail(err, DD_INTERNAL, "%zu bytes are not %u bits", length, count);
    char text[MOST_BITS];
    for (unsigned i = 0; i < count; i++) {
        unsigned from_end = count - 1 - i;
        text[i] = (char)('0' + (bytes[length - 1 - from_end / 8] >> from_end % 8 & 1));
    }
    dd_row_add(row, text, count);
    return DD_OK;
}

/* A value whose bytes are text on the wire, in either protocol. */
static dd_status add_bytes(const dd_mysql_column *column, const char *text, size_t length,
                           dd_buf *row, dd_err *err) {
    switch (column->from) {
    case DD_KIND_DECIMAL: return add_decimal(text, length, row, err);
    case DD_KIND_JSON: return add_json(text, length, row, err);
    case DD_KIND_BITS: return add_bits(column, (const uint8_t *)text, length, row, err);
    case DD_KIND_UUID: return dd_text_parse(DD_KIND_UUID, text, length, row, err);
    default:
        if (length >= DD_NULL_LENGTH) return dd_fail(err, DD_DATA, "value of more than 4 GiB");
        dd_row_add(row, text, (uint32_t)length);
        return DD_OK;
    }
}

/* From where it was bound: text and length are those of the bytes, if it has any. */
static dd_status add_natural(dd_mysql_column *column, const char *text, size_t length, dd_buf *row,
                             dd_err *err) {
    switch (column->from) {
    case DD_KIND_BOOL:
    case DD_KIND_INT: return add_whole(column, row, err);
    case DD_KIND_FLOAT32: dd_row_add_float32(row, column->cell.single); return DD_OK;
    case DD_KIND_FLOAT64: dd_row_add_float64(row, column->cell.twice); return DD_OK;
    case DD_KIND_DATE:
    case DD_KIND_TIME:
    case DD_KIND_TIMESTAMP: return add_temporal(column, row, err);
    default: return add_bytes(column, text, length, row, err);
    }
}

static dd_status convert(const dd_mysql_column *column, dd_buf *row, size_t at, dd_err *err) {
    if (!column->converts) return DD_OK;
    return dd_convert_field(row, at, column->from, column->to, err);
}

typedef dd_status add_own(dd_mysql_column *column, const char *text, size_t length, dd_buf *row,
                          dd_err *err);

/* What cannot be read goes on as it is, for whoever says what he wants. */
static dd_status add_unread(dd_mysql_column *column, add_own *add, const char *text, size_t length,
                            dd_buf *row, size_t at, dd_err *err) {
    dd_err ignored;
    const char kinds[] = {(char)column->from, 0};
    dd_value value;
    row->length = at;
    if (!column->takes_raw || err->class_ != DD_DATA) return name_column(column, err);
    dd_status status;
    if (add(column, text, length, row, &ignored) == DD_OK &&
        dd_row_split(row->data + at, row->length - at, kinds, 1, &value, &ignored) == DD_OK) {
        row->length = at;
        status = dd_row_add_unread(row, column->to, err->message, &value, err);
    } else {
        row->length = at;
        status = dd_row_add_unreadable(row, column->to, err->message, text, length, err);
    }
    return status == DD_OK ? DD_OK : name_column(column, err);
}

static dd_status add_value(dd_mysql_column *column, add_own *add, const char *text, size_t length,
                           dd_buf *row, dd_err *err) {
    const size_t at = row->length;
    if (add(column, text, length, row, err) == DD_OK && convert(column, row, at, err) == DD_OK)
        return DD_OK;
    return add_unread(column, add, text, length, row, at, err);
}

/* What most values are, and is not refused. False for all others: nothing was added. */
static inline bool add_plain(const dd_mysql_column *column, dd_buf *row) {
    if (column->converts) return false;
    switch (column->from) {
    case DD_KIND_INT:
        if (column->to != DD_KIND_INT) return false;
        if (column->is_unsigned) dd_row_add_uint(row, (uint64_t)column->cell.whole);
        else dd_row_add_int(row, column->cell.whole);
        return true;
    case DD_KIND_TEXT:
    case DD_KIND_BYTES:
        if (column->length >= DD_NULL_LENGTH) return false;
        dd_row_add(row, column->bytes, (uint32_t)column->length);
        return true;
    default: return false;
    }
}

dd_status dd_mysql_column_add(dd_mysql_column *column, dd_buf *row, dd_err *err) {
    if (column->is_null) {
        dd_row_add_null(row);
        return DD_OK;
    }
    if (add_plain(column, row)) return DD_OK;
    return add_value(column, add_natural, (const char *)column->bytes,
                     column->bytes ? column->length : 0, row, err);
}

/* Text that is no date may be a day that the calendar does not have. */
static dd_status add_raw_text(const dd_mysql_column *column, const char *text, size_t length,
                              dd_buf *row) {
    dd_err ignored;
    return dd_row_add_raw_text(row, column->from, text, length, &ignored);
}

static dd_status add_natural_text(dd_mysql_column *column, const char *text, size_t length,
                                  dd_buf *row, dd_err *err) {
    switch (column->from) {
    case DD_KIND_INT:
        /* The text ends with a NUL byte, whatever the protocol. */
        column->cell.whole = column->is_unsigned ? (int64_t)strtoull(text, NULL, 10)
                                                 : strtoll(text, NULL, 10);
        return add_whole(column, row, err);
    case DD_KIND_FLOAT32:
    case DD_KIND_FLOAT64:
    case DD_KIND_DATE:
    case DD_KIND_TIME:
    case DD_KIND_TIMESTAMP:
        if (dd_text_parse(column->from, text, length, row, err) == DD_OK) return DD_OK;
        return add_raw_text(column, text, length, row);
    default: return add_bytes(column, text, length, row, err);
    }
}

dd_status dd_mysql_column_add_text(dd_mysql_column *column, const char *text, size_t length,
                                   dd_buf *row, dd_err *err) {
    if (!text) {
        dd_row_add_null(row);
        return DD_OK;
    }
    return add_value(column, add_natural_text, text, length, row, err);
}
