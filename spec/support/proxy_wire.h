#ifndef DD_SPEC_PROXY_WIRE_H
#define DD_SPEC_PROXY_WIRE_H

/*
 * As much of the MySQL and PostgreSQL protocols as shows which statements a client runs, and which
 * of them a message of the server answers.
 */

#include "base/buf.h"

#include <stdbool.h>

typedef enum { DD_WIRE_MYSQL, DD_WIRE_POSTGRES } dd_wire_kind;

typedef struct dd_wire dd_wire; /* one connection */

typedef struct dd_wire_message {
    size_t length;         /* of the whole message; 0 = more bytes are needed */
    const char *text;      /* of the statement that a request runs, or NULL; until the next call */
    uint64_t statement;    /* its number; of an answer: the statement that it ends, or 0 */
    char reply;            /* the client is to have this byte, and the server nothing; or 0 */
} dd_wire_message;

dd_wire *dd_wire_new(dd_wire_kind kind);
void dd_wire_free(dd_wire *wire);

/* The first message of what a client has sent. */
dd_wire_message dd_wire_request(dd_wire *wire, const uint8_t *data, size_t length);
/* The first message of what the server has sent. An offer of encryption is taken out of it. */
dd_wire_message dd_wire_answer(dd_wire *wire, uint8_t *data, size_t length);

#endif
