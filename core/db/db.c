#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db/driver.h"
#include "db/placeholders.h"

static const dd_driver *const drivers[] = {&dd_driver_mysql, &dd_driver_postgres};

static const dd_driver *find_driver(const char *name) {
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
        if (strcmp(drivers[i]->name, name) == 0) return drivers[i];
    return NULL;
}

/* Every failure passes here, so that none leaves without the name of its side. */
static dd_status labeled(const dd_conn *conn, dd_status status, dd_err *err) {
    if (status != DD_OK) dd_err_text(err->side, sizeof err->side, conn->label);
    return status;
}

void dd_conn_enter(dd_conn *conn, dd_state state) {
    if (conn->state != DD_CONN_BROKEN) conn->state = state;
}

static dd_status need_state(const dd_conn *conn, dd_state needed, dd_err *err) {
    if (conn->state == needed) return DD_OK;
    switch (conn->state) {
    case DD_CONN_BROKEN: return dd_fail(err, DD_UNAVAILABLE, "connection was lost before");
    case DD_CONN_SENT: return dd_fail(err, DD_USAGE, "a statement is still under way");
    case DD_CONN_STREAM: return dd_fail(err, DD_USAGE, "a stream is still open");
    case DD_CONN_LOAD: return dd_fail(err, DD_USAGE, "a load is still open");
    case DD_CONN_IDLE: break;
    }
    return dd_fail(err, DD_USAGE, "no statement is under way");
}

/* ---- the connection ---- */

dd_status dd_conn_open(const char *driver, const char *label, const dd_setting *settings,
                       unsigned count, double connect_timeout, dd_conn **out, dd_err *err) {
    const dd_driver *found = find_driver(driver);
    dd_conn *conn = NULL;
    dd_status status = found ? found->open(settings, count, connect_timeout, &conn, err)
                             : dd_fail(err, DD_USAGE, "there is no driver \"%s\"", driver);
    if (status != DD_OK) {
        dd_err_text(err->side, sizeof err->side, label);
        return DD_FAIL;
    }
    conn->driver = found;
    conn->timeout = 0;
    dd_err_text(conn->label, sizeof conn->label, label);
    dd_conn_enter(conn, DD_CONN_IDLE);
    *out = conn;
    return DD_OK;
}

void dd_conn_close(dd_conn *conn) {
    if (!conn) return;
    dd_buf_free(&conn->text);
    conn->driver->close(conn);
}

dd_state dd_conn_state(const dd_conn *conn) { return conn->state; }

bool dd_conn_in_transaction(const dd_conn *conn) { return conn->driver->in_transaction(conn); }

bool dd_conn_hung_up(dd_conn *conn) {
    return conn->state == DD_CONN_BROKEN ||
           (conn->state == DD_CONN_IDLE && conn->driver->hung_up(conn));
}

const char *dd_conn_product(const dd_conn *conn) { return conn->product; }
const char *dd_conn_version(const dd_conn *conn) { return conn->version; }
const char *dd_conn_label(const dd_conn *conn) { return conn->label; }
const char *dd_conn_driver(const dd_conn *conn) { return conn->driver->name; }
uint64_t dd_conn_session(const dd_conn *conn) { return conn->session; }

void dd_conn_set_timeout(dd_conn *conn, double seconds) {
    conn->timeout = seconds > 0 ? seconds : 0;
}

void dd_conn_cancel(dd_conn *conn) { conn->driver->cancel(conn); }

/* ---- statements ---- */

/* A statement longer than this does not keep its buffer. */
enum { KEPT_TEXT = 65536 };

/* The driver's text of `sql` in conn->text, with as many placeholders as there are values. */
static dd_status prepare_text(dd_conn *conn, const char *sql, unsigned given, dd_err *err) {
    unsigned count;
    conn->text.length = 0;
    if (dd_placeholders(sql, conn->driver->numbered, &conn->text, &count, err) != DD_OK)
        return DD_FAIL;
    if (count == given) return DD_OK;
    (void)dd_fail(err, DD_USAGE, "statement has %u placeholder%s, %u value%s given", count,
                  count == 1 ? "" : "s", given, given == 1 ? "" : "s");
    if (count > given && conn->driver->numbered)
        dd_hint(err, "Write ?? where an operator with a question mark is meant.");
    return DD_FAIL;
}

static const char *text_of(const dd_conn *conn) { return (const char *)conn->text.data; }

static void done_with_text(dd_conn *conn) {
    if (conn->text.capacity > KEPT_TEXT) dd_buf_free(&conn->text);
}

dd_status dd_conn_send(dd_conn *conn, const char *sql, const dd_value *params, unsigned count,
                       dd_err *err) {
    dd_status status = need_state(conn, DD_CONN_IDLE, err);
    if (status == DD_OK) status = prepare_text(conn, sql, count, err);
    if (status == DD_OK) {
        status = conn->driver->send(conn, text_of(conn), params, count, err);
        conn->queued = status == DD_OK;
        dd_conn_enter(conn, status == DD_OK ? DD_CONN_SENT : DD_CONN_IDLE);
    }
    done_with_text(conn);
    return labeled(conn, status, err);
}

static dd_status queue_text(dd_conn *conn, const char *text, const dd_value *params,
                            unsigned count, dd_leaves leaves, dd_err *err) {
    const dd_driver *driver = conn->driver;
    if (driver->queue) return driver->queue(conn, text, params, count, leaves, err);
    dd_result *done = &conn->done[conn->queued];
    *done = (dd_result){0};
    if (driver->send(conn, text, params, count, err) != DD_OK) return DD_FAIL;
    return driver->finish(conn, done, err);
}

dd_status dd_conn_queue(dd_conn *conn, const char *sql, const dd_value *params, unsigned count,
                        dd_leaves leaves, dd_err *err) {
    dd_status status = need_state(conn, conn->piped ? DD_CONN_SENT : DD_CONN_IDLE, err);
    if (status == DD_OK && conn->queued == DD_CONN_QUEUE_LIMIT)
        status = dd_fail(err, DD_USAGE, "%u statements are under way already", conn->queued);
    if (status == DD_OK) status = prepare_text(conn, sql, count, err);
    if (status == DD_OK) status = queue_text(conn, text_of(conn), params, count, leaves, err);
    if (status == DD_OK) {
        conn->queued++;
        conn->piped = true;
        dd_conn_enter(conn, DD_CONN_SENT);
    }
    done_with_text(conn);
    return labeled(conn, status, err);
}

unsigned dd_conn_queued(const dd_conn *conn) { return conn->queued; }

static dd_status finish_first(dd_conn *conn, dd_result *result, dd_err *err) {
    if (!conn->piped || conn->driver->queue) return conn->driver->finish(conn, result, err);
    *result = conn->done[0];
    memmove(conn->done, conn->done + 1, (conn->queued - 1) * sizeof *conn->done);
    return DD_OK;
}

/* A broken connection too has something to say about each statement that was sent on it. */
dd_status dd_conn_finish(dd_conn *conn, dd_result *result, dd_err *err) {
    dd_result unread;
    if (!result) result = &unread;
    *result = (dd_result){0};
    if (conn->queued == 0) return labeled(conn, need_state(conn, DD_CONN_SENT, err), err);
    dd_status status = finish_first(conn, result, err);
    conn->queued--;
    if (conn->queued == 0) conn->piped = false;
    dd_conn_enter(conn, conn->queued ? DD_CONN_SENT : DD_CONN_IDLE);
    return labeled(conn, status, err);
}

dd_status dd_conn_execute(dd_conn *conn, const char *sql, const dd_value *params, unsigned count,
                          dd_result *result, dd_err *err) {
    if (dd_conn_send(conn, sql, params, count, err) != DD_OK) return DD_FAIL;
    return dd_conn_finish(conn, result, err);
}

/* ---- streams ---- */

static dd_status check_kinds(const char *kinds, dd_err *err) {
    for (const char *kind = kinds; *kind; kind++)
        if (!dd_kind_valid(*kind)) return dd_fail(err, DD_USAGE, "there is no kind '%c'", *kind);
    return DD_OK;
}

dd_status dd_stream_open(dd_conn *conn, const char *sql, const dd_value *params, unsigned count,
                         const char *want, bool bulk, dd_stream **out, dd_err *err) {
    dd_status status = need_state(conn, DD_CONN_IDLE, err);
    if (status == DD_OK && want) status = check_kinds(want, err);
    if (status == DD_OK) status = prepare_text(conn, sql, count, err);
    if (status == DD_OK) {
        status = conn->driver->stream_open(conn, text_of(conn), params, count, want, bulk,
                                           out, err);
        if (status == DD_OK) dd_conn_enter(conn, DD_CONN_STREAM);
    }
    done_with_text(conn);
    return labeled(conn, status, err);
}

const dd_column *dd_stream_columns(const dd_stream *stream, unsigned *count) {
    *count = stream->column_count;
    return stream->columns;
}

dd_status dd_stream_next(dd_stream *stream, dd_buf *row, bool *more, dd_err *err) {
    dd_conn *conn = stream->conn;
    const size_t start = row->length;
    *more = false;
    if (stream->failed) return labeled(conn, dd_fail(err, DD_USAGE, "the stream has failed"), err);
    if (stream->done) return DD_OK;
    dd_status status = conn->driver->stream_next(stream, row, more, err);
    if (status != DD_OK) {
        stream->failed = stream->done = true;
        row->length = start;
        *more = false;
    }
    return labeled(conn, status, err);
}

void dd_stream_close(dd_stream *stream) {
    if (!stream) return;
    dd_conn *conn = stream->conn;
    conn->driver->stream_close(stream);
    dd_conn_enter(conn, DD_CONN_IDLE);
}

/* ---- loads ---- */

dd_status dd_load_open(dd_conn *conn, const char *table, const char *columns, const char *kinds,
                       unsigned key_columns, dd_load **out, dd_err *err) {
    const size_t count = strlen(kinds);
    dd_load *load = NULL;
    dd_status status = need_state(conn, DD_CONN_IDLE, err);
    if (status == DD_OK && count == 0) status = dd_fail(err, DD_USAGE, "a load needs a column");
    if (status == DD_OK) status = check_kinds(kinds, err);
    if (status == DD_OK && key_columns > count)
        status = dd_fail(err, DD_USAGE, "a load of %zu columns has no key of %u", count,
                         key_columns);
    if (status == DD_OK && key_columns && !conn->driver->replaces)
        status = dd_fail(err, DD_USAGE, "a load into %s cannot replace rows", conn->product);
    if (status == DD_OK)
        status = conn->driver->load_open(conn, table, columns, kinds, (unsigned)count, key_columns,
                                         &load, err);
    if (status != DD_OK) return labeled(conn, status, err);
    load->conn = conn;
    load->kinds = dd_strdup(kinds);
    load->column_count = (unsigned)count;
    load->values = dd_calloc(count, sizeof *load->values);
    dd_conn_enter(conn, DD_CONN_LOAD);
    *out = load;
    return DD_OK;
}

dd_status dd_load_row(dd_load *load, const uint8_t *row, size_t length, dd_err *err) {
    dd_conn *conn = load->conn;
    if (load->failed) return labeled(conn, dd_fail(err, DD_USAGE, "the load has failed"), err);
    dd_status status =
        dd_row_split(row, length, load->kinds, load->column_count, load->values, err);
    if (status == DD_OK) status = conn->driver->load_row(load, load->values, err);
    return labeled(conn, status, err);
}

dd_status dd_load_values(dd_load *load, const dd_value *values, dd_err *err) {
    dd_conn *conn = load->conn;
    if (load->failed) return labeled(conn, dd_fail(err, DD_USAGE, "the load has failed"), err);
    return labeled(conn, conn->driver->load_row(load, values, err), err);
}

bool dd_load_failed(const dd_load *load) { return load->failed; }

/* What db.c owns of a load goes with it; the driver frees the rest. */
static dd_status end_load(dd_load *load, bool keep, uint64_t *rows, dd_err *err) {
    dd_conn *conn = load->conn;
    char *kinds = load->kinds;
    dd_value *values = load->values;
    dd_status status = DD_OK;
    if (keep) status = conn->driver->load_finish(load, rows, err);
    else conn->driver->load_abort(load);
    dd_conn_enter(conn, DD_CONN_IDLE);
    free(kinds);
    free(values);
    return labeled(conn, status, err);
}

dd_status dd_load_finish(dd_load *load, uint64_t *rows, dd_err *err) {
    uint64_t uncounted;
    if (!rows) rows = &uncounted;
    *rows = 0;
    if (!load->failed) return end_load(load, true, rows, err);
    /* Rows were lost: to keep the others would be a load that looks whole and is not. */
    dd_conn *conn = load->conn;
    dd_load_abort(load);
    return labeled(conn, dd_fail(err, DD_USAGE, "the load has failed"), err);
}

void dd_load_abort(dd_load *load) {
    dd_err ignored;
    if (load && end_load(load, false, NULL, &ignored) != DD_OK) abort(); /* an abort never fails */
}

/* ---- names ---- */

unsigned dd_client_library(const char *driver, char *text, size_t size) {
    const dd_driver *found = find_driver(driver);
    return found ? found->library(text, size) : 0;
}

dd_status dd_quote_identifier(const char *driver, const char *name, size_t length, dd_buf *out,
                              dd_err *err) {
    const dd_driver *found = find_driver(driver);
    if (!found) return dd_fail(err, DD_USAGE, "there is no driver \"%s\"", driver);
    if (length == 0) return dd_fail(err, DD_USAGE, "a name is empty");
    if (memchr(name, 0, length)) return dd_fail(err, DD_USAGE, "a name has a NUL byte");
    size_t units = 0;
    for (size_t i = 0; i < length; i++) /* in UTF-8, characters are the bytes that start one */
        if (found->name_limit_bytes || ((unsigned char)name[i] & 0xC0) != 0x80) units++;
    if (units > found->name_limit)
        return dd_fail(err, DD_USAGE, "name \"%.*s\" is longer than %u %s",
                       (int)(length < 200 ? length : 200), name, found->name_limit,
                       found->name_limit_bytes ? "bytes" : "characters");
    dd_buf_add_byte(out, (uint8_t)found->quote);
    for (size_t i = 0; i < length; i++) {
        if (name[i] == found->quote) dd_buf_add_byte(out, (uint8_t)found->quote);
        dd_buf_add_byte(out, (uint8_t)name[i]);
    }
    dd_buf_add_byte(out, (uint8_t)found->quote);
    return DD_OK;
}
