#include "base/shared.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/check.h"

static char directory[] = "/tmp/dualdb-shared-test-XXXXXX";
static char path[64];

static dd_shared *open_page(uint32_t layout) {
    dd_shared *shared;
    dd_err err;
    CHECK_MESSAGE(dd_shared_open(path, layout, &shared, &err) == DD_OK, "%s", err.message);
    return shared;
}

static unsigned char *bytes(dd_shared *shared) { return dd_shared_memory(shared); }

static void begin(void) { unlink(path); }

static void write_file(const char *text, size_t length) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(write(fd, text, length) == (ssize_t)length);
    close(fd);
}

/* Overwrites bytes of the file where it is, as damage would. */
static void patch(long offset, const char *text) {
    int fd = open(path, O_WRONLY);
    CHECK(pwrite(fd, text, strlen(text), offset) == (ssize_t)strlen(text));
    close(fd);
}

static void a_new_page_is_all_zero_and_for_this_user_alone(void) {
    begin();
    dd_shared *shared = open_page(1);
    for (int i = 0; i < DD_SHARED_BYTES; i++) CHECK(bytes(shared)[i] == 0);
    struct stat info;
    CHECK(!stat(path, &info) && (info.st_mode & 0777) == 0600);
    dd_shared_close(shared);
}

static void all_who_open_it_share_it_and_it_outlives_them(void) {
    begin();
    dd_shared *one = open_page(1), *other = open_page(1);
    bytes(one)[100] = 7;
    CHECK(bytes(other)[100] == 7);
    dd_shared_close(one);
    dd_shared_close(other);
    one = open_page(1);
    CHECK(bytes(one)[100] == 7);
    dd_shared_close(one);
}

static void a_file_that_is_something_else_is_made_anew(void) {
    static const char *const texts[] = {"", "x", "something else, and much too short"};
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        write_file(texts[i], strlen(texts[i]));
        dd_shared *shared = open_page(1);
        CHECK(bytes(shared)[0] == 0);
        dd_shared_close(shared);
    }
    char large[4096];
    memset(large, 'x', sizeof large);
    write_file(large, sizeof large);
    dd_shared *shared = open_page(1);
    CHECK(bytes(shared)[0] == 0);
    dd_shared_close(shared);
}

static void another_layout_and_another_start_of_the_machine_begin_with_zero(void) {
    begin();
    dd_shared *old = open_page(1);
    bytes(old)[5] = 9;
    dd_shared *other = open_page(2);
    CHECK(bytes(other)[5] == 0);
    CHECK(bytes(old)[5] == 9); /* who has the old one keeps it, and does not see it change */
    dd_shared_close(old);
    bytes(other)[5] = 9;
    dd_shared_close(other);
    patch(16, "00000000-0000-0000-0000-000000000000"); /* another boot */
    other = open_page(2);
    CHECK(bytes(other)[5] == 0);
    dd_shared_close(other);
}

static void processes_that_make_it_at_the_same_time_make_one(void) {
    enum { PROCESSES = 12, ROUNDS = 20 };
    for (int round = 0; round < ROUNDS; round++) {
        write_file("not a page", 10);
        for (int i = 0; i < PROCESSES; i++)
            if (fork() == 0) {
                dd_shared *own;
                dd_err err;
                if (dd_shared_open(path, 1, &own, &err)) _exit(1);
                bytes(own)[i] = 1;
                _exit(0);
            }
        for (int i = 0, status; i < PROCESSES; i++) CHECK(wait(&status) > 0 && status == 0);
        dd_shared *shared = open_page(1);
        for (int i = 0; i < PROCESSES; i++) CHECK(bytes(shared)[i] == 1);
        dd_shared_close(shared);
    }
}

static void a_process_killed_while_it_makes_the_page_is_in_nobodys_way(void) {
    uint64_t seed = 7;
    for (int i = 0; i < 100; i++) {
        begin();
        pid_t victim = fork();
        if (victim == 0) {
            dd_shared *own;
            dd_err err;
            for (uint32_t layout = 0;; layout = !layout)
                if (dd_shared_open(path, layout, &own, &err) == DD_OK) dd_shared_close(own);
        }
        struct timespec pause = {.tv_nsec = (long)(check_random(&seed) % 500000)};
        nanosleep(&pause, NULL); /* any instruction will do */
        kill(victim, SIGKILL);
        waitpid(victim, NULL, 0);
        dd_shared *shared = open_page(3);
        CHECK(bytes(shared)[0] == 0);
        dd_shared_close(shared);
    }
}

static void what_cannot_be_opened_is_an_error_of_the_configuration(void) {
    dd_shared *shared;
    dd_err err;
    CHECK(dd_shared_open("/nowhere/at/all", 1, &shared, &err) == DD_FAIL);
    CHECK(err.class_ == DD_CONFIG && shared == NULL);
    CHECK(dd_shared_open(directory, 1, &shared, &err) == DD_FAIL);
    CHECK(err.class_ == DD_CONFIG);
    begin();
    CHECK(!symlink("/tmp/dualdb-somewhere-else", path));
    CHECK(dd_shared_open(path, 1, &shared, &err) == DD_FAIL); /* nobody else chooses the file */
    begin();
}

static void a_process_stopped_while_it_makes_the_page_is_not_waited_for(void) {
    write_file("not a page", 10);
    int fd = open(path, O_RDWR);
    CHECK(!flock(fd, LOCK_EX));
    dd_shared *shared;
    dd_err err;
    CHECK(dd_shared_open(path, 1, &shared, &err) == DD_FAIL);
    CHECK(err.class_ == DD_CONFIG);
    close(fd);
}

static void a_private_page_is_there_when_no_file_can_be(void) {
    dd_shared *shared;
    dd_err err;
    CHECK(dd_shared_private(&shared, &err) == DD_OK);
    for (int i = 0; i < DD_SHARED_BYTES; i++) CHECK(bytes(shared)[i]++ == 0);
    dd_shared_close(shared);
    dd_shared_close(NULL);
}

int main(void) {
    if (!mkdtemp(directory)) return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/page", directory);
    RUN(a_new_page_is_all_zero_and_for_this_user_alone);
    RUN(all_who_open_it_share_it_and_it_outlives_them);
    RUN(a_file_that_is_something_else_is_made_anew);
    RUN(another_layout_and_another_start_of_the_machine_begin_with_zero);
    RUN(processes_that_make_it_at_the_same_time_make_one);
    RUN(a_process_killed_while_it_makes_the_page_is_in_nobodys_way);
    RUN(what_cannot_be_opened_is_an_error_of_the_configuration);
    RUN(a_process_stopped_while_it_makes_the_page_is_not_waited_for);
    RUN(a_private_page_is_there_when_no_file_can_be);
    unlink(path);
    char fresh[80];
    snprintf(fresh, sizeof fresh, "%s.new", path);
    unlink(fresh);
    rmdir(directory);
    return CHECK_RESULT();
}
