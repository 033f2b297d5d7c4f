#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    bool retryable;
    int exit_code;
} classes[DD_CLASS_COUNT] = {
#define DD_CLASS(id, name, retryable, exit_code) [DD_##id] = {name, retryable, exit_code},
#include "errors.def"
#undef DD_CLASS
};

const char *dd_class_name(dd_class class_) { return classes[class_].name; }

bool dd_class_retryable(dd_class class_) { return classes[class_].retryable; }

int dd_class_exit_code(dd_class class_) { return classes[class_].exit_code; }

const char *dd_outcome_name(dd_outcome outcome) {
    switch (outcome) {
    case DD_APPLIED: return "applied";
    case DD_NOT_APPLIED: return "not_applied";
    case DD_OUTCOME_UNKNOWN: return "unknown";
    }
    return "unknown";
}

void dd_err_text(char *field, unsigned long size, const char *text) {
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' ')) length--;
    if (length >= size) {
        length = size - 1;
        while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80) length--;
    }
    memmove(field, text, length);
    field[length] = '\0';
    for (char *c = field; *c; c++)
        if ((unsigned char)*c < ' ') *c = ' ';
}

dd_status(dd_fail)(dd_err *err, dd_class class_, const char *format, ...) {
    char text[sizeof err->message * 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    *err = (dd_err){.class_ = class_, .outcome = DD_NOT_APPLIED};
    dd_err_text(err->message, sizeof err->message, text);
    return DD_FAIL;
}

void dd_hint(dd_err *err, const char *format, ...) {
    char text[sizeof err->hint * 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    dd_err_text(err->hint, sizeof err->hint, text);
}
