#include "base/interrupt.h"

#include <stdatomic.h>

static atomic_bool interrupted;

void dd_interrupt(void) { atomic_store(&interrupted, true); }
bool dd_interrupted(void) { return atomic_load_explicit(&interrupted, memory_order_relaxed); }
void dd_interrupt_clear(void) { atomic_store(&interrupted, false); }
