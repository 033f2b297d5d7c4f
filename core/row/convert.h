#ifndef DD_ROW_CONVERT_H
#define DD_ROW_CONVERT_H

/*
 * The two sides of a column may hold the same values in different types: tinyint(1) and smallint,
 * bigint unsigned and numeric(20), char(36) and uuid, longtext and jsonb. This is the one place that
 * says which natural kinds can be read as which.
 */

#include "row/value.h"

/* True when values of the natural kind `from` can be read as `to` (some may be refused: 2 is no
 * boolean, 1.5 no integer). Every kind can be read as itself. */
bool dd_convertible(dd_kind from, dd_kind to);

/*
 * Reads the last field of `row`, which starts at offset `at` and holds a value of kind `from`, as
 * kind `to`, in place. NULL stays NULL. Fails with class `data` for a value that is refused.
 */
DD_MUST_CHECK dd_status dd_convert_field(dd_buf *row, size_t at, dd_kind from, dd_kind to,
                                         dd_err *err);

#endif
