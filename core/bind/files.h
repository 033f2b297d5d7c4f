#ifndef DD_BIND_FILES_H
#define DD_BIND_FILES_H

#include <lua.h>

/* Adds lock_file and file_digest to the module table on the top of the stack. */
void dd_open_files(lua_State *L);

#endif
