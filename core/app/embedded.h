#ifndef DD_APP_EMBEDDED_H
#define DD_APP_EMBEDDED_H

#include <lua.h>

/* The project's Lua sources inside the executable; the table is made by scripts/build/embed.lua and
 * ends with a NULL name. */
typedef struct dd_embedded {
    const char *name;      /* "dualdb.config" */
    const char *chunk;     /* "@lua/dualdb/config.lua" */
    const char *text;
} dd_embedded;

extern const dd_embedded dd_embedded_sources[];

/* Puts the embedded modules, and dualdb.core, into package.preload. */
void dd_open_embedded(lua_State *L);

#endif
