// What the machine can do: one thread, epoll, and an answer that was prepared before the request came. It asks the file
// system for the path on every request, as a server that is never stale has to, and does nothing else that HTTP wants.
//
//   limit PORT FILE
//
// The first bytes of the request decide: a Range is the last 100 bytes, an If-None-Match is a 304, "follow" is a live
// read; a file of more than a megabyte is read and written in pieces.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 64 * 1024, SMALL = 1 << 20, EVENTS = 512, MOST = 20000, SEND_BUFFER = 256 * 1024, POLL_MS = 50 };

struct connection {
    int fd;
    off_t sent, length; // of a long body under way
};

static int poller, file, followers[MOST], followed;
static const char *path;
static struct stat state;
static char whole[SMALL + 1024], part[1024], unchanged[1024];
static size_t whole_length, part_length, unchanged_length;

static size_t head(char *into, const char *status, off_t length) {
    return (size_t)sprintf(into,
                           "HTTP/1.1 %s\r\ncontent-type: text/plain; charset=utf-8\r\naccept-ranges: bytes\r\n"
                           "cache-control: no-cache\r\netag: \"%016lx-%ld\"\r\nlast-modified: Mon, 23 Nov 2026 10:00:00 GMT\r\n"
                           "date: Mon, 23 Nov 2026 10:00:00 GMT\r\nx-content-type-options: nosniff\r\ncontent-length: %ld\r\n\r\n",
                           status, state.st_ino, state.st_size, length);
}

static void prepare(void) {
    off_t size = state.st_size, last = size < 100 ? size : 100;
    whole_length = head(whole, "200 OK", size);
    if (size <= SMALL) whole_length += (size_t)pread(file, whole + whole_length, (size_t)size, 0);
    part_length = head(part, "206 Partial Content", last);
    part_length += (size_t)pread(file, part + part_length, (size_t)last, size - last);
    unchanged_length = head(unchanged, "304 Not Modified", size);
}

static void look(void) {
    struct stat found;
    if (stat(path, &found)) return;
    if (found.st_size == state.st_size && found.st_ino == state.st_ino && found.st_mtim.tv_nsec == state.st_mtim.tv_nsec) return;
    if (found.st_ino != state.st_ino) {
        if (file) close(file);
        file = open(path, O_RDONLY);
    }
    state = found;
    prepare();
}

static void end(struct connection *c) {
    close(c->fd);
    free(c);
}

// Sends on of a long body until the socket is full.
static void pump(struct connection *c) {
    static char piece[PIECE];
    while (c->sent < c->length) {
        ssize_t count = pread(file, piece, PIECE, c->sent);
        ssize_t sent = write(c->fd, piece, (size_t)count);
        if (sent < 0) return;
        c->sent += sent;
    }
}

static void answer(struct connection *c) {
    char request[2048];
    ssize_t count = read(c->fd, request, sizeof request - 1);
    if (count <= 0) {
        end(c);
        return;
    }
    request[count] = 0;
    if (strstr(request, "follow")) {
        static const char live[] = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        (void)!write(c->fd, live, sizeof live - 1);
        followers[followed++] = c->fd;
        return;
    }
    look();
    if (strstr(request, "\r\nRange:")) (void)!write(c->fd, part, part_length);
    else if (strstr(request, "\r\nIf-None-Match:")) (void)!write(c->fd, unchanged, unchanged_length);
    else (void)!write(c->fd, whole, whole_length);
    if (state.st_size > SMALL && !strstr(request, "\r\nIf-None-Match:") && !strstr(request, "\r\nRange:")) {
        c->sent = 0;
        c->length = state.st_size;
        pump(c);
    } else if (strstr(request, "\r\nConnection: close")) {
        end(c);
    }
}

// Sends what was appended to all who follow. A client that does not keep up loses bytes here.
static void tell(void) {
    static off_t told = -1;
    struct stat found;
    fstat(file, &found);
    if (told < 0) told = state.st_size;
    if (found.st_size <= told) return;
    char chunk[PIECE + 32];
    int length = sprintf(chunk, "%lx\r\n", found.st_size - told);
    length += (int)pread(file, chunk + length, PIECE, told);
    length += sprintf(chunk + length, "\r\n");
    told = found.st_size;
    for (int i = 0; i < followed; i++) (void)!write(followers[i], chunk, (size_t)length);
}

static void welcome(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *c = calloc(1, sizeof *c);
        c->fd = fd;
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

static int64_t milliseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    path = argv[2];
    look();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1, send_buffer = SEND_BUFFER;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) return perror("bind"), 1;
    poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    struct epoll_event events[EVENTS];
    for (int64_t next = 0;;) {
        int64_t left = next - milliseconds();
        int count = epoll_wait(poller, events, EVENTS, !followed ? -1 : left > 0 ? (int)left : 0);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c) welcome(listener);
            else if (c->sent < c->length) pump(c);
            else if (events[i].events & EPOLLIN) answer(c);
        }
        if (followed && milliseconds() >= next) {
            tell();
            next = milliseconds() + POLL_MS;
        }
    }
}
