#ifndef DD_PAIR_SPILL_H
#define DD_PAIR_SPILL_H

/*
 * One side of a partitioned comparison: for every row (key digest, row digest, key), spread over
 * partitions by the key digest, in one unlinked file. Written once, then read partition by partition.
 */

#include "row/value.h"

typedef struct dd_spill dd_spill;

/* What is read back; `key` points into the partition's buffer. */
typedef struct dd_spill_record {
    dd_digest key_digest, row_digest;
    const uint8_t *key;
    uint32_t key_length;
} dd_spill_record;

/* The number of partitions that keeps each within a few megabytes. */
unsigned dd_spill_partitions(uint64_t expected_rows);

DD_MUST_CHECK dd_status dd_spill_open(const char *directory, unsigned partitions, dd_spill **out,
                                      dd_err *err);
/* Adds one row, whose first `key_length` bytes are its key. */
DD_MUST_CHECK dd_status dd_spill_add(dd_spill *spill, const uint8_t *row, size_t length,
                                     size_t key_length, dd_err *err);
/*
 * Reads one partition, sorted by key digest. The records are the spill's and valid until the next
 * call.
 */
DD_MUST_CHECK dd_status dd_spill_read(dd_spill *spill, unsigned partition,
                                      const dd_spill_record **records, size_t *count,
                                      dd_err *err);
void dd_spill_close(dd_spill *spill); /* NULL is fine */

#endif
