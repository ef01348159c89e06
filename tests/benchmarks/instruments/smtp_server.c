/* A mail server that costs as little as possible, so that a benchmark measures the client.
 *
 *     smtp_server PORT [--cert CERT --key KEY] [--delay MS]
 *
 * It listens on every IPv4 address of the machine, greets, answers EHLO, HELO, STARTTLS (where a certificate is given),
 * QUIT and anything else with 250, each reply after the delay. One thread, epoll. It ends on SIGTERM and then prints
 * how many sessions it served and how many connections it held at once, as JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FD = 1 << 16, MAX_LINE = 1024, MAX_PENDING = 1 << 18, BATCH = 256 };
enum after { GO_ON, BEGIN_TLS, HANG_UP };

struct session {
    int fd;
    int awaits_tls; /* 220 to STARTTLS is out: what comes next is a handshake */
    int in_handshake;
    SSL *tls;
    size_t used;
    char input[MAX_LINE];
};

struct pending { /* a reply that waits for its time */
    double due;
    int fd;
    unsigned generation;
    const char *text;
    enum after after;
};

static struct session *sessions[MAX_FD];
static unsigned generations[MAX_FD]; /* how often a descriptor was used: a late reply must not reach its successor */
static struct pending *queue;
static unsigned queue_head, queue_tail;
static double delay_s;
static SSL_CTX *tls_context;
static int poller;
static long served, open_now, open_most;
static volatile sig_atomic_t must_stop;

static const char GREETING[] = "220 mx.bench.test ESMTP ready\r\n";
static const char OFFERS[] =
    "250-mx.bench.test\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n"
    "250-DSN\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n";
static const char OFFERS_WITH_STARTTLS[] =
    "250-mx.bench.test\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-STARTTLS\r\n250-ENHANCEDSTATUSCODES\r\n"
    "250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n";

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void on_signal(int number) {
    (void)number;
    must_stop = 1;
}

static void drop(struct session *session) {
    if (session->tls) {
        if (!session->in_handshake) SSL_shutdown(session->tls);
        SSL_free(session->tls);
        ERR_clear_error();
    }
    sessions[session->fd] = NULL;
    generations[session->fd]++;
    close(session->fd);
    free(session);
    open_now--;
}

static void send_now(struct session *session, const char *text, enum after after) {
    if (session->tls)
        SSL_write(session->tls, text, (int)strlen(text));
    else if (send(session->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        after = HANG_UP;
    if (after == BEGIN_TLS) session->awaits_tls = 1;
    if (after == HANG_UP) {
        served++;
        drop(session);
    }
}

static void say(struct session *session, const char *text, enum after after) {
    if (delay_s <= 0) {
        send_now(session, text, after);
        return;
    }
    queue[queue_tail++ % MAX_PENDING] =
        (struct pending){now() + delay_s, session->fd, generations[session->fd], text, after};
}

/* Send what is due; return how many milliseconds to wait for the next, -1 where none waits. */
static int send_due(void) {
    while (queue_head != queue_tail) {
        struct pending *first = &queue[queue_head % MAX_PENDING];
        double left = first->due - now();
        if (left > 0.0005) return (int)(left * 1000) + 1;
        queue_head++;
        struct session *session = sessions[first->fd];
        if (session && generations[first->fd] == first->generation) send_now(session, first->text, first->after);
    }
    return -1;
}

/* Answer one command; return whether the session still exists. */
static int answer(struct session *session, const char *line) {
    int fd = session->fd;
    unsigned generation = generations[fd];
    if (!strncasecmp(line, "EHLO", 4))
        say(session, tls_context && !session->tls ? OFFERS_WITH_STARTTLS : OFFERS, GO_ON);
    else if (!strncasecmp(line, "STARTTLS", 8) && tls_context && !session->tls)
        say(session, "220 2.0.0 go ahead\r\n", BEGIN_TLS);
    else if (!strncasecmp(line, "QUIT", 4))
        say(session, "221 2.0.0 bye\r\n", HANG_UP);
    else
        say(session, "250 2.0.0 ok\r\n", GO_ON);
    return generations[fd] == generation;
}

static void greet_newcomers(int listener) {
    for (int count = 0; count < 64; count++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) return;
        if (fd >= MAX_FD) {
            close(fd);
            continue;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct session *session = calloc(1, sizeof *session);
        session->fd = fd;
        sessions[fd] = session;
        if (++open_now > open_most) open_most = open_now;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
        say(session, GREETING, GO_ON);
    }
}

static int shake_hands(struct session *session) {
    if (!session->tls) {
        session->tls = SSL_new(tls_context);
        SSL_set_fd(session->tls, session->fd);
        SSL_set_accept_state(session->tls);
        session->awaits_tls = 0;
        session->in_handshake = 1;
        session->used = 0;
    }
    int result = SSL_do_handshake(session->tls);
    if (result == 1) {
        session->in_handshake = 0;
        return 1;
    }
    int error = SSL_get_error(session->tls, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) drop(session);
    return 0;
}

/* Read what is there; 0: nothing more now, -1: the session ended. */
static int fill(struct session *session) {
    char *room = session->input + session->used;
    int space = (int)(sizeof session->input - 1 - session->used);
    int count;
    if (space <= 0) {
        drop(session);
        return -1;
    }
    if (session->tls) {
        count = SSL_read(session->tls, room, space);
        if (count <= 0 && SSL_get_error(session->tls, count) == SSL_ERROR_WANT_READ) return 0;
    } else {
        count = (int)recv(session->fd, room, (size_t)space, 0);
        if (count < 0 && errno == EAGAIN) return 0;
    }
    if (count <= 0) {
        drop(session);
        return -1;
    }
    session->used += (size_t)count;
    session->input[session->used] = 0;
    return count;
}

static void serve(struct session *session) {
    if ((session->awaits_tls || session->in_handshake) && !shake_hands(session)) return;
    while (fill(session) > 0) {
        char *end;
        while ((end = memchr(session->input, '\n', session->used))) {
            char line[MAX_LINE];
            size_t length = (size_t)(end - session->input) + 1;
            memcpy(line, session->input, length);
            line[length - 1] = 0;
            memmove(session->input, end + 1, session->used - length);
            session->used -= length;
            if (!answer(session, line)) return;
        }
        if (session->awaits_tls || !session->tls) return;
    }
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 8192)) {
        perror("smtp_server");
        exit(1);
    }
    return fd;
}

int main(int count, char **words) {
    const char *certificate = NULL, *key = NULL;
    if (count < 2) return 2;
    for (int index = 2; index + 1 < count; index += 2) {
        if (!strcmp(words[index], "--cert")) certificate = words[index + 1];
        if (!strcmp(words[index], "--key")) key = words[index + 1];
        if (!strcmp(words[index], "--delay")) delay_s = atof(words[index + 1]) / 1000;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    queue = calloc(MAX_PENDING, sizeof *queue);
    if (certificate) {
        tls_context = SSL_CTX_new(TLS_server_method());
        SSL_CTX_set_num_tickets(tls_context, 0);
        if (SSL_CTX_use_certificate_chain_file(tls_context, certificate) <= 0 ||
            SSL_CTX_use_PrivateKey_file(tls_context, key ? key : certificate, SSL_FILETYPE_PEM) <= 0) {
            ERR_print_errors_fp(stderr);
            return 1;
        }
    }
    poller = epoll_create1(0);
    int listener = listen_on(atoi(words[1]));
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[BATCH];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    puts("ready");
    fflush(stdout);
    while (!must_stop) {
        int ready = epoll_wait(poller, events, BATCH, send_due());
        for (int index = 0; index < ready; index++) {
            int fd = events[index].data.fd;
            if (fd == listener)
                greet_newcomers(listener);
            else if (sessions[fd])
                serve(sessions[fd]);
        }
    }
    printf("{\"sessions\": %ld, \"most_at_once\": %ld}\n", served, open_most);
    return 0;
}
