/* A name server that costs as little as possible and knows every domain.
 *
 *     dns_server PORT
 *
 * Under any zone, d7.ZONE has the one mail host mx7.ZONE, and d7-3.ZONE has mx3.ZONE: so domains can share hosts.
 * mx7.ZONE has the address 127.1.0.0 + 7 and no IPv6 address. Whatever else is asked of such names has no data; all
 * other names do not exist. UDP on every IPv4 address of the machine, no EDNS, one thread. It ends on SIGTERM and then
 * prints how many questions it answered, as JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum { HEADER = 12, MAX_MESSAGE = 512, MAX_LABEL = 63, TTL = 300, FIRST_ADDRESS = 0x7f010000 };
enum type { A = 1, SOA = 6, MX = 15 };
enum status { NOERROR = 0, NXDOMAIN = 3 };

static volatile sig_atomic_t must_stop;

static void on_signal(int number) {
    (void)number;
    must_stop = 1;
}

struct message {
    unsigned char *data;
    size_t used;
};

static void put(struct message *message, const void *bytes, size_t count) {
    memcpy(message->data + message->used, bytes, count);
    message->used += count;
}

static void put16(struct message *message, unsigned value) {
    unsigned char bytes[] = {(unsigned char)(value >> 8), (unsigned char)value};
    put(message, bytes, sizeof bytes);
}

static void put32(struct message *message, unsigned value) {
    put16(message, value >> 16);
    put16(message, value & 0xffff);
}

/* RFC 1035 4.1.4: a name that stands further up. */
static void put_pointer(struct message *message, size_t where) { put16(message, 0xc000 | (unsigned)where); }

static void put_record_head(struct message *message, size_t owner, enum type type, unsigned length) {
    put_pointer(message, owner);
    put16(message, type);
    put16(message, 1);
    put32(message, TTL);
    put16(message, length);
}

/* The number at the end of a label, behind its last hyphen or its leading letters; -1 where there is none. */
static long number_of(const char *label) {
    const char *hyphen = strrchr(label, '-');
    const char *digits = hyphen ? hyphen + 1 : label + strcspn(label, "0123456789");
    return isdigit((unsigned char)*digits) ? atol(digits) : -1;
}

/* Turn a question into its answer, in place; return its length, 0 where nothing is to be said. */
static size_t answer(unsigned char *data, size_t count) {
    char label[MAX_LABEL + 1];
    if (count < HEADER + 6 || (data[2] & 0x80)) return 0;
    size_t end = HEADER;
    while (end < count && data[end]) {
        if (data[end] > MAX_LABEL) return 0;
        end += data[end] + 1u;
    }
    if (end + 5 > count || end - HEADER > 255) return 0;
    size_t first = data[HEADER], zone = HEADER + (first ? first + 1 : 0);
    memcpy(label, data + HEADER + 1, first);
    label[first] = 0;
    unsigned type = (unsigned)data[end + 1] << 8 | data[end + 2];
    long number = number_of(label);
    int is_domain = tolower((unsigned char)label[0]) == 'd' && number >= 0, is_host = !strncasecmp(label, "mx", 2);
    int has_data = (is_domain && type == MX) || (is_host && number >= 0 && type == A);
    int status = is_domain || is_host ? NOERROR : NXDOMAIN;

    struct message message = {data, end + 5};
    data[2] = (unsigned char)(0x84 | (data[2] & 1)); /* response, authoritative, RD as it came */
    data[3] = (unsigned char)status;
    unsigned char counts[] = {0, 1, 0, (unsigned char)has_data, 0, (unsigned char)!has_data, 0, 0};
    memcpy(data + 4, counts, sizeof counts);
    if (has_data && type == MX) {
        char host[MAX_LABEL + 1];
        int length = snprintf(host + 1, sizeof host - 1, "mx%ld", number);
        host[0] = (char)length;
        put_record_head(&message, HEADER, MX, 2 + 1 + (unsigned)length + 2);
        put16(&message, 10);
        put(&message, host, (size_t)length + 1);
        put_pointer(&message, zone);
    } else if (has_data) {
        put_record_head(&message, HEADER, A, 4);
        put32(&message, FIRST_ADDRESS + (unsigned)number);
    } else {
        put_record_head(&message, zone, SOA, 2 + 2 + 5 * 4); /* RFC 2308 2.2: how long "no" may be believed */
        put_pointer(&message, zone);
        put_pointer(&message, zone);
        for (int index = 0; index < 5; index++) put32(&message, TTL);
    }
    return message.used;
}

int main(int count, char **words) {
    if (count < 2) return 2;
    struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART: it ends the wait for a question */
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 1 << 22;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(words[1]))};
    address.sin_addr.s_addr = htonl(INADDR_ANY);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room)) /* root may have more than is usual */
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (bind(fd, (struct sockaddr *)&address, sizeof address)) {
        perror("dns_server");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    long answered = 0;
    unsigned char data[2 * MAX_MESSAGE];
    while (!must_stop) {
        struct sockaddr_in peer;
        socklen_t size = sizeof peer;
        ssize_t received = recvfrom(fd, data, MAX_MESSAGE, 0, (struct sockaddr *)&peer, &size);
        size_t length = received > 0 ? answer(data, (size_t)received) : 0;
        if (length && sendto(fd, data, length, 0, (struct sockaddr *)&peer, size) > 0) answered++;
    }
    printf("{\"answered\": %ld}\n", answered);
    return 0;
}
