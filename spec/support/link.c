/*
 * A link between dualdb and one server: it delays what passes, lets only so much pass in a second,
 * and counts it.
 *
 *     link HOST PORT MILLISECONDS MEGABITS PIPE
 *
 * Each way takes MILLISECONDS, and carries MEGABITS a second for all connections together; 0 of
 * either is no limit. It listens on a loopback port of its own. Commands are lines of the named
 * pipe; each is answered by one line on standard output. It ends with its parent.
 *
 *   port     its own
 *   bytes    that came from the clients and from the server since this was last asked
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

enum { CLIENT, SERVER };
/* Bytes read at once; and those that one way of a connection holds before it reads no more. */
enum { PIECE = 16384, MOST_HELD = 8 << 20 };

/* What was received together, and leaves together. */
typedef struct piece {
    struct piece *next;
    double due;            /* when the last of it arrives */
    size_t length, sent;
    uint8_t data[];
} piece;

/* One way of a connection. */
typedef struct way {
    piece *first, **last;
    size_t held;
    bool ended;            /* nothing more comes */
} way;

typedef struct connection {
    struct connection *next;
    int fd[2];
    way from[2];
    bool dead;
} connection;

static struct {
    struct sockaddr_in server, own;
    int listening, control;
    double delay, bytes_per_second;
    double busy_until[2];  /* each way of the link */
    unsigned long long passed[2];
    connection *connections;
} carrier;

static void give_up(const char *what) {
    perror(what);
    exit(1);
}

/* ---- connections ---- */

static void start_listening(void) {
    socklen_t size = sizeof carrier.own;
    carrier.listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(carrier.listening, (struct sockaddr *)&carrier.own, sizeof carrier.own) != 0 ||
        listen(carrier.listening, 64) != 0 ||
        getsockname(carrier.listening, (struct sockaddr *)&carrier.own, &size) != 0)
        give_up("link: cannot listen");
}

static void take_client(void) {
    const int yes = 1;
    int client = accept4(carrier.listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) return;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server < 0 ||
        connect(server, (struct sockaddr *)&carrier.server, sizeof carrier.server) != 0) {
        close(client);
        if (server >= 0) close(server);
        return;
    }
    fcntl(server, F_SETFL, O_NONBLOCK);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    connection *made = dd_calloc(1, sizeof *made);
    made->fd[CLIENT] = client;
    made->fd[SERVER] = server;
    for (int i = 0; i < 2; i++) made->from[i].last = &made->from[i].first;
    made->next = carrier.connections;
    carrier.connections = made;
}

static void bury(void) {
    for (connection **at = &carrier.connections; *at;) {
        connection *link = *at;
        if (!link->dead) {
            at = &link->next;
            continue;
        }
        *at = link->next;
        for (int i = 0; i < 2; i++) {
            close(link->fd[i]);
            while (link->from[i].first) {
                piece *next = link->from[i].first->next;
                free(link->from[i].first);
                link->from[i].first = next;
            }
        }
        free(link);
    }
}

/* ---- bytes ---- */

/* The link carries one piece after the other, and each is on its way for the delay. */
static double due(int from, size_t length) {
    const double now = dd_clock();
    if (carrier.busy_until[from] < now) carrier.busy_until[from] = now;
    if (carrier.bytes_per_second > 0)
        carrier.busy_until[from] += (double)length / carrier.bytes_per_second;
    return carrier.busy_until[from] + carrier.delay;
}

static void receive(connection *link, int from) {
    way *in = &link->from[from];
    piece *got = dd_calloc(1, sizeof *got + PIECE);
    ssize_t length = read(link->fd[from], got->data, PIECE);
    if (length <= 0) {
        if (length == 0 || (errno != EAGAIN && errno != EINTR)) in->ended = true;
        free(got);
        return;
    }
    got->length = (size_t)length;
    got->due = due(from, got->length);
    *in->last = got;
    in->last = &got->next;
    in->held += got->length;
    carrier.passed[from] += got->length;
}

/* Sends what has arrived; an end that has gone ends the connection. */
static void deliver(connection *link, int from) {
    way *in = &link->from[from];
    while (in->first && in->first->due <= dd_clock()) {
        piece *at = in->first;
        ssize_t sent =
            send(link->fd[!from], at->data + at->sent, at->length - at->sent, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (sent < 0) {
            link->dead = true;
            return;
        }
        at->sent += (size_t)sent;
        in->held -= (size_t)sent;
        if (at->sent < at->length) continue;
        in->first = at->next;
        if (!in->first) in->last = &in->first;
        free(at);
    }
    if (in->ended && !in->first) link->dead = true;
}

/* ---- commands ---- */

static void read_command(void) {
    char text[64];
    ssize_t length = read(carrier.control, text, sizeof text - 1);
    if (length <= 0) return;
    text[length] = '\0';
    if (strcmp(text, "port\n") == 0) {
        printf("%u\n", (unsigned)ntohs(carrier.own.sin_port));
    } else if (strcmp(text, "bytes\n") == 0) {
        printf("%llu %llu\n", carrier.passed[CLIENT], carrier.passed[SERVER]);
        carrier.passed[CLIENT] = carrier.passed[SERVER] = 0;
    } else {
        puts("error");
    }
    fflush(stdout);
}

/* ---- the loop ---- */

static void watch(struct pollfd *polled, const connection *link, int i, double now, double *wait) {
    const way *in = &link->from[i], *out = &link->from[!i];
    *polled = (struct pollfd){.fd = link->fd[i]};
    if (!in->ended && in->held < MOST_HELD) polled->events |= POLLIN;
    if (out->first && out->first->due <= now) {
        polled->events |= POLLOUT;
    } else if (out->first && out->first->due - now < *wait) {
        *wait = out->first->due - now;
    }
    if (polled->events == 0) polled->fd = -1;
}

static void turn(dd_buf *memory) {
    size_t count = 2;
    for (connection *link = carrier.connections; link; link = link->next) count += 2;
    dd_buf_clear(memory);
    struct pollfd *polled =
        (struct pollfd *)(void *)dd_buf_reserve(memory, count * sizeof *polled);
    polled[0] = (struct pollfd){.fd = carrier.control, .events = POLLIN};
    polled[1] = (struct pollfd){.fd = carrier.listening, .events = POLLIN};
    struct pollfd *at = polled + 2;
    double wait = 10;
    const double now = dd_clock();
    for (connection *link = carrier.connections; link; link = link->next)
        for (int i = 0; i < 2; i++) watch(at++, link, i, now, &wait);
    const struct timespec most = {(time_t)wait, (long)((wait - (double)(time_t)wait) * 1e9)};
    if (ppoll(polled, count, &most, NULL) < 0 && errno != EINTR) give_up("link: cannot poll");
    at = polled + 2;
    for (connection *link = carrier.connections; link; link = link->next, at += 2)
        for (int i = 0; i < 2 && !link->dead; i++) {
            if (at[i].fd >= 0 && at[i].revents & (POLLIN | POLLHUP | POLLERR)) receive(link, i);
            deliver(link, !i);
        }
    bury();
    if (polled[1].revents) take_client();
    if (polled[0].revents) read_command();
}

int main(int count, char **words) {
    if (count != 6) {
        fputs("usage: link HOST PORT MILLISECONDS MEGABITS PIPE\n", stderr);
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    carrier.server.sin_family = carrier.own.sin_family = AF_INET;
    carrier.server.sin_port = htons((uint16_t)atoi(words[2]));
    carrier.own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (inet_pton(AF_INET, words[1], &carrier.server.sin_addr) != 1) give_up(words[1]);
    carrier.delay = atof(words[3]) / 1000;
    carrier.bytes_per_second = atof(words[4]) * 1e6 / 8;
    carrier.control = open(words[5], O_RDWR | O_CLOEXEC); /* so that it has no end */
    if (carrier.control < 0) give_up(words[5]);
    start_listening();
    dd_buf memory = {0};
    for (;;) turn(&memory);
}
