/*
 * What the MySQL client library hands over of a row in either protocol, from a server that sends
 * anything: the library has checked lengths, and no values. What is accepted is a whole field of the
 * kind that was asked for, or NULL, or a raw value where those are taken.
 *
 * Input: four bytes that choose the column's type, its flags, the kind and the protocol; the value.
 */

#include "fuzz.h"

#include "db/mysql_column.h"
#include "row/text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const enum enum_field_types types[] = {
    MYSQL_TYPE_TINY,      MYSQL_TYPE_SHORT,       MYSQL_TYPE_INT24,     MYSQL_TYPE_LONG,
    MYSQL_TYPE_LONGLONG,  MYSQL_TYPE_YEAR,        MYSQL_TYPE_NEWDECIMAL, MYSQL_TYPE_FLOAT,
    MYSQL_TYPE_DOUBLE,    MYSQL_TYPE_DATE,        MYSQL_TYPE_TIME,      MYSQL_TYPE_DATETIME,
    MYSQL_TYPE_TIMESTAMP, MYSQL_TYPE_JSON,        MYSQL_TYPE_BIT,       MYSQL_TYPE_STRING,
    MYSQL_TYPE_BLOB,      MYSQL_TYPE_GEOMETRY,    MYSQL_TYPE_NULL,      MYSQL_TYPE_ENUM,
};
static const char kinds[] = "bidfgtxDTSjuB";

/* The value as a library that trusts the server leaves it. */
static void put_binary(dd_mysql_column *column, MYSQL_BIND *bind, const uint8_t *data,
                       size_t size) {
    if (bind->buffer_type == MYSQL_TYPE_STRING || bind->buffer_type == MYSQL_TYPE_BLOB) {
        size_t room = size < bind->buffer_length ? size : bind->buffer_length;
        memcpy(bind->buffer, data, room);
        column->length = (unsigned long)room;
        return;
    }
    uint8_t cell[sizeof column->cell] = {0};
    memcpy(cell, data, size < sizeof cell ? size : sizeof cell);
    memcpy(&column->cell, cell, sizeof cell);
    if (bind->buffer_type == MYSQL_TYPE_DATE || bind->buffer_type == MYSQL_TYPE_TIME ||
        bind->buffer_type == MYSQL_TYPE_DATETIME || bind->buffer_type == MYSQL_TYPE_TIMESTAMP)
        column->cell.time.neg = size > 0 && data[0] & 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static dd_buf row, text;
    dd_err err;
    if (size < 4) return 0;
    MYSQL_FIELD field = {.type = types[data[0] % COUNT(types)], .length = data[1],
                         .charsetnr = data[1] & 2 ? 63 : 45,
                         .flags = data[1] & 1 ? UNSIGNED_FLAG : 0};
    const char want = data[2] < 128 ? 0 : kinds[data[2] % (sizeof kinds - 1)];
    dd_mysql_column column = {0};
    if (dd_mysql_column_init(&column, &field, "c", want, &err) != DD_OK) {
        REQUIRE(err.class_ == DD_SCHEMA);
        return 0;
    }
    dd_buf_clear(&row);
    dd_status status;
    if (data[3] & 1) {
        dd_buf_clear(&text);
        dd_buf_add(&text, data + 4, size - 4);
        dd_buf_add_byte(&text, 0);
        status = dd_mysql_column_add_text(&column, (const char *)text.data, size - 4, &row, &err);
    } else {
        MYSQL_BIND bind = {0};
        dd_mysql_column_bind(&column, &bind);
        put_binary(&column, &bind, data + 4, size - 4);
        status = dd_mysql_column_add(&column, &row, &err);
    }
    if (status == DD_OK) {
        const char kind[] = {(char)column.to, 0};
        dd_value value;
        REQUIRE(dd_row_split(row.data, row.length, kind, 1, &value, &err) == DD_OK);
        dd_buf_clear(&text);
        if (value.data) dd_text_render(&value, &text);
    } else {
        REQUIRE(err.class_ == DD_DATA || err.class_ == DD_INTERNAL || err.class_ == DD_SCHEMA);
    }
    free(column.bytes);
    return 0;
}
