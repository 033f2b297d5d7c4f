#ifndef DD_ROW_PGWIRE_TYPES_H
#define DD_ROW_PGWIRE_TYPES_H

/* What reading and writing PostgreSQL's binary format have in common: its types and their limits. */

#include "row/number.h"
#include "row/pgwire.h"
#include "row/temporal.h"

/* catalog/pg_type.dat */
enum {
    BOOL = 16,
    BYTEA = 17,
    CHAR = 18,
    NAME = 19,
    INT8 = 20,
    INT2 = 21,
    INT4 = 23,
    TEXT = 25,
    OID = 26,
    JSON = 114,
    FLOAT4 = 700,
    FLOAT8 = 701,
    UNKNOWN = 705,
    BPCHAR = 1042,
    VARCHAR = 1043,
    DATE = 1082,
    TIME = 1083,
    TIMESTAMP = 1114,
    TIMESTAMPTZ = 1184,
    INTERVAL = 1186,
    TIMETZ = 1266,
    BIT = 1560,
    VARBIT = 1562,
    NUMERIC = 1700,
    UUID = 2950,
    JSONB = 3802
};

/* OIDs below this one are made by initdb, so none of them is an enum, and their binary form is not
 * text. access/transam.h */
#define FIRST_NORMAL_OID 16384

/* 2000-01-01, the beginning of PostgreSQL's days and microseconds. */
#define PG_EPOCH_DAYS 10957
#define PG_EPOCH_US (PG_EPOCH_DAYS * DD_US_PER_DAY)

/* datatype/timestamp.h: first day (Julian day 0), end of days, first microsecond. */
#define PG_FIRST_DAY INT64_C(-2451545)
#define PG_END_DAY (INT64_C(2147483494) - 2451545)
#define PG_FIRST_US INT64_C(-211813488000000000)

/* What fits into one allocation of the server (MaxAllocSize), its header included. */
#define PG_LONGEST_VALUE (0x3fffffffU - 8)
#define PG_LONGEST_NAME 63
#define PG_LONGEST_WHOLE 131072   /* digits of a numeric before the point */
#define PG_LONGEST_FRACTION 16383 /* and after it */

/* For messages; a type without a name is called by its number. */
typedef struct type_label {
    char text[24];
} type_label;

static inline type_label label_of(uint32_t oid) {
    type_label label = {{0}};
    const char *name = dd_pg_type_name(oid);
    if (name) {
        memcpy(label.text, name, strlen(name));
    } else {
        memcpy(label.text, "type ", 5);
        dd_number_put_integer((uint8_t *)label.text + 5, false, oid);
    }
    return label;
}

#endif
