#ifndef DD_APP_LINE_EDITOR_H
#define DD_APP_LINE_EDITOR_H

#include <lua.h>

/*
 * The module `dualdb.app`, which only the executable has:
 *   read_line(prompt) -> line | nil at the end of input
 *   add_history(line), load_history(path), save_history(path)
 *   reset_signals(): forgets a Ctrl-C that has been dealt with
 *   has_line_editor: whether lines can be edited
 */
int luaopen_dualdb_app(lua_State *L);

#endif
