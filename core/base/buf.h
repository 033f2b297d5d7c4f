#ifndef DD_BASE_BUF_H
#define DD_BASE_BUF_H

/*
 * A growing byte buffer. It keeps its memory when cleared, so a buffer that lives as long as a
 * stream stops allocating after the first rows. Running out of memory ends the process through
 * dd_out_of_memory(): an engine that cannot hold one row has no honest way on.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct dd_buf {
    uint8_t *data;     /* owned; NULL while nothing was ever reserved */
    size_t length;     /* bytes in use */
    size_t capacity;   /* bytes allocated */
} dd_buf;

_Noreturn void dd_out_of_memory(size_t bytes);

/* malloc, calloc and realloc that never return NULL; `count * size` is checked for overflow. */
void *dd_alloc(size_t bytes);
void *dd_calloc(size_t count, size_t size);
void *dd_realloc(void *memory, size_t bytes);
char *dd_strdup(const char *text);

/* Slow path of dd_buf_reserve: makes room for `more` bytes after `length`. */
void dd_buf_grow(dd_buf *buf, size_t more);
/* Frees the memory and leaves an empty buffer. */
void dd_buf_free(dd_buf *buf);
/* The same when it has more than `kept` bytes: for buffers that outlive a huge value. */
void dd_buf_trim(dd_buf *buf, size_t kept);

/* Room for `more` bytes after `length`; returns where they go. `length` does not change. */
static inline uint8_t *dd_buf_reserve(dd_buf *buf, size_t more) {
    if (buf->capacity - buf->length < more) dd_buf_grow(buf, more);
    return buf->data + buf->length;
}

static inline void dd_buf_clear(dd_buf *buf) { buf->length = 0; }

static inline void dd_buf_add(dd_buf *buf, const void *bytes, size_t count) {
    if (count == 0) return;
    memcpy(dd_buf_reserve(buf, count), bytes, count);
    buf->length += count;
}

static inline void dd_buf_add_byte(dd_buf *buf, uint8_t byte) {
    *dd_buf_reserve(buf, 1) = byte;
    buf->length++;
}

static inline void dd_buf_add_text(dd_buf *buf, const char *text) {
    dd_buf_add(buf, text, strlen(text));
}

/* Big-endian integers, as PostgreSQL's wire and the canonical form have them. */
static inline void dd_put_u16(uint8_t *at, uint16_t v) {
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}
static inline void dd_put_u32(uint8_t *at, uint32_t v) {
    v = __builtin_bswap32(v);
    memcpy(at, &v, 4);
}
static inline void dd_put_u64(uint8_t *at, uint64_t v) {
    v = __builtin_bswap64(v);
    memcpy(at, &v, 8);
}
static inline uint16_t dd_get_u16(const uint8_t *at) {
    return (uint16_t)(((unsigned)at[0] << 8) | at[1]);
}
static inline uint32_t dd_get_u32(const uint8_t *at) {
    uint32_t v;
    memcpy(&v, at, 4);
    return __builtin_bswap32(v);
}
static inline uint64_t dd_get_u64(const uint8_t *at) {
    uint64_t v;
    memcpy(&v, at, 8);
    return __builtin_bswap64(v);
}
static inline void dd_buf_add_u16(dd_buf *buf, uint16_t v) {
    dd_put_u16(dd_buf_reserve(buf, 2), v);
    buf->length += 2;
}
static inline void dd_buf_add_u32(dd_buf *buf, uint32_t v) {
    dd_put_u32(dd_buf_reserve(buf, 4), v);
    buf->length += 4;
}
static inline void dd_buf_add_u64(dd_buf *buf, uint64_t v) {
    dd_put_u64(dd_buf_reserve(buf, 8), v);
    buf->length += 8;
}

#endif
