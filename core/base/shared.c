#include "base/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

#define MAGIC "ddshare"
#define LOCK_SECONDS 2.0

struct header {
    char magic[8];
    uint32_t layout;
    uint32_t size;
    char boot[40]; /* names this start of the machine; "" when the system does not say */
    char unused[8];
};

_Static_assert(sizeof(struct header) + DD_SHARED_BYTES == 4096, "the page is full");

struct dd_shared {
    unsigned char *page;
};

enum { PAGE = sizeof(struct header) + DD_SHARED_BYTES };

static void set_header(struct header *header, uint32_t layout) {
    memset(header, 0, sizeof *header);
    memcpy(header->magic, MAGIC, sizeof MAGIC);
    header->layout = layout;
    header->size = PAGE;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t length = read(fd, header->boot, sizeof header->boot - 1);
    if (length <= 0) header->boot[0] = '\0';
    close(fd);
}

static dd_status fail(dd_err *err, const char *path, const char *what) {
    return dd_fail(err, DD_CONFIG, "%s cannot be %s: %s", path, what, strerror(errno));
}

/* Whether the open file is a page as this process would make it. */
static bool is_page(int fd, const struct header *expected) {
    struct header found;
    struct stat info;
    return !fstat(fd, &info) && S_ISREG(info.st_mode) && info.st_size == PAGE &&
           pread(fd, &found, sizeof found, 0) == (ssize_t)sizeof found &&
           memcmp(&found, expected, sizeof found) == 0;
}

/* Waits for the lock, but not for a process that was stopped while it held it. */
static dd_status lock(int fd, const char *path, dd_err *err) {
    dd_deadline deadline = dd_deadline_in(LOCK_SECONDS);
    while (flock(fd, LOCK_EX | LOCK_NB)) {
        if (errno != EWOULDBLOCK && errno != EINTR) return fail(err, path, "locked");
        if (dd_deadline_passed(deadline))
            return dd_fail(err, DD_CONFIG, "%s is locked by another process", path);
        if (!dd_sleep(0.002)) return dd_fail(err, DD_CANCELED, "interrupted");
    }
    return DD_OK;
}

/* A new file in full, so that neither a full disk nor a reader can find half of one. Whoever has the
 * file before it mapped keeps that, and shares it with nobody new. */
static dd_status replace(const char *path, const struct header *header, dd_err *err) {
    char fresh[4096];
    if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh)
        return dd_fail(err, DD_CONFIG, "%s is too long a path", path);
    unsigned char page[PAGE] = {0};
    memcpy(page, header, sizeof *header);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return fail(err, fresh, "made");
    bool written = write(fd, page, sizeof page) == (ssize_t)sizeof page;
    if (close(fd) || !written || rename(fresh, path)) {
        (void)fail(err, fresh, "written");
        unlink(fresh);
        return DD_FAIL;
    }
    return DD_OK;
}

/* Makes the page unless somebody else did meanwhile; `fd` is the file that was not one. */
static dd_status make(int fd, const char *path, const struct header *header, dd_err *err) {
    if (lock(fd, path, err)) return DD_FAIL;
    struct stat mine, named;
    if (fstat(fd, &mine)) return fail(err, path, "read");
    /* Another process that held the lock has put its page in the place of this file. */
    if (stat(path, &named) || mine.st_ino != named.st_ino || mine.st_dev != named.st_dev)
        return DD_OK;
    return is_page(fd, header) ? DD_OK : replace(path, header, err);
}

static dd_status map(int fd, dd_shared **out, dd_err *err) {
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (page == MAP_FAILED) return fail(err, "shared memory", "mapped");
    *out = dd_calloc(1, sizeof **out);
    (*out)->page = page;
    return DD_OK;
}

dd_status dd_shared_open(const char *path, uint32_t layout, dd_shared **out, dd_err *err) {
    enum { ATTEMPTS = 8 }; /* each fails only if another process replaced the file just then */
    struct header header;
    set_header(&header, layout);
    *out = NULL;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) return fail(err, path, "opened");
        bool ready = is_page(fd, &header);
        dd_status status = ready ? map(fd, out, err) : make(fd, path, &header, err);
        close(fd);
        if (status || ready) return status;
    }
    return dd_fail(err, DD_CONFIG, "%s is replaced by other processes all the time", path);
}

dd_status dd_shared_private(dd_shared **out, dd_err *err) {
    *out = NULL;
    return map(-1, out, err);
}

void *dd_shared_memory(dd_shared *shared) { return shared->page + sizeof(struct header); }

void dd_shared_close(dd_shared *shared) {
    if (!shared) return;
    munmap(shared->page, PAGE);
    free(shared);
}
