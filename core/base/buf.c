#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

void dd_out_of_memory(size_t bytes) {
    fprintf(stderr, "dualdb: out of memory (%zu bytes)\n", bytes);
    abort();
}

void *dd_alloc(size_t bytes) {
    void *memory = malloc(bytes ? bytes : 1);
    if (!memory) dd_out_of_memory(bytes);
    return memory;
}

void *dd_calloc(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size ? size : 1);
    if (!memory) dd_out_of_memory(count);
    return memory;
}

void *dd_realloc(void *memory, size_t bytes) {
    memory = realloc(memory, bytes ? bytes : 1);
    if (!memory) dd_out_of_memory(bytes);
    return memory;
}

char *dd_strdup(const char *text) {
    size_t size = strlen(text) + 1;
    return memcpy(dd_alloc(size), text, size);
}

void dd_buf_grow(dd_buf *buf, size_t more) {
    if (more > SIZE_MAX / 2 - buf->length) dd_out_of_memory(more);
    size_t wanted = buf->length + more;
    size_t capacity = buf->capacity ? buf->capacity : 64;
    while (capacity < wanted) capacity *= 2;
    buf->data = dd_realloc(buf->data, capacity);
    buf->capacity = capacity;
}

void dd_buf_free(dd_buf *buf) {
    free(buf->data);
    *buf = (dd_buf){0};
}

void dd_buf_trim(dd_buf *buf, size_t kept) {
    if (buf->capacity > kept) dd_buf_free(buf);
}
