/* The yardstick: what a client in C, without any regard for evidence or politeness, gets out of one core.
 *
 *     smtp_client COUNT CONCURRENCY TLS PORT
 *
 * Makes COUNT sessions, CONCURRENCY at once, against 127.0.1.1 and the 199 addresses behind it: greeting, EHLO,
 * STARTTLS and EHLO again where TLS is 1, QUIT. Prints one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ADDRESSES = 200, FIRST_ADDRESS = 0x7f000101, MAX_REPLY = 2048, BATCH = 256, PATIENCE_MS = 30000 };
enum step { AWAIT_GREETING, AWAIT_EHLO, AWAIT_STARTTLS, HANDSHAKE, AWAIT_SECOND_EHLO, AWAIT_QUIT };

struct session {
    int fd;
    enum step step;
    SSL *tls;
    size_t used;
    char reply[MAX_REPLY];
};

static int poller, port, wants_tls;
static long wanted, begun, succeeded, failed;
static SSL_CTX *tls_context;

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void begin(void) {
    while (begun < wanted) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
        address.sin_addr.s_addr = htonl((unsigned)(FIRST_ADDRESS + begun++ % ADDRESSES));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS) {
            struct session *session = calloc(1, sizeof *session);
            session->fd = fd;
            struct epoll_event event = {.events = EPOLLIN, .data.ptr = session};
            epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
            return;
        }
        failed++;
        close(fd);
    }
}

static void end(struct session *session, int is_good) {
    if (session->tls) {
        SSL_shutdown(session->tls);
        SSL_free(session->tls);
    }
    close(session->fd);
    free(session);
    if (is_good)
        succeeded++;
    else
        failed++;
    begin();
}

static void command(struct session *session, const char *text, enum step next) {
    if (session->tls)
        SSL_write(session->tls, text, (int)strlen(text));
    else if (send(session->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        return;
    session->step = next;
}

/* Whether the last line of what came has a blank behind its code and an end. */
static int is_complete(const struct session *session) {
    size_t last = session->used;
    if (last < 5 || session->reply[last - 1] != '\n') return 0;
    for (last -= 1; last > 0 && session->reply[last - 1] != '\n';) last--;
    return session->reply[last + 3] != '-';
}

static void shake_hands(struct session *session) {
    int result = SSL_do_handshake(session->tls);
    if (result == 1)
        command(session, "EHLO client.bench.test\r\n", AWAIT_SECOND_EHLO);
    else if (SSL_get_error(session->tls, result) != SSL_ERROR_WANT_READ)
        end(session, 0);
}

static void step(struct session *session) {
    if (session->step == HANDSHAKE) {
        shake_hands(session);
        return;
    }
    char *room = session->reply + session->used;
    int space = (int)(MAX_REPLY - session->used), count;
    if (session->tls) {
        count = SSL_read(session->tls, room, space);
        if (count <= 0 && SSL_get_error(session->tls, count) == SSL_ERROR_WANT_READ) return;
    } else {
        count = (int)recv(session->fd, room, (size_t)space, 0);
    }
    if (count <= 0) {
        end(session, 0);
        return;
    }
    session->used += (size_t)count;
    if (!is_complete(session)) return;
    session->used = 0;
    switch (session->step) {
    case AWAIT_GREETING:
        command(session, "EHLO client.bench.test\r\n", AWAIT_EHLO);
        break;
    case AWAIT_EHLO:
        if (wants_tls)
            command(session, "STARTTLS\r\n", AWAIT_STARTTLS);
        else
            command(session, "QUIT\r\n", AWAIT_QUIT);
        break;
    case AWAIT_STARTTLS:
        session->tls = SSL_new(tls_context);
        SSL_set_fd(session->tls, session->fd);
        SSL_set_connect_state(session->tls);
        session->step = HANDSHAKE;
        shake_hands(session);
        break;
    case AWAIT_SECOND_EHLO:
        command(session, "QUIT\r\n", AWAIT_QUIT);
        break;
    default:
        end(session, 1);
    }
}

int main(int count, char **words) {
    if (count < 5) return 2;
    wanted = atol(words[1]);
    int concurrency = atoi(words[2]);
    wants_tls = atoi(words[3]);
    port = atoi(words[4]);
    poller = epoll_create1(0);
    tls_context = SSL_CTX_new(TLS_client_method());
    double started = now();
    for (int index = 0; index < concurrency; index++) begin();
    struct epoll_event events[BATCH];
    while (succeeded + failed < wanted) {
        int ready = epoll_wait(poller, events, BATCH, PATIENCE_MS);
        if (ready <= 0) break;
        for (int index = 0; index < ready; index++) step(events[index].data.ptr);
    }
    double elapsed = now() - started;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu_s = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                   (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("{\"sessions\": %ld, \"failed\": %ld, \"elapsed_s\": %.3f, \"cpu_s\": %.3f, \"peak_mb\": %.1f}\n", succeeded,
           failed, elapsed, cpu_s, (double)used.ru_maxrss / 1024);
    return 0;
}
