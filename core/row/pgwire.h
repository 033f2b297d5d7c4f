#ifndef DD_ROW_PGWIRE_H
#define DD_ROW_PGWIRE_H

/*
 * PostgreSQL's binary format of values (the type's send and receive functions), by type OID
 * (catalog/pg_type.dat). No libpq in here: only bytes.
 */

#include "row/value.h"

/* The natural kind of a type, or DD_KIND_UNSUPPORTED. Enum labels arrive as text, but their OIDs are
 * made at run time: the reader of a column that is known to be an enum asks for DD_KIND_TEXT. */
dd_kind dd_pg_kind(uint32_t oid);
/* The type's name for messages: "int4", ..., or NULL when the OID is not one of ours. */
const char *dd_pg_type_name(uint32_t oid);

/*
 * Adds a field of kind `want` from the binary form of a value of type `oid` (want need not be the
 * natural kind: see convert.h). Every length is checked. Fails with class `data` for a value that
 * cannot be represented, `internal` for bytes that are not the type's binary form.
 */
DD_MUST_CHECK dd_status dd_pg_decode(uint32_t oid, dd_kind want, const uint8_t *wire,
                                     size_t length, dd_buf *row, dd_err *err);

/*
 * After dd_pg_decode has failed with *err, the row as it was before: adds the value as an unreadable
 * one (row/raw.h) where the class is `data`. Otherwise fails with the same error.
 */
DD_MUST_CHECK dd_status dd_pg_add_unread(uint32_t oid, dd_kind want, const uint8_t *wire,
                                         size_t length, dd_buf *row, dd_err *err);

/*
 * Appends the binary form of a value for a column of type `oid`, preceded by its 32-bit length as
 * in COPY BINARY and in Bind (-1 for NULL). Unknown OIDs are taken as text (enums). Fails with class
 * `data` when the type cannot hold the value (out of range, NUL byte in text, ...).
 */
DD_MUST_CHECK dd_status dd_pg_encode(uint32_t oid, const dd_value *value, dd_buf *out,
                                     dd_err *err);

#endif
