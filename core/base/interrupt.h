#ifndef DD_BASE_INTERRUPT_H
#define DD_BASE_INTERRUPT_H

/*
 * One flag that says: a person wants this to stop. A signal handler sets it; every wait on a server
 * looks at it, cancels the server's statement and fails with class `canceled`. It stays set until
 * the owner of the process clears it (the REPL does, before each line).
 */

#include <stdbool.h>

/* Async-signal-safe. */
void dd_interrupt(void);
bool dd_interrupted(void);
void dd_interrupt_clear(void);

#endif
