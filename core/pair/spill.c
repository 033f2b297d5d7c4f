#include "pair/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PARTITION_BYTES (8u << 20)      /* wanted size of a partition */
#define RECORD_BYTES_GUESS 64u
#define WRITE_BUFFERS_BYTES (8u << 20)  /* of all partitions of one side together */
#define MOST_PARTITIONS 1024u
#define HEADER_BYTES 36u                /* two digests and the length of the key */

typedef struct extent {
    off_t offset;
    size_t length;
} extent;

typedef struct partition {
    dd_buf pending;            /* records not written yet */
    extent *extents;           /* where the others are in the file */
    size_t extent_count, extent_capacity;
} partition;

struct dd_spill {
    int file;
    off_t end;
    unsigned count;
    size_t buffer_bytes;       /* a partition is written when it has that much pending */
    partition *partitions;
    dd_buf bytes;              /* the partition being read */
    dd_spill_record *records;
    size_t record_capacity;
};

unsigned dd_spill_partitions(uint64_t expected_rows) {
    uint64_t wanted = expected_rows * RECORD_BYTES_GUESS / PARTITION_BYTES + 1;
    return wanted < MOST_PARTITIONS ? (unsigned)wanted : MOST_PARTITIONS;
}

static dd_status open_unlinked(const char *directory, int *file, dd_err *err) {
    if (!directory) directory = getenv("TMPDIR");
    if (!directory || !directory[0]) directory = "/tmp";
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/dualdb-spill-XXXXXX", directory);
    if (length < 0 || (size_t)length >= sizeof path)
        return dd_fail(err, DD_CONFIG, "name of the spill directory is too long");
    *file = mkostemp(path, O_CLOEXEC);
    if (*file < 0)
        return dd_fail(err, DD_CONFIG, "no spill file can be made in %s: %s", directory,
                       strerror(errno));
    unlink(path);
    return DD_OK;
}

dd_status dd_spill_open(const char *directory, unsigned partitions, dd_spill **out, dd_err *err) {
    int file;
    *out = NULL;
    if (open_unlinked(directory, &file, err)) return DD_FAIL;
    dd_spill *spill = dd_calloc(1, sizeof *spill);
    spill->file = file;
    spill->count = partitions;
    spill->buffer_bytes = WRITE_BUFFERS_BYTES / partitions;
    spill->partitions = dd_calloc(partitions, sizeof *spill->partitions);
    *out = spill;
    return DD_OK;
}

static dd_status write_all(dd_spill *spill, const uint8_t *bytes, size_t length, dd_err *err) {
    while (length) {
        ssize_t written = pwrite(spill->file, bytes, length, spill->end);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0)
            return dd_fail(err, DD_CAPACITY, "spill file cannot be written: %s", strerror(errno));
        bytes += written;
        length -= (size_t)written;
        spill->end += written;
    }
    return DD_OK;
}

static dd_status flush(dd_spill *spill, partition *p, dd_err *err) {
    if (!p->pending.length) return DD_OK;
    if (p->extent_count == p->extent_capacity) {
        p->extent_capacity = p->extent_capacity ? 2 * p->extent_capacity : 4;
        p->extents = dd_realloc(p->extents, p->extent_capacity * sizeof *p->extents);
    }
    p->extents[p->extent_count++] = (extent){spill->end, p->pending.length};
    dd_status status = write_all(spill, p->pending.data, p->pending.length, err);
    dd_buf_clear(&p->pending);
    return status;
}

dd_status dd_spill_add(dd_spill *spill, const uint8_t *row, size_t length, size_t key_length,
                       dd_err *err) {
    dd_digest key = dd_row_digest(row, key_length);
    dd_digest whole = dd_row_digest(row, length);
    partition *p = &spill->partitions[key.low % spill->count];
    uint32_t key_bytes = (uint32_t)key_length;
    dd_buf_add(&p->pending, &key, sizeof key);
    dd_buf_add(&p->pending, &whole, sizeof whole);
    dd_buf_add(&p->pending, &key_bytes, sizeof key_bytes);
    dd_buf_add(&p->pending, row, key_length);
    return p->pending.length >= spill->buffer_bytes ? flush(spill, p, err) : DD_OK;
}

static dd_status read_extent(dd_spill *spill, const extent *from, dd_err *err) {
    uint8_t *at = dd_buf_reserve(&spill->bytes, from->length);
    size_t done = 0;
    while (done < from->length) {
        ssize_t got =
            pread(spill->file, at + done, from->length - done, from->offset + (off_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0)
            return dd_fail(err, DD_INTERNAL, "spill file cannot be read: %s",
                           got < 0 ? strerror(errno) : "it is shorter than was written");
        done += (size_t)got;
    }
    spill->bytes.length += from->length;
    return DD_OK;
}

static int by_key_digest(const void *a, const void *b) {
    const dd_digest *x = &((const dd_spill_record *)a)->key_digest;
    const dd_digest *y = &((const dd_spill_record *)b)->key_digest;
    if (x->high != y->high) return x->high < y->high ? -1 : 1;
    return x->low < y->low ? -1 : x->low > y->low;
}

static size_t parse_records(dd_spill *spill) {
    size_t count = 0;
    for (size_t at = 0; at < spill->bytes.length;) {
        if (count == spill->record_capacity) {
            spill->record_capacity = count ? 2 * count : 1024;
            spill->records =
                dd_realloc(spill->records, spill->record_capacity * sizeof *spill->records);
        }
        dd_spill_record *record = &spill->records[count++];
        const uint8_t *bytes = spill->bytes.data + at;
        memcpy(&record->key_digest, bytes, 16);
        memcpy(&record->row_digest, bytes + 16, 16);
        memcpy(&record->key_length, bytes + 32, 4);
        record->key = bytes + HEADER_BYTES;
        at += HEADER_BYTES + record->key_length;
    }
    return count;
}

dd_status dd_spill_read(dd_spill *spill, unsigned which, const dd_spill_record **records,
                        size_t *count, dd_err *err) {
    partition *p = &spill->partitions[which];
    dd_buf_clear(&spill->bytes);
    for (size_t i = 0; i < p->extent_count; i++)
        if (read_extent(spill, &p->extents[i], err)) return DD_FAIL;
    dd_buf_add(&spill->bytes, p->pending.data, p->pending.length);
    *count = parse_records(spill);
    *records = spill->records;
    if (*count) qsort(spill->records, *count, sizeof *spill->records, by_key_digest);
    return DD_OK;
}

void dd_spill_close(dd_spill *spill) {
    if (!spill) return;
    for (unsigned i = 0; i < spill->count; i++) {
        dd_buf_free(&spill->partitions[i].pending);
        free(spill->partitions[i].extents);
    }
    free(spill->partitions);
    free(spill->records);
    dd_buf_free(&spill->bytes);
    close(spill->file);
    free(spill);
}
