/*
 * A proxy between dualdb and one server, which sees the statements and their answers, and does to
 * them what the network may do.
 *
 *     proxy mysql|postgres HOST PORT PIPE
 *
 * It listens on a loopback port of its own. Commands are lines of the named pipe; each is answered
 * by one line on standard output. The proxy ends with its parent.
 *
 *   rule NTH WHEN WHAT TEXT   on the NTH statement (0 = each) that begins with TEXT, whatever the
 *                             case, counted over all connections from now on. Answer: the rule's number.
 *                             WHEN  request   before the server has it
 *                                   sent      as soon as it is on its way to the server
 *                                   answer    when the server has answered, before the client
 *                                             has it
 *                             WHAT  reset, close  ends both connections; the client sees
 *                                             ECONNRESET, or an orderly end
 *                                   hang      nothing passes any more in either direction, and
 *                                             neither end learns that the other one is gone
 *                                   down      reset, and then as the command `down`
 *                                   pass      nothing: it is counted
 *                                   a number  milliseconds that it is held back, and what follows
 *   hits NUMBER               how often a rule was met
 *   clear                     removes the rules
 *   down, up                  ends all connections and refuses new ones; takes new ones again
 *   lag MILLISECONDS          all that the server sends is held back so long
 *   turns                     how often a client sent something after it had received something,
 *                             or at first, since this was last asked
 *   port                      the proxy's
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/proxy_wire.h"

enum { CLIENT, SERVER };
typedef enum { REQUEST, SENT, ANSWER } moment;
typedef enum { RESET, CLOSE, HANG, DOWN, PASS, DELAY } deed;

typedef struct rule {
    struct rule *next;
    unsigned number, nth, met;
    moment when;
    deed what;
    double delay;          /* seconds */
    char text[200];
} rule;

typedef struct connection {
    struct connection *next;
    int fd[2];
    dd_buf in[2], out[2];  /* received from, and to be sent to, each end */
    bool ended[2];         /* it sends no more */
    double held[2];        /* what came from there waits until then */
    size_t passing[2];     /* bytes of the first message from there, if it has met its rules */
    bool hanging, dead;
    bool client_last;      /* the client was the last to send */
    dd_wire *wire;
    uint64_t awaited;      /* the statement whose answer meets a rule */
    deed awaited_what;
    double awaited_delay;
} connection;

static struct {
    dd_wire_kind kind;
    struct sockaddr_in server, own;
    int listening, control;
    double lag;
    unsigned turns, rules_made;
    rule *rules;
    connection *links;
    dd_buf line;
} proxy;

static void give_up(const char *what) {
    perror(what);
    exit(1);
}

/* ---- ends ---- */

static void reset_on_close(int fd) {
    const struct linger at_once = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static void end(connection *link, bool reset) {
    if (reset) reset_on_close(link->fd[CLIENT]);
    link->dead = true;
}

static void bury(void) {
    for (connection **at = &proxy.links; *at;) {
        connection *link = *at;
        if (!link->dead) {
            at = &link->next;
            continue;
        }
        *at = link->next;
        for (int i = 0; i < 2; i++) {
            if (link->fd[i] >= 0) close(link->fd[i]);
            dd_buf_free(&link->in[i]);
            dd_buf_free(&link->out[i]);
        }
        dd_wire_free(link->wire);
        free(link);
    }
}

static void start_listening(void) {
    const int yes = 1;
    socklen_t size = sizeof proxy.own;
    proxy.listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(proxy.listening, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(proxy.listening, (struct sockaddr *)&proxy.own, sizeof proxy.own) != 0 ||
        listen(proxy.listening, 64) != 0 ||
        getsockname(proxy.listening, (struct sockaddr *)&proxy.own, &size) != 0)
        give_up("proxy: cannot listen");
}

static void go_down(void) {
    for (connection *link = proxy.links; link; link = link->next) end(link, true);
    if (proxy.listening >= 0) close(proxy.listening);
    proxy.listening = -1;
}

static void take_client(void) {
    const int yes = 1;
    int client = accept4(proxy.listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) return;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server < 0 ||
        connect(server, (struct sockaddr *)&proxy.server, sizeof proxy.server) != 0) {
        reset_on_close(client);
        close(client);
        if (server >= 0) close(server);
        return;
    }
    fcntl(server, F_SETFL, O_NONBLOCK);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    connection *link = dd_calloc(1, sizeof *link);
    link->fd[CLIENT] = client;
    link->fd[SERVER] = server;
    link->wire = dd_wire_new(proxy.kind);
    link->next = proxy.links;
    proxy.links = link;
}

/* ---- bytes ---- */

static void drop_front(dd_buf *buf, size_t count) {
    memmove(buf->data, buf->data + count, buf->length - count);
    buf->length -= count;
}

static void receive(connection *link, int from) {
    dd_buf *in = &link->in[from];
    ssize_t got = read(link->fd[from], dd_buf_reserve(in, 65536), 65536);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        link->ended[from] = true;
        return;
    }
    in->length += (size_t)got;
    if (from == SERVER && proxy.lag > 0) link->held[SERVER] = dd_clock() + proxy.lag;
    if (from == CLIENT && !link->client_last) proxy.turns++;
    if (from == CLIENT) link->client_last = true;
}

static void deliver(connection *link, int to) {
    dd_buf *out = &link->out[to];
    while (out->length > 0) {
        ssize_t sent = send(link->fd[to], out->data, out->length, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (sent < 0) {
            link->ended[to] = true;
            return;
        }
        drop_front(out, (size_t)sent);
        if (to == CLIENT) link->client_last = false;
    }
}

/* Passes the first message on, which has met its rules. */
static void pass(connection *link, int from) {
    dd_buf_add(&link->out[!from], link->in[from].data, link->passing[from]);
    drop_front(&link->in[from], link->passing[from]);
    link->passing[from] = 0;
    deliver(link, !from);
}

/* ---- rules ---- */

/* Does it. True when the message, and what is behind it, has to wait or is lost. */
static bool done_to(connection *link, int from, deed what, double delay) {
    switch (what) {
    case RESET: end(link, true); return true;
    case CLOSE: end(link, false); return true;
    case DOWN: go_down(); return true;
    case HANG: link->hanging = true; return true;
    case DELAY: link->held[from] = dd_clock() + delay; return true;
    case PASS: break;
    }
    return false;
}

/* The rule that a statement meets now, or NULL. All that fit count it. */
static rule *meet(const char *text) {
    rule *found = NULL;
    text += strspn(text, " \t\r\n");
    for (rule *at = proxy.rules; at; at = at->next) {
        if (strncasecmp(text, at->text, strlen(at->text)) != 0) continue;
        at->met++;
        if ((at->nth == 0 || at->met == at->nth) && at->what != PASS) found = at;
    }
    return found;
}

/* A statement, before it is passed on. */
static bool request_met(connection *link, const dd_wire_message *message, deed *behind) {
    const rule *met = meet(message->text);
    if (!met) return false;
    if (met->when == REQUEST) return done_to(link, CLIENT, met->what, met->delay);
    if (met->when == SENT) {
        *behind = met->what;
        return false;
    }
    link->awaited = message->statement;
    link->awaited_what = met->what;
    link->awaited_delay = met->delay;
    return false;
}

static bool can_move(const connection *link, int from) {
    return !link->dead && !link->hanging && link->held[from] == 0 && link->in[from].length > 0;
}

static void from_client(connection *link) {
    dd_buf *in = &link->in[CLIENT];
    while (can_move(link, CLIENT)) {
        deed behind = PASS;
        if (!link->passing[CLIENT]) {
            const dd_wire_message message = dd_wire_request(link->wire, in->data, in->length);
            if (message.length == 0) return;
            if (message.reply) {
                dd_buf_add_byte(&link->out[CLIENT], (uint8_t)message.reply);
                drop_front(in, message.length);
                deliver(link, CLIENT);
                continue;
            }
            link->passing[CLIENT] = message.length;
            if (message.text && request_met(link, &message, &behind)) return;
        }
        pass(link, CLIENT);
        (void)done_to(link, CLIENT, behind, 0);
    }
}

static void from_server(connection *link) {
    dd_buf *in = &link->in[SERVER];
    while (can_move(link, SERVER)) {
        if (!link->passing[SERVER]) {
            const dd_wire_message message = dd_wire_answer(link->wire, in->data, in->length);
            if (message.length == 0) return;
            link->passing[SERVER] = message.length;
            if (message.statement && message.statement == link->awaited) {
                link->awaited = 0;
                if (done_to(link, SERVER, link->awaited_what, link->awaited_delay)) return;
            }
        }
        pass(link, SERVER);
    }
}

/* One end sends no more: the other one is told when it has had all. */
static void end_with_peer(connection *link) {
    if (link->dead || link->hanging) return;
    for (int i = 0; i < 2; i++)
        if (link->ended[i] && link->in[i].length == 0 && link->out[!i].length == 0)
            link->dead = true;
}

/* ---- commands ---- */

static void add_rule(char *words) {
    static const char *const moments[] = {"request", "sent", "answer", NULL};
    static const char *const deeds[] = {"reset", "close", "hang", "down", "pass", NULL};
    char when[16], what[16];
    int text = 0;
    rule *made = dd_calloc(1, sizeof *made);
    int got = sscanf(words, "%u %15s %15s %n", &made->nth, when, what, &text);
    unsigned i = 0, j = 0;
    while (moments[i] && strcmp(moments[i], when) != 0) i++;
    while (deeds[j] && strcmp(deeds[j], what) != 0) j++;
    if (got != 3 || !moments[i] || strlen(words + text) >= sizeof made->text) {
        free(made);
        puts("error");
        return;
    }
    made->when = (moment)i;
    made->what = deeds[j] ? (deed)j : DELAY;
    if (made->what == DELAY) made->delay = atof(what) / 1000;
    strcpy(made->text, words + text);
    made->number = ++proxy.rules_made;
    made->next = proxy.rules;
    proxy.rules = made;
    printf("%u\n", made->number);
}

static void clear_rules(void) {
    while (proxy.rules) {
        rule *next = proxy.rules->next;
        free(proxy.rules);
        proxy.rules = next;
    }
    puts("ok");
}

static void hits(unsigned number) {
    for (const rule *at = proxy.rules; at; at = at->next)
        if (at->number == number) {
            printf("%u\n", at->met);
            return;
        }
    puts("error");
}

static void obey(char *line) {
    char *rest = line + strcspn(line, " ");
    if (*rest) *rest++ = '\0';
    if (strcmp(line, "rule") == 0) {
        add_rule(rest);
    } else if (strcmp(line, "hits") == 0) {
        hits((unsigned)atoi(rest));
    } else if (strcmp(line, "clear") == 0) {
        clear_rules();
    } else if (strcmp(line, "down") == 0) {
        go_down();
        puts("ok");
    } else if (strcmp(line, "up") == 0) {
        if (proxy.listening < 0) start_listening();
        puts("ok");
    } else if (strcmp(line, "lag") == 0) {
        proxy.lag = atof(rest) / 1000;
        puts("ok");
    } else if (strcmp(line, "turns") == 0) {
        printf("%u\n", proxy.turns);
        proxy.turns = 0;
    } else if (strcmp(line, "port") == 0) {
        printf("%u\n", (unsigned)ntohs(proxy.own.sin_port));
    } else {
        puts("error");
    }
    fflush(stdout);
}

static void read_commands(void) {
    ssize_t got = read(proxy.control, dd_buf_reserve(&proxy.line, 4096), 4096);
    if (got <= 0) return;
    proxy.line.length += (size_t)got;
    uint8_t *newline;
    while ((newline = memchr(proxy.line.data, '\n', proxy.line.length))) {
        *newline = '\0';
        obey((char *)proxy.line.data);
        bury();
        drop_front(&proxy.line, (size_t)(newline - proxy.line.data) + 1);
    }
}

/* ---- the loop ---- */

/* Lets go of what was held back long enough; returns milliseconds until the next such moment. */
static int let_go(void) {
    int wait = -1;
    for (connection *link = proxy.links; link; link = link->next)
        for (int i = 0; i < 2; i++) {
            const double left = link->held[i] - dd_clock();
            if (link->held[i] == 0 || link->hanging) continue;
            if (left <= 0) {
                link->held[i] = 0;
            } else if (wait < 0 || left * 1000 + 1 < wait) {
                wait = (int)(left * 1000) + 1;
            }
        }
    return wait;
}

static void watch(struct pollfd *polled, const connection *link, int i) {
    *polled = (struct pollfd){.fd = link->fd[i]};
    if (!link->ended[i]) polled->events |= POLLIN;
    if (link->out[i].length) polled->events |= POLLOUT;
    /* One that is done would be reported without end; and who hangs hears nothing. */
    if (link->hanging || polled->events == 0) polled->fd = -1;
}

static void turn(dd_buf *memory) {
    unsigned count = 0;
    for (connection *link = proxy.links; link; link = link->next) count++;
    dd_buf_clear(memory);
    struct pollfd *polled =
        (struct pollfd *)(void *)dd_buf_reserve(memory, (2 + 2 * count) * sizeof *polled);
    polled[0] = (struct pollfd){.fd = proxy.control, .events = POLLIN};
    polled[1] = (struct pollfd){.fd = proxy.listening, .events = POLLIN};
    struct pollfd *at = polled + 2;
    for (connection *link = proxy.links; link; link = link->next)
        for (int i = 0; i < 2; i++) watch(at++, link, i);
    if (poll(polled, 2 + 2 * count, let_go()) < 0 && errno != EINTR) give_up("proxy: cannot poll");
    (void)let_go();
    at = polled + 2;
    for (connection *link = proxy.links; link; link = link->next, at += 2) {
        for (int i = 0; i < 2; i++) {
            if (at[i].fd < 0 || link->dead) continue;
            if (at[i].revents & POLLOUT) deliver(link, i);
            if (at[i].revents & (POLLIN | POLLHUP | POLLERR)) receive(link, i);
        }
        from_client(link);
        from_server(link);
        end_with_peer(link);
    }
    bury();
    if (polled[1].revents) take_client(); /* before a command closes the door */
    if (polled[0].revents) read_commands();
}

int main(int count, char **words) {
    if (count != 5) {
        fputs("usage: proxy mysql|postgres HOST PORT PIPE\n", stderr);
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    proxy.kind = strcmp(words[1], "mysql") == 0 ? DD_WIRE_MYSQL : DD_WIRE_POSTGRES;
    proxy.server.sin_family = proxy.own.sin_family = AF_INET;
    proxy.server.sin_port = htons((uint16_t)atoi(words[3]));
    proxy.own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (inet_pton(AF_INET, words[2], &proxy.server.sin_addr) != 1) give_up(words[2]);
    proxy.control = open(words[4], O_RDWR | O_CLOEXEC); /* so that it has no end */
    if (proxy.control < 0) give_up(words[4]);
    start_listening();
    dd_buf memory = {0};
    for (;;) turn(&memory);
}
