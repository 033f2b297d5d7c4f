#include "db/branch.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

bool dd_gid_valid(const char *gid) {
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t length = strlen(gid);
    return length > 0 && length <= DD_GID_LIMIT && strspn(gid, allowed) == length;
}

void dd_branch_sql(const char *driver, dd_branch_verb verb, const char *gid, dd_branch_text *out) {
    static const char *const xa[DD_BRANCH_VERBS] = {
        "xa start '%s'", "xa end '%s'", "xa prepare '%s'", "xa commit '%s'", "xa rollback '%s'",
    };
    static const char *const two_phase[DD_BRANCH_VERBS] = {
        "begin", "", "prepare transaction '%s'", "commit prepared '%s'", "rollback prepared '%s'",
    };
    assert(dd_gid_valid(gid)); /* nothing in it needs to be escaped */
    const char *format = (strcmp(driver, "mysql") == 0 ? xa : two_phase)[verb];
    const char *mark = strstr(format, "%s");
    if (mark)
        snprintf(out->sql, sizeof out->sql, "%.*s%s'", (int)(mark - format), format, gid);
    else
        snprintf(out->sql, sizeof out->sql, "%s", format);
}
