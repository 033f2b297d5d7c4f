#ifndef DD_ROW_UTF8_H
#define DD_ROW_UTF8_H

/* Inside of the row layer: UTF-8 as RFC 3629 has it (no overlong forms, no surrogates). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes of the character that starts at `at`, or 0 when the bytes there are not one. */
static inline unsigned dd_utf8_length(const uint8_t *at, size_t left) {
    uint8_t first = at[0];
    if (first < 0x80) return 1;
    if (first < 0xC2) return 0;
    if (first < 0xE0) return left >= 2 && (at[1] & 0xC0) == 0x80 ? 2 : 0;
    if (first < 0xF0) {
        if (left < 3 || (at[1] & 0xC0) != 0x80 || (at[2] & 0xC0) != 0x80) return 0;
        if (first == 0xE0 && at[1] < 0xA0) return 0;
        if (first == 0xED && at[1] >= 0xA0) return 0;
        return 3;
    }
    if (first > 0xF4) return 0;
    if (left < 4 || (at[1] & 0xC0) != 0x80 || (at[2] & 0xC0) != 0x80 || (at[3] & 0xC0) != 0x80)
        return 0;
    if (first == 0xF0 && at[1] < 0x90) return 0;
    if (first == 0xF4 && at[1] >= 0x90) return 0;
    return 4;
}

/* Writes a code point (not a surrogate, at most 0x10FFFF); returns the number of bytes. */
static inline unsigned dd_utf8_put(uint32_t code, uint8_t *at) {
    if (code < 0x80) {
        at[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        at[0] = (uint8_t)(0xC0 | code >> 6);
        at[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        at[0] = (uint8_t)(0xE0 | code >> 12);
        at[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        at[2] = (uint8_t)(0x80 | (code & 0x3F));
        return 3;
    }
    at[0] = (uint8_t)(0xF0 | code >> 18);
    at[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    at[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    at[3] = (uint8_t)(0x80 | (code & 0x3F));
    return 4;
}

/* Most text is ASCII: look at many bytes at a time before looking at characters. */
static inline bool dd_utf8_valid(const uint8_t *text, size_t length) {
    size_t i = 0;
    while (i < length) {
        while (length - i >= 32) {
            uint64_t words[4];
            memcpy(words, text + i, 32);
            if ((words[0] | words[1] | words[2] | words[3]) & UINT64_C(0x8080808080808080)) break;
            i += 32;
        }
        while (length - i >= 8) {
            uint64_t word;
            memcpy(&word, text + i, 8);
            if (word & UINT64_C(0x8080808080808080)) break;
            i += 8;
        }
        if (length - i >= 4) {
            uint32_t word;
            memcpy(&word, text + i, 4);
            if (!(word & UINT32_C(0x80808080))) i += 4;
        }
        if (i >= length) break;
        unsigned bytes = dd_utf8_length(text + i, length - i);
        if (bytes == 0) return false;
        i += bytes;
    }
    return true;
}

#endif
