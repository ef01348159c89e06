/* A slow wire: two TUN devices, and what goes into one comes out of the other after a while.
 *
 *     delay FIRST SECOND MS
 *
 * Makes the devices and says so; the caller moves them to where they are wanted. Needs root. It ends on SIGTERM, and
 * the devices with it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PACKET = 2048, MAX_WAITING = 4096 };
static const int64_t NS_PER_MS = 1000000, NS_PER_S = 1000000000;

struct packet {
    int64_t due_ns;
    ssize_t size;
    char data[MAX_PACKET];
};

struct way { /* from one device to the other, first in, first out */
    int from, to;
    struct packet *packets;
    unsigned head, tail;
    unsigned long lost;
};

static int64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * NS_PER_S + at.tv_nsec;
}

static int device(const char *name) {
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) {
        perror("delay");
        exit(1);
    }
    return fd;
}

/* Let out what is due; return when the next one is, `next_ns` where that is earlier or nothing waits. */
static int64_t let_out(struct way *way, int64_t next_ns) {
    while (way->head != way->tail) {
        struct packet *packet = &way->packets[way->head % MAX_WAITING];
        if (packet->due_ns > now_ns()) return packet->due_ns < next_ns ? packet->due_ns : next_ns;
        if (write(way->to, packet->data, (size_t)packet->size) < 0) way->lost++; /* as where a device is not up yet */
        way->head++;
    }
    return next_ns;
}

static void take_in(struct way *way, int64_t delay_ns) {
    while (way->tail - way->head < MAX_WAITING) {
        struct packet *packet = &way->packets[way->tail % MAX_WAITING];
        packet->size = read(way->from, packet->data, MAX_PACKET);
        if (packet->size <= 0) return;
        packet->due_ns = now_ns() + delay_ns;
        way->tail++;
    }
}

int main(int count, char **words) {
    if (count < 4) return 2;
    int first = device(words[1]), second = device(words[2]);
    int64_t delay_ns = (int64_t)(atof(words[3]) * (double)NS_PER_MS);
    struct way there = {first, second, calloc(MAX_WAITING, sizeof(struct packet)), 0, 0, 0};
    struct way back = {second, first, calloc(MAX_WAITING, sizeof(struct packet)), 0, 0, 0};
    puts("ready");
    fflush(stdout);
    for (;;) {
        int64_t next_ns = let_out(&back, let_out(&there, INT64_MAX)), wait_ns = next_ns - now_ns();
        struct pollfd ends[] = {{.fd = first, .events = POLLIN}, {.fd = second, .events = POLLIN}};
        struct timespec wait = {wait_ns > 0 ? wait_ns / NS_PER_S : 0, wait_ns > 0 ? wait_ns % NS_PER_S : 0};
        ppoll(ends, 2, next_ns == INT64_MAX ? NULL : &wait, NULL);
        if (ends[0].revents) take_in(&there, delay_ns);
        if (ends[1].revents) take_in(&back, delay_ns);
    }
}
