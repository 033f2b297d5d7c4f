#include "row/kind.h"

#include <stddef.h>

const char *dd_kind_name(dd_kind kind) {
    switch (kind) {
    case DD_KIND_BOOL: return "boolean";
    case DD_KIND_INT: return "integer";
    case DD_KIND_DECIMAL: return "decimal";
    case DD_KIND_FLOAT32: return "float32";
    case DD_KIND_FLOAT64: return "float64";
    case DD_KIND_TEXT: return "text";
    case DD_KIND_BYTES: return "bytes";
    case DD_KIND_DATE: return "date";
    case DD_KIND_TIME: return "time";
    case DD_KIND_TIMESTAMP: return "timestamp";
    case DD_KIND_JSON: return "json";
    case DD_KIND_UUID: return "uuid";
    case DD_KIND_BITS: return "bits";
    case DD_KIND_UNSUPPORTED: break;
    }
    return "unsupported";
}

bool dd_kind_valid(char letter) {
    switch ((dd_kind)letter) {
    case DD_KIND_BOOL:
    case DD_KIND_INT:
    case DD_KIND_DECIMAL:
    case DD_KIND_FLOAT32:
    case DD_KIND_FLOAT64:
    case DD_KIND_TEXT:
    case DD_KIND_BYTES:
    case DD_KIND_DATE:
    case DD_KIND_TIME:
    case DD_KIND_TIMESTAMP:
    case DD_KIND_JSON:
    case DD_KIND_UUID:
    case DD_KIND_BITS: return true;
    case DD_KIND_UNSUPPORTED: break;
    }
    return false;
}

bool dd_kind_ordered(dd_kind kind) {
    switch (kind) {
    case DD_KIND_BOOL:
    case DD_KIND_INT:
    case DD_KIND_DECIMAL:
    case DD_KIND_BYTES:
    case DD_KIND_DATE:
    case DD_KIND_TIME:
    case DD_KIND_TIMESTAMP:
    case DD_KIND_BITS: return true;
    /* -0 equals 0 on both servers and MySQL compares FLOAT with a rounded literal. */
    case DD_KIND_FLOAT32:
    case DD_KIND_FLOAT64:
    /* char(36) sorts by its collation, and MariaDB's uuid by its last group first. */
    case DD_KIND_UUID:
    case DD_KIND_TEXT:
    case DD_KIND_JSON:
    case DD_KIND_UNSUPPORTED: break;
    }
    return false;
}
